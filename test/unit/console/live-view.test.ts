import { describe, expect, test } from 'vitest';
import { LiveView, quantile } from '../../../src/console/live-view.ts';
import { NOW } from '../../../src/console/shapes.ts';
import { LATENCY_BUCKETS, MetricsLayout, WorkerMetrics } from '../../../src/settle/metrics.ts';

const SLOTS = ['openai', 'anthropic'];

function scene() {
  const layout = new MetricsLayout(SLOTS);
  const memory = layout.allocate(2);
  const view = new LiveView(memory, 2, {
    node: 'n1',
    slots: () => SLOTS,
    targets: () => [],
    ready: () => ({ ready: true, states: [] }),
    factsLost: () => 3,
    isLedgerUp: () => null,
  });
  const workers = [new WorkerMetrics(layout, memory, 0), new WorkerMetrics(layout, memory, 1)];
  return { view, workers };
}

describe('the live view', () => {
  test('of a node that nobody has asked is empty, and of the shape that the document says', () => {
    const { view } = scene();
    expect(NOW.parse(view.now())).toMatchObject({ node: 'n1', in_flight: 0, providers: [] });
    view.read();
    expect(view.now().ttft_ms).toEqual({ p50: null, p95: null });
  });

  test('tells what came between two readings, over all workers, and what is under way', () => {
    const { view, workers } = scene();
    view.read();
    for (const worker of workers) {
      worker.requestBegan();
      worker.requestBegan();
      worker.responded(1, 200);
      worker.observeFirstByte(1, 0.2);
      worker.responded(1, 503);
      worker.requestSettled('complete');
    }
    view.read();
    const now = NOW.parse(view.now());
    expect(now).toMatchObject({ requests_total: 4, in_flight: 2, facts_lost: 3, ledger_up: null });
    expect(now.providers.map(({ name }) => name)).toEqual(['anthropic']);
    // Two of four answers were bad, however long the second was.
    const [anthropic] = now.providers;
    expect(anthropic?.errors_per_second).toBe((anthropic?.requests_per_second ?? 0) / 2);
    expect(now.errors_per_second).toBe(anthropic?.errors_per_second);
    expect(now.ttft_ms.p50).toBeGreaterThan(100);
    expect(now.ttft_ms.p95).toBeLessThanOrEqual(250);
    view.read();
    expect(view.now().requests_per_second).toBe(0);
  });
});

describe('a quantile', () => {
  const counts = (...at: readonly (readonly [bucket: number, count: number])[]) => {
    const all = new Array<number>(LATENCY_BUCKETS.length + 1).fill(0);
    for (const [bucket, count] of at) all[bucket] = count;
    return all;
  };
  test('lies within its bucket, where as many lie below it', () => {
    expect(quantile(counts([0, 10]), 0.5)).toBe(2.5);
    expect(quantile(counts([3, 1], [7, 1]), 0.5)).toBe(50);
    expect(quantile(counts([3, 1], [7, 1]), 1)).toBe(1_000);
  });
  test('of nothing is none, and beyond the buckets it is their end', () => {
    expect(quantile(counts(), 0.5)).toBeNull();
    expect(quantile(counts([LATENCY_BUCKETS.length, 1]), 0.5)).toBe(600_000);
  });
});

import { expect, it } from 'vitest';
import { exposition } from '../../../src/settle/exposition.ts';
import { MetricsLayout, WorkerMetrics } from '../../../src/settle/metrics.ts';
import { Metrics } from '../../support/metrics.ts';

const node = {
  version: '0',
  workerRestarts: 2,
  logLinesDropped: 3,
  console: { calls: 0, readers: 0 },
  usageFactsSpilled: 0,
  usageFactsLost: 0,
  denySetSize: 3,
  denySetAgeSeconds: 1.5,
  natsConnected: true,
  grants: { isReachable: true, writes: 1, conflicts: 0 },
  fleetNodes: 1,
  storedState: 0,
  storedStateDropped: 0,
  guards: {
    failures: new Map([['late', 0]]),
    lost: new Map([['late', 0]]),
    logged: 0,
    notLogged: 0,
  },
  budgets: {
    rows: 0,
    reservedNano: 0,
    warnings: new Map(),
    isJournalFailing: false,
    locksGivenUp: 0,
  },
  limitLocksGivenUp: 0,
  ledger: { added: 0, lost: 0, backlogBytes: 0, isKeeping: true, sent: 0, refused: 0 },
  targets: [{ name: 'a/"b\\', state: 'probing' }],
  reloads: { ok: 2, failed: 1 },
  cache: { bytes: 0, answers: 0, answersEvicted: 0, isRedisUp: true, redisFaults: () => 0 },
  overlay: { counting: 0, refused: 0 },
};

it('the counters of all workers add up, and no cell is anybody else’s', () => {
  const layout = new MetricsLayout(['a', 'b']);
  const memory = layout.allocate(2);
  const workers = [0, 1].map((index) => new WorkerMetrics(layout, memory, index));
  for (const worker of workers) {
    worker.requestBegan();
    worker.rejected('draining');
    worker.responded(1, 204);
    worker.responded(1, 999);
    worker.connectFailed(0);
    worker.retried(1);
    worker.observeOverhead(0.00003);
    worker.observeFirstByte(1, 700);
    worker.observeLatency(0, 0.3);
  }
  expect(workers[0]?.nodeInFlight()).toBe(2);
  workers[0]?.requestSettled('complete');
  const page = new Metrics(exposition(layout, memory, 2, node));
  expect(page.get('ai_requests_total')).toBe(2);
  expect(page.get('ai_requests_in_flight')).toBe(1);
  expect(page.get('ai_exchanges_settled_total{outcome="complete"}')).toBe(1);
  expect(page.get('ai_rejections_total{reason="draining"}')).toBe(2);
  expect(page.sum('ai_rejections_total')).toBe(2);
  expect(page.get('ai_upstream_responses_total{provider="b",status="2xx"}')).toBe(2);
  expect(page.get('ai_upstream_responses_total{provider="b",status="other"}')).toBe(2);
  expect(page.get('ai_connect_failures_total{provider="a"}')).toBe(2);
  expect(page.get('ai_upstream_retries_total{provider="b"}')).toBe(2);
  expect(page.get('ai_overhead_seconds_bucket{le="0.00005"}')).toBe(2);
  expect(page.get('ai_overhead_seconds_bucket{le="0.000025"}')).toBe(0);
  expect(page.get('ai_ttft_seconds_bucket{provider="b",le="600"}')).toBe(0);
  expect(page.get('ai_ttft_seconds_bucket{provider="b",le="+Inf"}')).toBe(2);
  expect(page.get('ai_ttft_seconds_sum{provider="b"}')).toBe(1_400);
  expect(page.get('ai_upstream_latency_seconds_count{provider="a"}')).toBe(2);
  expect(page.get('ai_deny_set_size')).toBe(3);
  expect(page.get('ai_nats_connected')).toBe(1);
  expect(page.get('ai_deny_set_age_seconds')).toBe(1.5);
});

it('a worker that takes over a slab keeps its counters and forgets its gauges', () => {
  const layout = new MetricsLayout(['a']);
  const memory = layout.allocate(1);
  new WorkerMetrics(layout, memory, 0).requestBegan();
  const heir = new WorkerMetrics(layout, memory, 0);
  expect(heir.inFlight).toBe(0);
  expect(new Metrics(exposition(layout, memory, 1, node)).get('ai_requests_total')).toBe(1);
});

import { expect, it } from 'vitest';
import { LineBatch } from '../../../src/outlet/line-batch.ts';
import { MetricsLayout, WorkerMetrics } from '../../../src/settle/metrics.ts';
import { RefusalTally } from '../../../src/settle/refusal-tally.ts';
import { Settler } from '../../../src/settle/settle.ts';

it('a line of the access log is ASCII, whatever a client asked for', () => {
  const layout = new MetricsLayout(['a']);
  const lines: string[] = [];
  const metrics = new WorkerMetrics(layout, layout.allocate(1), 0);
  const settler = new Settler(
    metrics,
    (line) => lines.push(line),
    new LineBatch(() => {}),
    new RefusalTally(() => {}),
  );
  const settlement = {
    requestId: 'req_1',
    traceparent: null,
    method: 'GET',
    path: '/v1/\u00fc\u6a21\u{1f600}',
    payer: null,
    status: 404,
    outcome: 'rejected',
    rejection: 'unknown_provider',
    eventStream: false,
    bytesIn: 0,
    bytesOut: 0,
    ttfbMs: null,
    durationMs: 1,
  } as const;
  settler.settle(settlement, { provider: null, failure: null, facts: [] });
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^[ -~]*$/);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ path: settlement.path });
});

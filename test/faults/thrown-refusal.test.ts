import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { InjectedFaults, type MethodName } from '../support/injected-fault.ts';
import { token } from '../support/managed.ts';
import { post, RawClient } from '../support/raw-client.ts';
import { type Siege, startSiege } from '../support/siege.ts';

const RESPOND = 'edge/response-writer.ts#UwsResponseWriter.respond';
const TALLY = 'settle/refusal-tally.ts#RefusalTally.add';
const CASES: readonly (readonly [MethodName, number])[] = [
  [RESPOND, 1],
  [RESPOND, 2],
  // Behind the answer, and behind the first half of its settlement.
  [TALLY, 1],
];

describe('a bug that a refused request meets', () => {
  const faults = new InjectedFaults([RESPOND, TALLY]);
  let siege: Siege;

  beforeAll(async () => {
    siege = await startSiege(() => {}, { nodeArgs: faults.nodeArgs });
  });

  afterAll(async () => {
    await siege.close();
  });

  it.each(CASES)('settles it once: %s, %i times', async (method, times) => {
    const { gateway } = siege;
    const errors = gateway.count('internal_error');
    faults.arm(method, times);
    const client = new RawClient(gateway.port).send(post(token(), '/v1/fine_tuning/jobs'));
    await until('the bug to be met', () => !faults.isArmed);
    await until('its end', () => client.closed || client.receivedBytes > 0);
    client.close();
    const metrics = await gateway.idle();
    expect(metrics.sum('ai_exchanges_settled_total')).toBe(metrics.get('ai_requests_total'));
    await until('the log', () => gateway.count('internal_error') === errors + times);
    expect(metrics.get('ai_worker_restarts_total')).toBe(0);
  });
});

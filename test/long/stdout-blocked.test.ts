import { afterAll, beforeAll, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { inLanes } from '../support/lanes.ts';
import { facts, poolKeys, signingKeys, token } from '../support/managed.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const BLOCKED_MS = 20_000;
const LANES = 4;
/** Between two requests of a lane: 4 lanes make about 300 a second, far more lines than a pipe takes. */
const PACE_MS = 10;
const REQUEST = post(token(), CHAT, '{"model":"m"}');

let upstream: ScriptedUpstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer('{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
  gateway = await startGateway({
    config: `workers = 2\naccess_log = true\n${authorities({ openai: upstream.port })}${poolKeys({ openai: 'sk-pool' })}${signingKeys()}`,
  });
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

interface Seen {
  readonly ids: readonly string[];
  /** Milliseconds, sorted. */
  readonly latencies: readonly number[];
}

async function relayFor(durationMs: number): Promise<Seen> {
  const end = performance.now() + durationMs;
  const ids: string[] = [];
  const latencies: number[] = [];
  const lanes = Array.from({ length: LANES });
  const connection = () => new RawClient(gateway.port);
  await inLanes(lanes, LANES, connection, async (_, client) => {
    while (performance.now() < end) {
      const began = performance.now();
      const response = await client.send(REQUEST).response();
      latencies.push(performance.now() - began);
      expect(response.status).toBe(200);
      ids.push(response.field('x-sluice-request-id') ?? '');
      await pause(PACE_MS);
    }
    client.close();
  });
  return { ids, latencies: latencies.sort((a, b) => a - b) };
}

const quantile = ({ latencies }: Seen, share: number): number =>
  latencies[Math.floor(latencies.length * share)] ?? Number.NaN;

it('stdout blocked for 20 s slows no request down and loses no fact', async () => {
  await relayFor(2_000);
  const before = await relayFor(5_000);
  gateway.child.stdout?.pause();
  const blocked = await relayFor(BLOCKED_MS);
  const unread = facts(gateway).length;
  gateway.child.stdout?.resume();
  const print = (seen: Seen): string =>
    [0.5, 0.99].map((share) => `p${share * 100} ${quantile(seen, share).toFixed(1)} ms`).join(', ');
  process.stderr.write(`before: ${print(before)}; blocked: ${print(blocked)}\n`);
  // In four times the time; a relay that waits for stdout would stop altogether.
  expect(blocked.ids.length).toBeGreaterThan(2 * before.ids.length);
  expect(quantile(blocked, 0.5)).toBeLessThan(3 * quantile(before, 0.5));
  expect(unread).toBeLessThan(blocked.ids.length / 2);
  await until('every fact', () => {
    const told = new Set(facts(gateway).map((fact) => fact['request_id']));
    return [...before.ids, ...blocked.ids].every((id) => told.has(id));
  });
  const metrics = await gateway.metrics();
  expect(metrics.get('ai_usage_facts_lost_total')).toBe(0);
  expect(metrics.get('ai_log_lines_dropped_total')).toBe(0);
});

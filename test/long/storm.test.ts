import { afterAll, beforeAll, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { inLanes } from '../support/lanes.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { type Result, StormLane, wrong } from '../support/storm-client.ts';
import { described, type Plan, planOf } from '../support/storm-plan.ts';
import { playStorm } from '../support/storm-upstream.ts';

const EXCHANGES = 2_000;
const LANES = 24;
/** STORM_SEED repeats a storm that found something. */
const SEED = Number(process.env['STORM_SEED'] ?? 1 + Math.floor(Math.random() * 1e9));
/** Only turns a hang into a message: the slowest exchange moves 128 MiB. */
const HANG_MS = 180_000;

let gateway: Gateway;
let upstream: ScriptedUpstream;
/** Bodies that the upstream was sent whole and that were not what the client sent. */
const corrupt: string[] = [];
/** Whole bodies seen upstream, by seed. */
const arrived = new Set<number>();
const lanes: StormLane[] = [];

beforeAll(async () => {
  upstream = await startUpstream((turn) =>
    playStorm(turn, (plan, isRight) => {
      arrived.add(plan.seed);
      if (!isRight) corrupt.push(described(plan));
    }),
  );
  gateway = await startGateway({
    config: `workers = 2\nmax_request_body_bytes = 0\n${authorities({ openai: upstream.port })}`,
  });
});
afterAll(async () => {
  for (const lane of lanes) lane.close();
  await gateway.stop();
  await upstream.close();
});

/** Rejects with the plan when an exchange hangs. */
async function bounded(plan: Plan, work: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const hung = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`hung: ${described(plan)}`));
    }, HANG_MS);
  });
  return await Promise.race([work, hung]).finally(() => clearTimeout(timer));
}

it(`2,000 exchanges of random shape and fate lose, corrupt and leak nothing (seed ${SEED})`, async () => {
  const plans = Array.from({ length: EXCHANGES }, (_, at) => planOf(SEED + at * 10));
  const faults: string[] = [];
  const open = (): StormLane => {
    const lane = new StormLane(gateway.port);
    lanes.push(lane);
    return lane;
  };
  await inLanes(plans, LANES, open, async (plan, lane) => {
    const result = await bounded(plan, lane.run(plan));
    const fault = wrong(plan, result);
    if (fault !== null) faults.push(fault);
  });
  expect(faults).toEqual([]);
  expect(corrupt).toEqual([]);
  const lost = plans.filter(({ fate, seed }) => fate === 'whole' && !arrived.has(seed));
  expect(lost.map(described)).toEqual([]);

  const metrics = await gateway.idle();
  expect(metrics.get('ai_active_streams')).toBe(0);
  expect(metrics.sum('ai_exchanges_settled_total')).toBe(metrics.get('ai_requests_total'));
  expect(metrics.get('ai_worker_restarts_total')).toBe(0);
  await upstream.noneBusy();
  // What the pools keep for reuse goes within its keep-alive time: then nothing is open any more.
  await until('every upstream connection to close', () => upstream.sockets.size === 0, 60_000);
  expect(gateway.stderr).toBe('');
});

import { afterAll, beforeAll, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { seededRandom } from '../support/fixtures.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { inLanes } from '../support/lanes.ts';
import { type ScriptedUpstream, startUpstream, type Turn } from '../support/scripted-upstream.ts';
import { type Result, StormLane } from '../support/storm-client.ts';
import { described, type Plan, planOf } from '../support/storm-plan.ts';

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
  upstream = await startUpstream(act);
  gateway = await startGateway({
    config: `workers = 2\nmax_request_body_bytes = 0\n${authorities({ openai: upstream.port })}`,
  });
});
afterAll(async () => {
  for (const lane of lanes) lane.close();
  await gateway.stop();
  await upstream.close();
});

async function act(turn: Turn): Promise<void> {
  const plan = planOf(Number(turn.request.target.split('/').pop()));
  if (plan.fate === 'upstream-resets-first') {
    turn.reset();
    return;
  }
  if (plan.slowUpstream && plan.fate !== 'answered-early') await stutter(turn);
  if (plan.fate !== 'answered-early') await turn.bodyDone();
  if (turn.request.bodyDone) {
    arrived.add(plan.seed);
    if (turn.request.sha256 !== plan.up.sha256()) corrupt.push(described(plan));
  }
  await answer(turn, plan);
}

/** Reads with pauses until the body is here. */
async function stutter({ request, socket }: Turn): Promise<void> {
  while (!request.bodyDone && !socket.destroyed) {
    socket.pause();
    await pause(5);
    socket.resume();
    await pause(5);
  }
}

async function answer(turn: Turn, { seed, down, downForm, fate, leaveAt, slowUpstream }: Plan) {
  const random = seededRandom(seed + 4);
  const sized = downForm === 'sized';
  if (sized) await turn.write(`HTTP/1.1 200 OK\r\ncontent-length: ${down.length}\r\n\r\n`);
  else await turn.stream(['content-type: application/octet-stream']);
  // Always at least a byte short.
  const stop = fate === 'upstream-cuts' ? Math.floor(down.length * leaveAt) : down.length;
  for (let at = 0; at < stop && !turn.socket.destroyed; ) {
    const piece = down.slice(at, Math.min(stop - at, 1 + Math.floor(2 ** (random() * 19))));
    at += piece.length;
    await (sized ? turn.write(piece) : turn.chunk(piece));
    if (slowUpstream && random() < 0.1) await pause(random() * 20);
  }
  if (fate === 'upstream-cuts') turn.reset();
  else if (!sized) await turn.lastChunk();
}

/** What is wrong with a result, or null. Clients that leave only have to have read right bytes. */
function wrong(plan: Plan, { status, complete, clean, bytes }: Result): string | null {
  const said = `${described(plan)}: ${status}, ${complete ? 'complete' : 'cut'}, ${bytes} bytes`;
  if (!clean) return `corrupt response, ${said}`;
  switch (plan.fate) {
    case 'whole':
    case 'answered-early':
      return status === 200 && complete && bytes === plan.down.length ? null : `lost, ${said}`;
    case 'upstream-resets-first':
      return status === 502 && complete ? null : `no 502, ${said}`;
    case 'upstream-cuts':
      // Cut before a byte of a chunked body was relayed, it may still be told as a 502.
      // Nothing is missing from a sized body of no bytes.
      if (status === 200 && plan.downForm === 'sized' && plan.down.length === 0) return null;
      return status === 502 || !complete ? null : `a cut ended cleanly, ${said}`;
    default:
      return null;
  }
}

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

/**
 * The clients of the soak, in a process of their own. Orders begin at a constant rate, whatever the gateway does.
 * Arguments: the gateway's port, seed, orders a second.
 */

import { Agent } from 'node:http';
import { mintToken } from '../../src/keys/minting.ts';
import { type Result, StormLane, wrong } from '../../test/support/storm-client.ts';
import { described } from '../../test/support/storm-plan.ts';
import type { Fault } from './answer-check.ts';
import { type Ended, exchange, refused } from './exchange.ts';
import { secretOf } from './gateway-config.ts';
import type { End, FromLoad, ToLoad } from './messages.ts';
import { type BytesOrder, dueOf, type Order, orderOf } from './order.ts';

const [port = 0, seed = 0, rate = 0] = process.argv.slice(2).map(Number);
const STEP_MS = 20;
const REPORT_MS = 250;
/** Orders under way. Above it the next ones are dropped and counted: a machine that is too slow must not fill up. */
const MAX_IN_FLIGHT = 400;
/** Known bytes are moved by so many at a time: one may be 128 MiB. */
const BYTES_LANES = 4;
/** Free connections are closed before the gateway's front end does it (after 8 s), as docs/limits.md asks. */
const FREE_MS = 5_000;

const agent = new Agent({ keepAlive: true, timeout: FREE_MS });
const lanes = Array.from({ length: BYTES_LANES }, () => new StormLane(port, '/bytes/storm'));
const ends: End[] = [];
let kid = 1;
let asked = 0;
let inFlight = 0;
let heldBack = 0;
let isStopping = false;

const tokens = new Map<string, string>();
function keyOf(order: Order): string {
  if (!order.managed) return 'sk-byo';
  const name = `${kid}.${order.tenant}`;
  const known = tokens.get(name);
  if (known !== undefined) return known;
  const claims = { kid, tenantId: BigInt(order.tenant), vpcId: 1n, keyId: null };
  const minted = mintToken(secretOf(kid), claims);
  tokens.set(name, minted);
  return minted;
}

async function run(order: Order): Promise<Ended | null> {
  const connection = order.fresh ? false : agent;
  if (order.kind === 'refused') return await refused(port, order, connection);
  if (order.kind !== 'bytes') return await exchange(port, order, keyOf(order), connection);
  const lane = lanes.pop();
  if (lane === undefined) return null;
  const result = await lane.run(order.plan);
  lanes.push(lane);
  return endedOf(order, result);
}

function endedOf({ plan }: BytesOrder, result: Result): Ended {
  const { status, complete } = result;
  const what = wrong(plan, result);
  const left = plan.fate.startsWith('client-');
  const kind = !result.clean
    ? 'corrupt'
    : plan.fate === 'upstream-cuts' && complete && status === 200
      ? 'clean-cut'
      : 'lost';
  const faults: readonly Fault[] = what === null ? [] : [{ kind, what }];
  return { status, complete, requestId: null, left, faults };
}

async function begin(number: number): Promise<void> {
  const order = orderOf(seed, number);
  if (inFlight >= MAX_IN_FLIGHT) {
    heldBack++;
    return;
  }
  const beganMs = Date.now();
  inFlight++;
  const ended = await run(order);
  inFlight--;
  if (ended === null) {
    heldBack++;
    return;
  }
  const isDue = order.managed && (order.kind === 'mock' || order.kind === 'stream');
  const due = isDue ? dueOf(order) : null;
  const { kind, tenant } = order;
  ends.push({
    number,
    kind,
    beganMs,
    endedMs: Date.now(),
    tenant,
    due,
    ...ended,
    described: describe(order),
  });
}

function describe(order: Order): string {
  const leaves = order.leaveMs === null ? '' : `, leaves at ${order.leaveMs} ms`;
  const text = `order ${order.number}${leaves}`;
  switch (order.kind) {
    case 'mock':
      return `${text} (${order.model} at ${order.target}, ${order.body['stream'] === true ? 'streamed' : 'whole'})`;
    case 'stream':
      return `${text} (stream of ${order.plan.events.length} events, ${order.plan.fate})`;
    case 'bytes':
      return `${text} (${described(order.plan)})`;
    default:
      return `${text} (refused: ${order.refusal.code})`;
  }
}

function report(isOver: boolean): void {
  const message: FromLoad = { ends: ends.splice(0), asked, inFlight, heldBack, isOver };
  process.send?.(message);
}

process.on('message', (message: ToLoad) => {
  if (message.kind === 'kid') kid = message.kid;
  else isStopping = true;
});
process.on('disconnect', () => process.exit(1));

const startedMs = performance.now();
const pacing = setInterval(() => {
  const due = isStopping ? asked : Math.floor(((performance.now() - startedMs) / 1_000) * rate);
  while (asked < due) void begin(asked++);
}, STEP_MS);

const reporting = setInterval(() => {
  const isOver = isStopping && inFlight === 0;
  if (isOver) {
    clearInterval(pacing);
    clearInterval(reporting);
    agent.destroy();
    for (const lane of lanes) lane.close();
  }
  report(isOver);
}, REPORT_MS);

/**
 * The providers of the soak, in a process of their own: two mocks, one of which the vendors are at a time, and two
 * scripted upstreams, for streams and for known bytes.
 */

import { type RunningMock, startMock } from '../../src/mock/server.ts';
import { pause } from '../../test/support/conditions.ts';
import {
  type ScriptedUpstream,
  startUpstream,
  type Turn,
} from '../../test/support/scripted-upstream.ts';
import { described } from '../../test/support/storm-plan.ts';
import { playStorm } from '../../test/support/storm-upstream.ts';
import type { FromUpstream, ToUpstream } from './messages.ts';
import { numberOf, orderOf } from './order.ts';

const seed = Number(process.argv[2]);
const REPORT_MS = 250;
const AWAY_MS = 500;
/** The one key that callers have of their own, and the pool's of any generation. Never a virtual key. */
const KNOWN_KEY = /^Bearer (?:sk-byo|sk-storm|sk-pool-\d+-(?:one|two)-of-two)$/;

const reached: number[] = [];
const wrong: string[] = [];
const note = (line: string): void => {
  const number = numberOf(line);
  if (number !== null) reached.push(number);
};
const launch = async (port = 0): Promise<RunningMock> =>
  await startMock({ host: '127.0.0.1', port, eventDelayMs: 0, log: note });

const streams = await startUpstream(playStream, { keepBodies: true });
const bytes = await startUpstream(async (turn) => {
  checkKey(turn);
  await playStorm(turn, (plan, isRight) => {
    if (!isRight) wrong.push(`corrupt upload, ${described(plan)}`);
  });
});
let mocks: readonly RunningMock[] = await Promise.all([launch(), launch()]);

function checkKey({ request }: Turn): void {
  const key = request.field('authorization') ?? '';
  if (!KNOWN_KEY.test(key)) wrong.push(`a key that is none of a provider's: ${key.slice(0, 16)}`);
}

async function playStream(turn: Turn): Promise<void> {
  await turn.bodyDone();
  if (!turn.request.bodyDone) return;
  checkKey(turn);
  const body = JSON.parse(turn.request.body.toString()) as {
    readonly model: string;
    readonly stream_options?: { readonly include_usage?: boolean };
  };
  const number = numberOf(body.model) ?? -1;
  reached.push(number);
  const order = orderOf(seed, number);
  if (order.kind !== 'stream') return;
  const { plan } = order;
  const isAsked = body.stream_options?.include_usage === true;
  const tail = isAsked ? [plan.usage, plan.end] : [plan.end];
  await turn.stream();
  for (const [at, event] of [...plan.events, ...tail].entries()) {
    if (turn.socket.destroyed) return;
    if (plan.fate === 'upstream-cuts' && at === plan.leaveAt) {
      turn.reset();
      return;
    }
    await turn.chunk(event);
    if (plan.gapMs > 0) await pause(plan.gapMs);
  }
  await turn.lastChunk();
}

/** As a provider's deploy does it: what runs is cut, and for a moment nobody is there. */
async function restart(): Promise<void> {
  for (const { sockets } of [streams, bytes])
    for (const socket of sockets) socket.resetAndDestroy();
  const ports = mocks.map(({ port }) => port);
  await Promise.all(mocks.map((mock) => mock.close()));
  await pause(AWAY_MS);
  mocks = await Promise.all(ports.map(launch));
}

/** What they saw is of no use here, and would be this process's own leak. */
function forget({ requests }: ScriptedUpstream): void {
  requests.length = 0;
}

const send = (message: FromUpstream): void => void process.send?.(message);
process.on('message', (message: ToUpstream) => {
  if (message.kind === 'restart') void restart().then(() => send({ kind: 'restarted' }));
});
process.on('disconnect', () => process.exit(1));
setInterval(() => {
  forget(streams);
  forget(bytes);
  const connections = streams.sockets.size + bytes.sockets.size;
  send({ kind: 'seen', reached: reached.splice(0), wrong: wrong.splice(0), connections });
}, REPORT_MS);
send({
  kind: 'ports',
  ports: {
    mockA: mocks[0]?.port ?? 0,
    mockB: mocks[1]?.port ?? 0,
    streams: streams.port,
    bytes: bytes.port,
  },
});

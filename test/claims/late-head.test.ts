import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { head, post, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream, type Turn } from '../support/scripted-upstream.ts';

const EVENTS = 'data: 1\n\ndata: [DONE]\n\n';
const COMMENTED = `:\n${EVENTS}`;
/** Behind it a head has long left, in milliseconds: where none may leave there is nothing else to wait for. */
const LATE_MS = 1_500;
const LATE = '/v1/events/late';
const SOON = '/v1/events/soon';

let gateway: Gateway;
let upstream: ScriptedUpstream;

/** Providers that wait until their clients have seen something, by the number `n` in the query of their target. */
const waiting = new Map<string, PromiseWithResolvers<void>>();

function sight(number: string): PromiseWithResolvers<void> {
  const known = waiting.get(number) ?? Promise.withResolvers<void>();
  waiting.set(number, known);
  return known;
}

/**
 * `/v1/FORM/WHEN/END?n=N`: a head at once; then the body, or the connection's end: `soon`, or `late`, once its client has
 * seen something, and without a number long behind the time when it would have.
 */
async function answer(turn: Turn): Promise<void> {
  await turn.bodyDone();
  const { pathname, searchParams } = new URL(turn.request.target, 'http://upstream');
  const [, , form = '', when, end] = pathname.split('/');
  const type = form === 'json' ? 'application/json' : 'text/event-stream';
  const coding = form === 'packed' ? ['content-encoding: gzip'] : [];
  if (form === 'error')
    await turn.write(
      `HTTP/1.1 500 Broken\r\ncontent-type: ${type}\r\ntransfer-encoding: chunked\r\n\r\n`,
    );
  else await turn.stream([`content-type: ${type}`, ...coding]);
  const number = searchParams.get('n');
  if (number !== null) await sight(number).promise;
  else if (when === 'late') await pause(LATE_MS);
  if (end === 'dies') {
    turn.socket.destroy();
    return;
  }
  await turn.chunk(EVENTS);
  await turn.lastChunk();
}

beforeAll(async () => {
  upstream = await startUpstream(answer);
  gateway = await startGateway({
    config:
      `workers = 1\naccess_log = true\nmanaged_endpoints = ["/events/late"]\n${authorities({ openai: upstream.port })}` +
      poolKeys({ openai: 'sk-pool-openai' }) +
      signingKeys(),
  });
});
afterAll(async () => {
  expect(gateway.stderr).toBe('');
  await gateway.stop();
  await upstream.close();
});

type Sender = (target: string) => RawClient;

const ask: Sender = (target) =>
  new RawClient(gateway.port).send(head('GET', target, ['Accept: text/event-stream']));

/** Sends what is answered, or cut, once its client has seen something of the answer; resolves then. */
async function seenEarly(target: string, send: Sender = ask): Promise<RawClient> {
  const number = String(waiting.size);
  const { resolve } = sight(number);
  const client = send(`${target}${target.includes('?') ? '&' : '?'}n=${number}`);
  await until('the head', () => client.receivedBytes > 0);
  resolve();
  return client;
}

async function textOf(client: RawClient) {
  const response = await client.response();
  client.close();
  return [response.status, response.complete, response.body.toString()];
}

describe('the head of an event stream whose provider thinks', () => {
  it('leaves meanwhile, and a comment is all that its reader gets beside the events', async () => {
    expect(await textOf(await seenEarly(LATE))).toEqual([200, true, COMMENTED]);
    const line = await gateway.waitForLog(({ path }) => path === LATE);
    expect(line['bytes_out']).toBe(EVENTS.length);
  });

  it('takes nothing along when the first event comes soon', async () => {
    expect(await textOf(ask(SOON))).toEqual([200, true, EVENTS]);
  });

  it('becomes a 502 when the provider dies soon, and a cut behind an error event when it dies late', async () => {
    const early = await ask(`${SOON}/dies`).response();
    expect(early.status).toBe(502);
    const late = await (await seenEarly(`${LATE}/dies`)).response();
    expect([late.status, late.complete]).toEqual([200, false]);
    expect(late.body.toString()).toMatch(/^:\ndata: \{"error":.*\}\n\n$/);
  });
});

it.each(['json', 'packed'])('nothing is put into a body that is %s', async (form) => {
  expect(await textOf(ask(`/v1/${form}/late`))).toEqual([200, true, EVENTS]);
});

it('nothing is put into an error that is labelled as an event stream: most are one JSON text', async () => {
  expect(await textOf(ask('/v1/error/late'))).toEqual([500, true, EVENTS]);
});

const FILLER = 'x'.repeat(60_000);

/** How a request may ask for a stream, or not; each is answered with events, late. */
const WISHES: readonly (readonly [what: string, target: string, body: string, late: string])[] = [
  ['asks for a stream', LATE, '{"model":"m","stream":true}', COMMENTED],
  ['asks with white space', LATE, '{"stream" : \n true,"model":"m"}', COMMENTED],
  ['asks in front of much', LATE, `{"stream":true,"input":"${FILLER}"}`, COMMENTED],
  ['asks behind much', LATE, `{"input":"${FILLER}","stream":true,"tools":[]}`, COMMENTED],
  ['asks in its query', `${LATE}?stream=true`, '{"model":"m"}', COMMENTED],
  ['asks as Gemini wants it', `${LATE}?alt=sse`, '{"contents":[]}', COMMENTED],
  ['asks for none', LATE, '{"model":"m","stream":false}', EVENTS],
  ['says nothing of it', LATE, '{"model":"m"}', EVENTS],
  ['speaks of it in a text', LATE, '{"input":"\\"stream\\":true"}', EVENTS],
  ['asks for options only', LATE, '{"stream_options":{"include_usage":true}}', EVENTS],
];

/** By key: all of them at once, because each is late. */
const answers = new Map<string, Promise<ReadonlyMap<string, readonly unknown[]>>>();

async function askAll(key: string, at: string): Promise<ReadonlyMap<string, readonly unknown[]>> {
  const told = WISHES.map(async ([, target, body, late]) => {
    const send: Sender = (to) => new RawClient(gateway.port).send(post(key, at + to, body));
    const client = late === COMMENTED ? await seenEarly(target, send) : send(target);
    return [target + body, await textOf(client)] as const;
  });
  return new Map(await Promise.all(told));
}

// A server that labels JSON as an event stream: what nobody asked to be streamed is likely to be one JSON text.
describe.each([
  ['an own key', 'sk-test', ''],
  ['a virtual key', token(), '/openai'],
] as const)('a late answer that is called an event stream, to %s whose request', (_who, key, at) => {
  it.each(WISHES)('%s', async (_what, target, body, late) => {
    const all = answers.get(key) ?? askAll(key, at);
    answers.set(key, all);
    expect((await all).get(target + body)).toEqual([200, true, late]);
  });
});

import { createHash } from 'node:crypto';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RESERVE_BYTES } from '../../src/wire/usage-option-editor.ts';
import { factOf, facts, token } from '../support/managed.ts';
import { MemoryWatch } from '../support/memory-watch.ts';
import { besideNeighbour } from '../support/neighbour.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import { expectUnharmed, type Siege, startSiege } from '../support/siege.ts';

const MIB = 1_048_576;
/** What any of these may take above idle: bodies are not kept, whatever is inside of them. */
const MEMORY_MAX_BYTES = 64 * MIB;

let siege: Siege;
/** The head's lines and the body of the next response. */
let answer: readonly [lines: string, body: Buffer] = ['', Buffer.alloc(0)];

beforeAll(async () => {
  siege = await startSiege(async (turn) => {
    await turn.bodyDone();
    const [lines, body] = answer;
    await turn.write(`HTTP/1.1 200 OK\r\n${lines}content-length: ${body.length}\r\n\r\n`);
    await turn.write(body);
  });
});
afterAll(async () => await siege.close());

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const OK: typeof answer = [
  'content-type: application/json\r\n',
  Buffer.from('{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":1}}'),
];

/**
 * Sends a request beside a neighbour, under a bound on memory.
 * @param managed whether a fact is due; null: there may be one
 * @returns the response and the fact, if one is due
 */
async function relay(request: Buffer, managed: boolean | null) {
  const { gateway } = siege;
  const told = facts(gateway).length;
  const reached = siege.upstream.requests.length;
  let fact: Readonly<Record<string, unknown>> | null = null;
  let response: Awaited<ReturnType<RawClient['response']>> | null = null;
  await besideNeighbour(gateway, async () => {
    const memory = new MemoryWatch(gateway);
    const client = new RawClient(gateway.port).send(request);
    response = await client.response();
    client.close();
    if (managed === true) fact = await factOf(gateway, response.field('x-sluice-request-id'));
    expect(memory.stop()).toBeLessThan(MEMORY_MAX_BYTES);
  });
  await expectUnharmed(gateway);
  const mine = facts(gateway)
    .slice(told)
    .filter(({ provider }) => provider === 'openai');
  if (managed !== null) expect(mine.length).toBe(managed ? 1 : 0);
  return {
    response: response as unknown as Awaited<ReturnType<RawClient['response']>>,
    fact: fact as Readonly<Record<string, unknown>> | null,
    request: siege.upstream.requests[reached],
  };
}

/** 1 GiB of nothing: 64 MiB, packed and repeated; each of these formats may be concatenated or is cut where it suffices. */
const ZEROS = Buffer.alloc(64 * MIB);
const ZEROS_PACKED = gzipSync(ZEROS);
const BOMBS: readonly (readonly [coding: string, bomb: Buffer])[] = [
  ['gzip', Buffer.concat(Array.from({ length: 16 }, () => ZEROS_PACKED))],
  ['deflate', deflateSync(ZEROS)],
  ['br', brotliCompressSync(ZEROS)],
  ['gzip, gzip', gzipSync(Buffer.concat(Array.from({ length: 64 }, () => ZEROS_PACKED)))],
];

describe.each(
  Object.entries({ 'an own key': 'sk-own', 'a virtual key': token() }),
)('with %s', (who, key) => {
  const managed = who !== 'an own key';

  it.each(
    BOMBS,
  )('a response packed with %s passes as it is, and is not unpacked', async (coding, bomb) => {
    answer = [`content-type: application/json\r\ncontent-encoding: ${coding}\r\n`, bomb];
    const { response, fact } = await relay(post(key), managed);
    expect(response).toMatchObject({ status: 200, complete: true, sha256: sha256(bomb) });
    expect(response.field('content-encoding')).toBe(coding);
    if (managed) expect(fact).toMatchObject({ usage_source: 'estimated', bytes_out: bomb.length });
  });

  const what = managed
    ? 'is unpacked as far as may be, and refused'
    : 'passes as it is, and is not unpacked';
  it.each(BOMBS)(`a request packed with %s ${what}`, async (coding, bomb) => {
    answer = OK;
    const head = `POST ${CHAT} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Encoding: ${coding}\r\nContent-Length: ${bomb.length}\r\n\r\n`;
    const { response, request } = await relay(
      Buffer.concat([Buffer.from(head), bomb]),
      managed ? null : false,
    );
    if (managed) {
      // 64 MiB of zeros and more: too much for its size, or no JSON, or packed twice.
      expect([400, 413]).toContain(response.status);
      expect(request?.bodyDone ?? false).toBe(false);
    } else {
      expect(response.status).toBe(200);
      expect(request?.sha256).toBe(sha256(bomb));
    }
  });
});

const MODEL = '{"model":"asked",';
const filled = (bytes: number, piece: string): string =>
  piece.repeat(Math.floor(bytes / piece.length));
/** Texts that cost a parser its stack, its heap or its time; of 4 to 32 MiB. */
const JSON_BOMBS: readonly (readonly [what: string, text: string])[] = [
  ['8 million nested arrays', `${MODEL}"x":${'['.repeat(8 * MIB)}${']'.repeat(8 * MIB)}}`],
  ['arrays that never close', `${MODEL}"x":${'['.repeat(16 * MIB)}`],
  ['3 million nested objects', `${MODEL}"x":${filled(15 * MIB, '{"a":')}1${'}'.repeat(3 * MIB)}}`],
  ['brackets that only close', `${MODEL}"x":1}${'}]'.repeat(4 * MIB)}`],
  ['a name of 16 MiB', `${MODEL}"${'k'.repeat(16 * MIB)}":1}`],
  ['a name of 8 MiB of escapes', `${MODEL}"${filled(8 * MIB, '\\u0061')}":1}`],
  ['a string of 32 MiB', `${MODEL}"x":"${'a'.repeat(32 * MIB)}"}`],
  ['a string that never ends', `${MODEL}"x":"${'a'.repeat(32 * MIB)}`],
  ['16 MiB of backslashes', `${MODEL}"x":"${'\\\\'.repeat(8 * MIB)}"}`],
  ['8 million tiny values', `${MODEL}"x":[${'1,'.repeat(8 * MIB)}1]}`],
  [
    '1 million members',
    `{${Array.from({ length: MIB }, (_, n) => `"${n}":0,`).join('')}"model":"asked"}`,
  ],
  ['1 million models', `{${'"model":"other",'.repeat(MIB)}"model":"asked"}`],
  ['1 million escaped models', `{${'"\\u006dodel":"other",'.repeat(MIB / 2)}"model":"asked"}`],
  ['a model of 16 MiB', `{"model":"${'m'.repeat(16 * MIB)}"}`],
  ['a number of 16 MiB', `${MODEL}"x":${'9'.repeat(16 * MIB)}}`],
  ['16 MiB of white space', `${MODEL}${' \n\t\r'.repeat(4 * MIB)}"x":1}`],
  ['16 MiB of NULs', '\0'.repeat(16 * MIB)],
  ['16 MiB of quotes', '"'.repeat(16 * MIB)],
];

describe('a virtual key', () => {
  it.each(
    JSON_BOMBS,
  )('that asks with %s has its bytes passed on, and is billed once', async (_what, text) => {
    answer = OK;
    const body = Buffer.from(text);
    // By the path that names the provider: what is no JSON names no model, and goes nowhere else.
    const asked = post(token(), `/openai${CHAT}`, body);
    const { response, request, fact } = await relay(asked, true);
    expect(response.status).toBe(200);
    // Declared longer by that much, for an option that is not needed here: white space in its place. What shows in its
    // first piece that it is no JSON keeps its length.
    const padded = Buffer.concat([body, Buffer.alloc(RESERVE_BYTES, ' ')]);
    expect([sha256(body), sha256(padded)]).toContain(request?.sha256);
    expect(fact).toMatchObject({ usage_source: 'reported', bytes_in: body.length });
    expect(String(fact?.['requested_model'] ?? '').length).toBeLessThan(1_024);
  });

  it.each(
    JSON_BOMBS,
  )('that is answered with %s gets those bytes, and is billed once', async (_what, text) => {
    answer = ['content-type: application/json\r\n', Buffer.from(text)];
    const { response, fact } = await relay(post(token()), true);
    expect(response).toMatchObject({ status: 200, complete: true, sha256: sha256(answer[1]) });
    // What is no JSON from its first byte on is no answer of a model.
    const source = text.startsWith('\0') ? 'none' : 'estimated';
    expect(fact).toMatchObject({ usage_source: source, bytes_out: answer[1].length });
    expect(String(fact?.['model'] ?? '').length).toBeLessThan(1_024);
  });

  const DELTA = 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n';
  const STREAMS: readonly (readonly [what: string, text: string])[] = [
    ['a line that never ends', `data: {"choices":[{"delta":{"content":"${'a'.repeat(16 * MIB)}`],
    [
      'an event of 16 MiB',
      `data: {"choices":[{"delta":{"content":"${'a'.repeat(16 * MIB)}"}}]}\n\n`,
    ],
    ['8 million empty events', '\n\n'.repeat(8 * MIB)],
    ['4 million lines of one event', 'data:\n'.repeat(4 * MIB)],
    ['4 million comments', ':\n\n'.repeat(4 * MIB)],
    ['300,000 events', DELTA.repeat(300_000)],
    [
      '100,000 reports of usage',
      'data: {"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n'.repeat(100_000),
    ],
    ['a report of 16 MiB', `data: {"usage":{"x":"${'a'.repeat(16 * MIB)}"}}\n\n`],
    ['bare CRs', 'data: {}\r\r'.repeat(MIB)],
  ];
  it.each(
    STREAMS,
  )('whose stream is %s gets those bytes, and is billed once', async (_what, text) => {
    const asked = '{"model":"m","stream":true,"stream_options":{"include_usage":true}}';
    answer = ['content-type: text/event-stream\r\n', Buffer.from(text)];
    const { response, fact } = await relay(post(token(), CHAT, asked), true);
    expect(response).toMatchObject({ status: 200, complete: true, sha256: sha256(answer[1]) });
    expect(fact).toMatchObject({ outcome: 'complete', bytes_out: answer[1].length });
    expect(JSON.stringify(fact?.['usage_raw'] ?? null).length).toBeLessThanOrEqual(4_096);
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { token } from '../support/managed.ts';
import { Neighbour } from '../support/neighbour.ts';
import { CHAT, RawClient } from '../support/raw-client.ts';
import { expectUnharmed, type Siege, startSiege } from '../support/siege.ts';

let siege: Siege;
let neighbour: Neighbour;

beforeAll(async () => {
  siege = await startSiege(async (turn) => {
    await turn.bodyDone();
    await turn.answer('{}');
  });
  neighbour = new Neighbour(siege.gateway);
  await neighbour.served();
});
afterAll(async () => await siege.close());

async function ask(key: string, target: string) {
  const before = siege.upstream.requests.length;
  const client = new RawClient(siege.gateway.port).send(
    `POST ${target} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${key}\r\nContent-Length: 2\r\n\r\n{}`,
  );
  const response = await neighbour.outlasts(client);
  return { status: response?.status ?? 0, reached: siege.upstream.requests.slice(before) };
}

/** Ways to write a path that is another one to whoever reads it more freely. */
const TRICKS: readonly string[] = [
  '/v1/files/../chat/completions',
  '/v1/./chat/completions',
  '/v1/../v1/chat/completions',
  '/v1/files/%2e%2e/chat/completions',
  '/v1/files/.%2E/chat/completions',
  '/v1/files/..%2fchat/completions',
  '/v1/files%2f..%2fchat/completions',
  '/v1/files/..%5cchat/completions',
  '/v1/files\\..\\chat/completions',
  '/v1/files/..\\chat/completions',
  '/v1/files%00/chat/completions',
  '/v1/files%0d%0a/chat/completions',
  '/v1/files%23/chat/completions',
  '/v1/files%3f/chat/completions',
  '/v1/files%253f/chat/completions',
  '/v1/%66iles/chat/completions',
  '/v1/ch%61t/completions',
  '/v1/chat%2fcompletions',
  '/v1/chat/completions%2f..%2f..%2ffiles',
  '/v1/chat/completions/..',
  '/v1/chat/completions/../../files',
  '/v1/chat/completions%20',
  '/v1/threads/t/messages',
  '/v1/threads/%74/messages',
  '/v1/Threads/t/messages',
  '/v1/batches/..;/chat/completions',
  '/v1/files;/chat/completions',
  '/v1/chat//completions',
  '/v1/files/x/chat/completions',
];

/** Paths that a virtual key has no business with, plainly spelled. */
const ELSEWHERE: readonly string[] = [
  '/v1/files',
  '/v1/chat/completions/',
  '/v1/chat/completions/x',
  '/v1/chat/completions;x',
  '/v1/chat/completions&x=/v1/y',
  '/v1/Chat/Completions',
  '/v1/files?x=/chat/completions',
  '/v1?/chat/completions',
  '/openai',
];

/** Targets that select no provider. */
const NOBODYS: readonly string[] = [
  'http://127.0.0.1/v1/chat/completions',
  'http://evil.test/v1/chat/completions',
  'https://groq/openai/v1/chat/completions',
  'HTTP://openai/v1/chat/completions',
  '//openai/v1/chat/completions',
  '///v1/chat/completions',
  '/./openai/v1/chat/completions',
  '/../openai/v1/chat/completions',
  '/%6fpenai/v1/chat/completions',
  '/openai%2fv1/chat/completions',
  '/openai%5cv1/chat/completions',
  '/openai\\v1/chat/completions',
  '/openai;x/v1/chat/completions',
  '/openai./v1/chat/completions',
  '/openai%00/v1/chat/completions',
  '/OpenAI/v1/chat/completions',
  '/v1%2fchat/completions',
  '/__proto__/v1/chat/completions',
  '/constructor/v1/chat/completions',
  '/toString',
  '/hasOwnProperty/x',
  '*',
  'openai/v1/chat/completions',
  '?/v1/chat/completions',
  'evil.test:443',
];

/** Targets with bytes that no target may hold. */
const ILLEGAL: readonly string[] = [
  '/v1/chat/completions#/v1/files',
  '/v1/chat/\xc0\xaf/completions',
  '/v1/chat/completions?x=\xff',
  '/v1/\xef\xbc\x8e\xef\xbc\x8e/chat/completions',
  '/v1/chat\x7f/completions',
  '/v1/chat\x01/completions',
  '/v1/chat\t/completions',
  '/v1/chat/completions HTTP/1.1 x',
  '/v1/chat completions',
];

describe('a path that can be read in two ways', () => {
  it.each(TRICKS)('%s reaches nothing with a virtual key', async (target) => {
    const { status, reached } = await ask(token(), target);
    expect(status).toBe(404);
    expect(reached).toEqual([]);
  });

  it('two slashes behind the base URL are a slip, whoever makes it', async () => {
    for (const key of ['sk-own', token()]) {
      const { status, reached } = await ask(key, '/v1//chat/completions');
      expect([status, reached]).toEqual([404, []]);
    }
  });

  it.each(TRICKS)('%s goes to its provider as it was written with an own key', async (target) => {
    const { status, reached } = await ask('sk-own', target);
    expect([status, ...reached.map((request) => request.target)]).toEqual([200, target]);
    expect(reached[0]?.field('host')).toBe(`127.0.0.1:${siege.upstream.port}`);
  });
});

describe('a path', () => {
  it.each(ELSEWHERE)('%s is nothing for a virtual key', async (target) => {
    const { status, reached } = await ask(token(), target);
    expect(status).toBe(404);
    expect(reached).toEqual([]);
  });

  it.each(NOBODYS)('%s reaches nobody, whoever asks', async (target) => {
    for (const key of ['sk-own', token()]) {
      const { status, reached } = await ask(key, target);
      expect([0, 400, 404, 505]).toContain(status);
      expect(reached).toEqual([]);
    }
  });

  it.each(ILLEGAL)('%j is refused, whoever asks', async (target) => {
    for (const key of ['sk-own', token()]) {
      const { status, reached } = await ask(key, target);
      expect([0, 400, 505]).toContain(status);
      expect(reached).toEqual([]);
    }
  });

  it('behind a provider stays with that provider, however it climbs', async () => {
    for (const climb of [
      '/groq/../openai/v1',
      '/groq//openai/v1',
      '/groq/%2e%2e/openai',
      '/groq/@evil.test/',
    ]) {
      const { status, reached } = await ask('sk-own', climb);
      expect([status, reached.map((request) => request.target)]).toEqual([
        200,
        [climb.slice('/groq'.length)],
      ]);
    }
  });

  it('with an empty segment before an endpoint is nothing for a virtual key', async () => {
    const { status, reached } = await ask(token(), `/openai/${CHAT}`);
    expect([status, reached]).toEqual([404, []]);
  });
});

it('a neighbour of all that has its stream and its answers whole', async () => {
  await neighbour.expectWhole();
  await expectUnharmed(siege.gateway);
});

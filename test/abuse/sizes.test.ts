import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { token } from '../support/managed.ts';
import { MemoryWatch } from '../support/memory-watch.ts';
import { Neighbour } from '../support/neighbour.ts';
import { CHAT, RawClient } from '../support/raw-client.ts';
import { expectUnharmed, type Siege, startSiege } from '../support/siege.ts';

const KIB = 1_024;
const MIB = 1_048_576;

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

const keys = { 'with its own key': 'sk-own', 'with a virtual key': token() };

async function ask(key: string, lines: string, target = CHAT) {
  const before = siege.upstream.requests.length;
  const client = new RawClient(siege.gateway.port).send(
    `POST ${target} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${key}\r\n${lines}Content-Length: 13\r\n\r\n{"model":"m"}`,
  );
  const response = await neighbour.outlasts(client);
  return { status: response?.status ?? 0, reached: siege.upstream.requests.slice(before) };
}

const many = (count: number, line = (n: number) => `X-${n}: 1\r\n`): string =>
  Array.from({ length: count }, (_, n) => line(n)).join('');

const TOO_MUCH: readonly (readonly [what: string, lines: string, target: string])[] = [
  ['a value of 40 KiB', `X-A: ${'a'.repeat(40 * KIB)}\r\n`, CHAT],
  ['a value of 4 MiB', `X-A: ${'a'.repeat(4 * MIB)}\r\n`, CHAT],
  ['a name of 40 KiB', `${'a'.repeat(40 * KIB)}: 1\r\n`, CHAT],
  ['200 fields', many(200), CHAT],
  ['5,000 empty fields', many(5_000, (n) => `${n}:\r\n`), CHAT],
  ['40 KiB in small fields', many(90, (n) => `X-${n}: ${'a'.repeat(460)}\r\n`), CHAT],
  ['a target of 40 KiB', '', `${CHAT}?${'a'.repeat(40 * KIB)}`],
  ['a target of 4 MiB', '', `${CHAT}?${'a'.repeat(4 * MIB)}`],
  ['a path of 10,000 segments', '', `/v1${'/aaaa'.repeat(10_000)}`],
];

describe.each(Object.entries(keys))('a request %s', (_who, key) => {
  it.each(
    TOO_MUCH,
  )('and %s is refused, and nothing goes upstream', async (_what, lines, target) => {
    const { status, reached } = await ask(key, lines, target);
    expect([0, 400, 414, 431]).toContain(status);
    expect(reached).toEqual([]);
  });

  it.each([
    ['a target of 30 KiB', '', `${CHAT}?${'a'.repeat(30 * KIB)}`],
    ['90 fields', many(90), CHAT],
    ['a query of 5,000 pairs', '', `${CHAT}?${many(5_000, (n) => `a=${n % 10}&`)}`],
  ])('and %s is relayed', async (_what, lines, target) => {
    const { status, reached } = await ask(key, lines, target);
    expect(status).toBe(200);
    expect(reached.map((request) => request.target)).toEqual([target]);
  });

  it.each([
    '209715201',
    '999999999999999',
  ])('that declares %s bytes is refused at once', async (n) => {
    const client = new RawClient(siege.gateway.port).send(
      `POST ${CHAT} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${key}\r\nContent-Length: ${n}\r\n\r\n`,
    );
    expect((await client.response()).status).toBe(413);
    client.close();
  });
});

it('heads that never end are cut off at their limit, 100 of 1 MiB at once, and none of it is kept', async () => {
  const memory = new MemoryWatch(siege.gateway);
  const clients = Array.from({ length: 100 }, () => {
    const client = new RawClient(siege.gateway.port);
    client.send('GET /v1/x HTTP/1.1\r\nHost: s\r\n');
    for (let sent = 0; sent < MIB; sent += 16 * KIB)
      client.send(`X-${sent}: ${'a'.repeat(16 * KIB)}\r\n`);
    return client;
  });
  await until('all to be cut off', () => clients.every(({ closed }) => closed));
  for (const client of clients) {
    const answer = Buffer.concat(client.received).toString('latin1', 0, 12);
    expect(['', 'HTTP/1.1 431']).toContain(answer);
  }
  expect(memory.stop()).toBeLessThan(32 * MIB);
});

it('a neighbour of all that has its stream and its answers whole', async () => {
  await neighbour.expectWhole();
  await expectUnharmed(siege.gateway);
});

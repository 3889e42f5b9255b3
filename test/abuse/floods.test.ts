import { afterAll, beforeAll, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { facts, token } from '../support/managed.ts';
import { MemoryWatch } from '../support/memory-watch.ts';
import { besideNeighbour } from '../support/neighbour.ts';
import { CHAT, RawClient } from '../support/raw-client.ts';
import { expectUnharmed, type Siege, startSiege } from '../support/siege.ts';

const MIB = 1_048_576;
/** Connected in one go, so that no accept queue overflows. */
const BATCH = 250;
/** Descriptors that the neighbour and the scrapes of metrics come and go with. */
const OTHERS = 20;

let siege: Siege;

beforeAll(async () => {
  siege = await startSiege(async (turn) => {
    await turn.bodyDone();
    if (turn.request.bodyDone) await turn.answer('{}');
  });
});
afterAll(async () => await siege.close());

/** Opens many connections that say `bytes`, in batches that are each accepted before the next. */
async function flood(count: number, bytes: string): Promise<readonly RawClient[]> {
  const { gateway } = siege;
  const clients: RawClient[] = [];
  while (clients.length < count) {
    for (let i = 0; i < BATCH; i++) clients.push(new RawClient(gateway.port).send(bytes));
    await until('the batch to be connected', () =>
      clients.every(({ socket }) => !socket.connecting && socket.writableLength === 0),
    );
  }
  return clients;
}

const chat = (key: string, lines: string): string =>
  `POST ${CHAT} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${key}\r\n${lines}\r\n\r\n`;

const FLOODS: readonly (readonly [
  what: string,
  count: number,
  bytes: string,
  perConnectionBytes: number,
  inFlight: number,
])[] = [
  ['connections that say nothing', 3_000, '', 8_192, 0],
  [
    'connections that say half of a head',
    3_000,
    'POST /v1/x HTTP/1.1\r\nHost: s\r\nX-A: ',
    8_192,
    0,
  ],
  [
    'uploads with an own key that stop after their head',
    3_000,
    chat('sk-own', 'Content-Length: 9'),
    16_384,
    1,
  ],
  [
    'half-open uploads with an own key',
    2_500,
    `${chat('sk-own', 'Content-Length: 9')}half`,
    32_768,
    1,
  ],
  [
    'half-open chunked uploads with a virtual key',
    2_500,
    `${chat(token(), 'Transfer-Encoding: chunked')}4\r\nhalf\r\n`,
    32_768,
    1,
  ],
];

it.each(
  FLOODS,
)('%s, %d of them, take little memory and are forgotten when they leave', async (...row) => {
  const [, count, bytes, perConnectionBytes, inFlight] = row;
  const { gateway, upstream } = siege;
  const told = facts(gateway).length;
  await besideNeighbour(gateway, async (neighbour) => {
    const descriptors = gateway.descriptors();
    const memory = new MemoryWatch(gateway);
    const clients = await flood(count, bytes);
    await until('all to be in flight', async () => {
      const now = (await gateway.metrics()).get('ai_requests_in_flight');
      return now >= count * inFlight;
    });
    await neighbour.served();
    expect(memory.stop()).toBeLessThan(count * perConnectionBytes + 16 * MIB);
    for (const client of clients) client.close();
    await until('all to be forgotten', () => gateway.descriptors() < descriptors + OTHERS);
  });
  await upstream.noneBusy();
  await expectUnharmed(gateway);
  // Half an upload that reached its provider is somebody's to pay: one fact each, and of the neighbour's only others.
  const mine = facts(gateway)
    .slice(told)
    .filter((fact) => fact['provider'] === 'openai');
  expect(new Set(mine.map((fact) => fact['request_id'])).size).toBe(mine.length);
  for (const fact of mine) expect(fact['outcome']).toBe('client_gone');
});

it('heads that dribble are cut off while they dribble, 300 at once', async () => {
  await besideNeighbour(siege.gateway, async () => {
    const clients = Array.from({ length: 300 }, () =>
      new RawClient(siege.gateway.port).send('GET /v1/x HTTP/1.1\r\nHost: s\r\nX-A: '),
    );
    const dribble = setInterval(() => {
      for (const client of clients) if (!client.closed) client.send('a');
    }, 1_000);
    await until('all to be cut off', () => clients.every(({ closed }) => closed), 60_000);
    clearInterval(dribble);
  });
  await expectUnharmed(siege.gateway);
});

it('bodies that dribble stay, 300 at once, take nothing from others, and end with their clients', async () => {
  const reached = siege.upstream.requests.length;
  await besideNeighbour(siege.gateway, async (neighbour) => {
    const clients = Array.from({ length: 300 }, (_, n) =>
      new RawClient(siege.gateway.port).send(
        `${chat(n % 2 === 0 ? 'sk-own' : token(), 'Content-Length: 100')}{"model":"m",`,
      ),
    );
    await until('all to have begun', () => siege.upstream.requests.length === reached + 300);
    for (let i = 0; i < 10; i++) {
      for (const client of clients) client.send('a');
      await pause(100);
    }
    await neighbour.served();
    expect(clients.filter(({ closed }) => closed)).toEqual([]);
    for (const client of clients) client.close();
  });
  const begun = siege.upstream.requests.slice(reached);
  await until('the provider to be let go', () => begun.every(({ peerClosed }) => peerClosed));
  await expectUnharmed(siege.gateway);
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { seededRandom } from '../support/fixtures.ts';
import { inLanes } from '../support/lanes.ts';
import { factOf, facts, token } from '../support/managed.ts';
import { MemoryWatch } from '../support/memory-watch.ts';
import { besideNeighbour } from '../support/neighbour.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import type { Turn } from '../support/scripted-upstream.ts';
import { expectUnharmed, type Siege, startSiege } from '../support/siege.ts';

const MIB = 1_048_576;
const OK = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = `${OK}content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n`;
const EVENT = 'data: {"choices":[{"delta":{"content":"Hello you"}}]}\n\n';

/** Writes a start, and then the same bytes for as long as somebody takes them, a pause between two if asked. */
function forever(start: string, piece: string, gapMs = 0) {
  const many = gapMs === 0 ? piece.repeat(Math.ceil(4_096 / piece.length)) : piece;
  return async (turn: Turn): Promise<void> => {
    await turn.write(start);
    while (!turn.socket.destroyed) {
      await turn.write(many);
      if (gapMs > 0) await pause(gapMs);
      else await new Promise((resolve) => setImmediate(resolve));
    }
  };
}

// Shorter than any timeout: silence is not what ends these.
const GAP_MS = 100;
const DRIBBLES = {
  'bytes of a status line': forever('HTTP/1.1 200 O', 'K', GAP_MS),
  'bytes of a field': forever(`${OK}x-a: `, 'a', GAP_MS),
  'fields of a head': forever(OK, 'x-a: a\r\n', GAP_MS),
  'interim responses': forever('', 'HTTP/1.1 103 Early Hints\r\n\r\n', GAP_MS),
};
const FLOODS = {
  'a status line': forever('HTTP/1.1 200 O', 'K'),
  'a field': forever(`${OK}x-a: `, 'a'),
  'fields of a head': forever(OK, 'x-a: a\r\n'),
  'interim responses': forever('', 'HTTP/1.1 100 Continue\r\n\r\n'),
  'interim responses with fields': forever('', 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'),
  'bytes that are no HTTP': forever('', '\0'),
};
const BODY_FLOODS = {
  'a chunk extension': forever(`${CHUNKED}5;a=`, 'a'),
  'zeros of a chunk size': forever(CHUNKED, '0'),
  'trailer fields': forever(
    `${CHUNKED}${EVENT.length.toString(16)}\r\n${EVENT}\r\n0\r\n`,
    'x-a: 1\r\n',
  ),
  'one trailer field': forever(
    `${CHUNKED}${EVENT.length.toString(16)}\r\n${EVENT}\r\n0\r\nx-a: `,
    'a',
  ),
};

let siege: Siege;

beforeAll(async () => {
  siege = await startSiege(() => {}, {
    config: 'first_byte_timeout_secs = 1\nidle_timeout_secs = 1',
  });
});
afterAll(async () => await siege.close());

const keys = { 'an own key': 'sk-own', 'a virtual key': token() };

/** Asks once, beside a neighbour. @returns the response, its access line, and its fact if one is due */
async function ask(key: string, script: (turn: Turn) => Promise<void>) {
  const { gateway, upstream } = siege;
  const told = facts(gateway).length;
  upstream.script = async (turn) => {
    await turn.bodyDone();
    await script(turn);
  };
  const client = new RawClient(gateway.port);
  const memory = new MemoryWatch(gateway);
  await besideNeighbour(gateway, async () => {
    client.send(post(key));
    await client.response();
    await upstream.noneBusy();
  });
  expect(memory.stop()).toBeLessThan(32 * MIB);
  client.close();
  await expectUnharmed(gateway);
  const line = gateway.access().findLast(({ provider }) => provider === 'openai');
  const mine = facts(gateway)
    .slice(told)
    .filter(({ provider }) => provider === 'openai');
  expect(mine.length).toBe(key === 'sk-own' ? 0 : 1);
  return { status: line?.['status'], outcome: line?.['outcome'], fact: mine[0] };
}

describe.each(Object.entries(keys))('a request with %s', (_who, key) => {
  it.each(
    Object.entries(DRIBBLES),
  )('to a provider that dribbles %s is a 504 in time', async (...row) => {
    const [, script] = row;
    const { status, outcome, fact } = await ask(key, script);
    expect([status, outcome]).toEqual([504, 'timeout']);
    if (key !== 'sk-own') expect(fact).toMatchObject({ usage_source: 'estimated', outcome });
  });

  it.each(
    Object.entries(FLOODS),
  )('to a provider that floods it with %s is a 502', async (...row) => {
    const [, script] = row;
    const { status, outcome, fact } = await ask(key, script);
    expect([status, outcome]).toEqual([502, 'upstream_error']);
    if (key !== 'sk-own') expect(fact).toMatchObject({ usage_source: 'estimated', outcome });
  });

  it.each(
    Object.entries(BODY_FLOODS),
  )('to a provider that floods its body with %s is cut', async (...row) => {
    const [, script] = row;
    const { outcome, fact } = await ask(key, script);
    expect(['upstream_cut', 'upstream_error']).toContain(outcome);
    if (key !== 'sk-own') expect(fact).toMatchObject({ usage_source: 'estimated', outcome });
  });
});

it('500 answers of random bytes, sent in random pieces, are each a 502 and one fact', async () => {
  const { gateway, upstream } = siege;
  const random = seededRandom(6);
  const told = facts(gateway).length;
  upstream.script = async (turn) => {
    await turn.bodyDone();
    const bytes = Buffer.from(Array.from({ length: 1 + random() * 2_000 }, () => random() * 256));
    // Some look like a response at first.
    const start = random() < 0.5 ? OK : '';
    await turn.write(start + bytes.toString('latin1'));
    turn.socket.end();
  };
  const statuses = new Map<number, number>();
  await inLanes(
    Array.from({ length: 500 }),
    8,
    () => null,
    async () => {
      const client = new RawClient(gateway.port).send(post(token(), CHAT));
      const response = await client.response();
      client.close();
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      const fact = await factOf(gateway, response.field('x-sluice-request-id'));
      expect(fact).toMatchObject({ usage_source: 'estimated', outcome: 'upstream_error' });
    },
  );
  expect([...statuses.keys()]).toEqual([502]);
  await until('their facts', () => facts(gateway).length >= told + 500);
  expect(facts(gateway).length).toBe(told + 500);
  await expectUnharmed(gateway);
});

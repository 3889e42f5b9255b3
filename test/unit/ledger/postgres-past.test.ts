import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { DIMENSIONS } from '../../../src/ledger/fact-kind.ts';
import { SqliteLedger } from '../../../src/ledger/ledger-store.ts';
import { NodePast } from '../../../src/ledger/node-past.ts';
import { type Past, PastAway } from '../../../src/ledger/past.ts';
import { PostgresPast } from '../../../src/ledger/postgres-past.ts';
import { PostgresSink } from '../../../src/ledger/postgres-sink.ts';
import { usdText } from '../../../src/prices/money.ts';
import { factLine, linesOf, requestIdOf } from '../../support/facts.ts';
import { ODD_MODEL } from '../../support/outbox-facts.ts';
import { POSTGRES_MISSING, PostgresServer } from '../../support/postgres.ts';
import { postgresTable } from '../../support/postgres-table.ts';

const QUARTER_MS = 900_000;
const DAY_MS = 86_400_000;
const BEGAN_MS = Date.parse('2026-11-24T00:00:00Z');
const DAYS = 4;
const END_MS = BEGAN_MS + DAYS * DAY_MS;
const FACTS = 1_500;

const facts = Array.from({ length: FACTS }, (_, at) => ({
  timeMs: BEGAN_MS + Math.floor((at / FACTS) * DAYS * DAY_MS),
  requestId: requestIdOf(at - (at % 3 === 1 ? 1 : 0), 1 + (Math.floor(at / 3) % 2)),
  attempt: at % 3 === 1 ? 2 : 1,
  final: at % 3 !== 0,
  tenantId: at % 4 === 3 ? '18446744073709551615' : String(at % 4),
  keyId: at % 5 === 0 ? null : String(at % 7),
  provider: at % 2 === 0 ? 'openai' : 'anthropic',
  dialect: at % 2 === 0 ? ('openai' as const) : ('anthropic' as const),
  model: at % 8 === 0 ? null : at % 6 === 0 ? ODD_MODEL : `model-${at % 3}`,
  requestedModel: at % 16 === 0 ? 'asked' : null,
  status: at % 9 === 0 ? 429 : 200,
  outcome: at % 17 === 0 ? ('client_gone' as const) : ('complete' as const),
  input: at,
  cacheRead: at % 5 === 0 ? 7 : null,
  cost: at % 13 === 0 ? null : usdText(BigInt(at % 500) * 1_000_000_000_000n + BigInt(at + 1)),
}));

let server: PostgresServer;
let folder: string;
let own: NodePast;
let past: PostgresPast;

beforeAll(async () => {
  if (POSTGRES_MISSING !== null) return;
  server = await PostgresServer.start();
  folder = mkdtempSync(join(tmpdir(), 'sluice-past-'));
  const ledger = new SqliteLedger(folder);
  ledger.add(linesOf(facts));
  ledger.close();
  own = new NodePast(folder);
}, 60_000);
afterAll(async () => {
  if (POSTGRES_MISSING !== null) return;
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach((context) => {
  if (POSTGRES_MISSING !== null) context.skip(POSTGRES_MISSING);
});

const lines = facts.map(factLine);
async function send(from: number, to: number): Promise<void> {
  const sink = new PostgresSink(server.url);
  for (let at = from; at < to; at += 100) await sink.send(lines.slice(at, Math.min(to, at + 100)));
  await sink.close();
}

/** How the data base may have been made: each must answer the same. */
const MADE: Readonly<Record<string, () => Promise<void>>> = {
  'without sums': async () => {
    server.sql(postgresTable('facts'));
    await send(0, FACTS);
  },
  'with sums from the beginning, some facts sent twice': async () => {
    server.sql(postgresTable('facts'));
    server.sql(postgresTable('sums'));
    await send(0, FACTS);
    await send(0, 700);
  },
  'with sums that came later': async () => {
    server.sql(postgresTable('facts'));
    await send(0, 600);
    server.sql(postgresTable('sums'));
    await send(550, FACTS);
  },
};

const spanWish = fc
  .tuple(fc.integer({ min: -1, max: DAYS * 96 }), fc.integer({ min: 1, max: 200 }))
  .map(([from, length]) => ({
    fromMs: BEGAN_MS + from * QUARTER_MS,
    toMs: BEGAN_MS + (from + length) * QUARTER_MS,
  }));
const filterWish = fc.record(
  {
    tenant: fc.subarray(['0', '1', '18446744073709551615', 'nobody']),
    key: fc.constantFrom(['1'], ['6', '']),
    model: fc.constantFrom(['model-1'], [ODD_MODEL], ['asked', ''], ['a\0b']),
    provider: fc.constant(['openai']),
    status: fc.constantFrom(['429'], ['client_gone']),
  },
  { requiredKeys: [] },
);
function said<Wish extends object>(wish: Wish): Wish {
  return Object.fromEntries(
    Object.entries(wish).filter(([, value]) => value !== undefined),
  ) as Wish;
}

for (const [how, make] of Object.entries(MADE)) {
  describe(`a Postgres ${how}`, () => {
    beforeAll(async () => {
      if (POSTGRES_MISSING !== null) return;
      server.sql(
        'DROP TABLE IF EXISTS ai_usage, ai_usage_lines, ai_usage_sums; DROP FUNCTION IF EXISTS ai_usage_add',
      );
      await make();
      past = new PostgresPast(server.url);
    });

    test('tells sums by any dimensions as the files of one node that had all of it', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.subarray([...DIMENSIONS]),
          spanWish,
          filterWish,
          async (dimensions, span, filters) => {
            const asked = said(filters);
            expect(await past.by(dimensions, span, asked)).toEqual(
              await own.by(dimensions, span, asked),
            );
          },
        ),
        { numRuns: 60 },
      );
    });

    test('tells series as they do', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(null, ...DIMENSIONS),
          spanWish,
          fc.integer({ min: 1, max: 30 }),
          fc.integer({ min: 1, max: 4 }),
          filterWish,
          async (dimension, { fromMs, toMs }, step, top, filters) => {
            const starts: number[] = [];
            for (let at = fromMs; at < toMs; at += step * QUARTER_MS) starts.push(at);
            const asked = [dimension, starts, toMs, said(filters), top] as const;
            expect(await past.series(...asked)).toEqual(await own.series(...asked));
          },
        ),
        { numRuns: 40 },
      );
    });

    test('tells facts one by one as they do, page by page', async () => {
      const all = async (of: Past, wish: Parameters<Past['page']>[0], limit: number) => {
        const found: unknown[] = [];
        for (let from: unknown = null; ; ) {
          const page = await of.page(wish, from, limit);
          for (const { atMs, kind, input, output, line } of page.found)
            found.push([
              atMs,
              kind.group,
              kind.outcome,
              kind.isFinal,
              input,
              output,
              JSON.parse(line),
            ]);
          if (page.next === null) return found;
          expect(of.isPlace(JSON.parse(JSON.stringify(page.next)))).toBe(true);
          from = page.next;
        }
      };
      await fc.assert(
        fc.asyncProperty(
          spanWish,
          filterWish,
          fc.constantFrom(null, 'complete', 'client_gone'),
          fc.boolean(),
          fc.constantFrom('', 'req_', requestIdOf(33), requestIdOf(33).slice(0, 26), 'x\0'),
          fc.constantFrom(7, 100, 1_000),
          async (span, filters, outcome, onlyFinal, idPrefix, limit) => {
            const wish = { ...span, filters: said(filters), outcome, onlyFinal, idPrefix };
            expect(await all(past, wish, limit)).toEqual(await all(own, wish, limit));
          },
        ),
        { numRuns: 40 },
      );
    });

    test('tells one request as its facts said it', async () => {
      for (const at of [0, 3, 700, 701, FACTS - 1]) {
        const id = facts[at]?.requestId ?? '';
        const told = await past.find(id);
        expect(told.map((line) => JSON.parse(line))).toEqual(
          (await own.find(id)).map((line) => JSON.parse(line)),
        );
        expect(told.length).toBeGreaterThan(0);
      }
      expect(await past.find('req_\0')).toEqual([]);
      expect(await past.find("' OR true --")).toEqual([]);
    });

    test('writes nothing for whoever asks', async () => {
      const before = server.sql('SELECT count(*) FROM ai_usage');
      await expect(
        past.by(
          ['tenant'],
          { fromMs: 0, toMs: END_MS },
          { model: ["'); DELETE FROM ai_usage; --"] },
        ),
      ).resolves.toEqual([]);
      expect(server.sql('SELECT count(*) FROM ai_usage')).toBe(before);
    });
  });
}

describe('a Postgres', () => {
  const span = { fromMs: BEGAN_MS, toMs: END_MS };

  test('that has no table is told so', async () => {
    server.sql('DROP TABLE IF EXISTS ai_usage, ai_usage_lines, ai_usage_sums CASCADE');
    await expect(new PostgresPast(server.url).by([], span, {})).rejects.toThrow(/docs\/facts\.md/);
  });

  test('that is away is an answer at once, and one again when it is back', async () => {
    server.sql(postgresTable('facts'));
    const asked = new PostgresPast(server.url);
    expect(await asked.by([], span, {})).toEqual([]);
    await server.down();
    try {
      await expect(asked.by([], span, {})).rejects.toThrow(PastAway);
      await expect(asked.find('req_')).rejects.toThrow('does not answer');
    } finally {
      await server.up();
    }
    expect(await asked.by([], span, {})).toEqual([]);
  });

  test('that takes the question and says nothing is given up, however many ask', async () => {
    const asked = new PostgresPast(server.url);
    expect(await asked.by([], span, {})).toEqual([]);
    server.pause();
    try {
      const answers = await Promise.allSettled(
        Array.from({ length: 12 }, () => asked.by([], span, {})),
      );
      for (const answer of answers)
        expect(answer).toMatchObject({ status: 'rejected', reason: expect.any(PastAway) });
    } finally {
      server.resume();
    }
    expect(await asked.by([], span, {})).toEqual([]);
  });

  test('with nobody’s password in what it says', async () => {
    const url = new URL(server.url);
    url.password = 'hunter2';
    url.port = '1';
    const away = await new PostgresPast(url.href).by([], span, {}).catch((error: Error) => error);
    expect(String(away)).not.toContain('hunter2');
  });
});

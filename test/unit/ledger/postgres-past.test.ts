import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SqliteLedger } from '../../../src/ledger/ledger-store.ts';
import { NodePast } from '../../../src/ledger/node-past.ts';
import { PastAway } from '../../../src/ledger/past.ts';
import { PostgresPast } from '../../../src/ledger/postgres-past.ts';
import { PostgresSink } from '../../../src/ledger/postgres-sink.ts';
import { factLine, linesOf } from '../../support/facts.ts';
import { BEGAN_MS, END_MS, FLEET_FACTS, tellsAsFilesDo } from '../../support/fleet-past.ts';
import { POSTGRES_MISSING, PostgresServer } from '../../support/postgres.ts';
import { postgresTable } from '../../support/postgres-table.ts';

let server: PostgresServer;
let folder: string;
let own: NodePast;
let past: PostgresPast;

beforeAll(async () => {
  if (POSTGRES_MISSING !== null) return;
  server = await PostgresServer.start();
  folder = mkdtempSync(join(tmpdir(), 'sluice-past-'));
  const ledger = new SqliteLedger(folder);
  ledger.add(linesOf(FLEET_FACTS));
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

const lines = FLEET_FACTS.map(factLine);
async function send(from: number, to: number): Promise<void> {
  const sink = new PostgresSink(server.url);
  for (let at = from; at < to; at += 100) await sink.send(lines.slice(at, Math.min(to, at + 100)));
  await sink.close();
}

/** How the data base may have been made: each must answer the same. */
const MADE: Readonly<Record<string, () => Promise<void>>> = {
  'without sums': async () => {
    server.sql(postgresTable('facts'));
    await send(0, lines.length);
  },
  'with sums from the beginning, some facts sent twice': async () => {
    server.sql(postgresTable('facts'));
    server.sql(postgresTable('sums'));
    await send(0, lines.length);
    await send(0, 700);
  },
  'with sums that came later': async () => {
    server.sql(postgresTable('facts'));
    await send(0, 600);
    server.sql(postgresTable('sums'));
    await send(550, lines.length);
  },
};

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

    test('looks at no more facts than it may for a page, and comes to all of them', async () => {
      const wish = {
        fromMs: BEGAN_MS,
        toMs: END_MS,
        filters: { model: ['model-1'] },
        outcome: 'client_gone',
        onlyFinal: false,
        idPrefix: '',
      };
      const few = new PostgresPast(server.url, 100);
      const told: string[] = [];
      let pages = 0;
      for (let from: unknown = null; ; pages++) {
        const { found, next, searchedToMs } = await few.page(wish, from, 1_000);
        told.push(...found.map(({ line }) => line));
        if (next === null) break;
        expect(searchedToMs).toBe((next as { atMs: number }).atMs);
        from = next;
      }
      expect(pages).toBe(lines.length / 100);
      const { found } = await past.page(wish, null, 1_000);
      expect(found.length).toBeGreaterThan(5);
      expect(told).toEqual(found.map(({ line }) => line));
    });

    tellsAsFilesDo(() => ({ past, own }));

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

describe('sums in a Postgres', () => {
  const SUMS =
    'SELECT sum(facts), sum(requests), sum(input), sum(duration_ms), sum(cost_usd), sum(unpriced) FROM ai_usage_sums WHERE view = 0';
  const FACTS =
    "SELECT count(*), count(*) FILTER (WHERE final), sum(input_tokens + CASE WHEN dialect = 'anthropic' THEN coalesce(cache_read_tokens, 0) ELSE 0 END), sum(duration_ms), sum(cost_usd), count(*) FILTER (WHERE cost_usd IS NULL) FROM ai_usage";
  beforeEach(() => {
    server.sql(
      'DROP TABLE IF EXISTS ai_usage, ai_usage_lines, ai_usage_sums; DROP FUNCTION IF EXISTS ai_usage_add',
    );
    server.sql(postgresTable('facts'));
    server.sql(postgresTable('sums'));
  });

  test('are exact when several gateways send at once, some of it twice, and none waits in a circle', async () => {
    // Each has facts of its own, and all of them add to the same quarters of an hour, in batches of their own sizes.
    await Promise.all(
      [9, 70, 180, 350].map(async (size, at) => {
        const sink = new PostgresSink(server.url);
        const own = lines.filter((_, line) => line % 4 === at);
        const inOrder = at % 2 === 0 ? own : own.toReversed();
        for (let from = 0; from < own.length; from += size)
          await sink.send(inOrder.slice(Math.max(0, from - 10), from + size));
        await sink.close();
      }),
    );
    expect(server.sql(FACTS).split('|')[0]).toBe(String(lines.length));
    expect(server.sql(SUMS)).toBe(server.sql(FACTS));
  });

  test('have nothing of a batch that was refused', async () => {
    const sink = new PostgresSink(server.url);
    await sink.send(lines.slice(0, 50));
    const bad = (lines[60] ?? '').replace('"duration_ms":2873', '"duration_ms":99999999999');
    await expect(sink.send([...lines.slice(50, 60), bad])).rejects.toThrow();
    await sink.close();
    expect(server.sql(FACTS).split('|')[0]).toBe('50');
    expect(server.sql(SUMS)).toBe(server.sql(FACTS));
  });
});

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

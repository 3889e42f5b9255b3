import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SqliteLedger } from '../../../src/ledger/ledger-store.ts';
import { Outbox } from '../../../src/ledger/outbox.ts';
import { PostgresSink } from '../../../src/ledger/postgres-sink.ts';
import { until } from '../../support/conditions.ts';
import { factLine, linesOf, requestIdOf } from '../../support/facts.ts';
import { factsFrom, ODD_MODEL, sumsOf } from '../../support/outbox-facts.ts';
import { POSTGRES_MISSING, PostgresServer } from '../../support/postgres.ts';

const NOON = Date.parse('2026-11-28T12:00:00Z');
const DOCUMENTED = /```sql\n(CREATE TABLE ai_usage \(\n {2}request_id text[\s\S]*?)```/.exec(
  readFileSync(new URL('../../../docs/facts.md', import.meta.url), 'utf8'),
)?.[1];

let server: PostgresServer;
let folder: string;
let ledger: SqliteLedger;
let outbox: Outbox;
let running: Promise<void>;
const news: (string | null)[] = [];
let refused = 0;

beforeAll(async () => {
  if (POSTGRES_MISSING === null) server = await PostgresServer.start();
}, 60_000);
afterAll(async () => {
  if (POSTGRES_MISSING === null) await server.stop();
});

beforeEach(async (context) => {
  if (POSTGRES_MISSING !== null) context.skip(POSTGRES_MISSING);
  server.sql(`DROP TABLE IF EXISTS ai_usage, ai_usage_lines; ${DOCUMENTED}`);
  folder = mkdtempSync(join(tmpdir(), 'sluice-outbox-'));
  ledger = new SqliteLedger(folder);
  news.length = 0;
  refused = 0;
  begin();
});
afterEach(async () => {
  if (POSTGRES_MISSING !== null) return;
  outbox.stop();
  await running;
  ledger.close();
  rmSync(folder, { recursive: true, force: true });
});

function begin(): void {
  outbox = new Outbox(ledger, new PostgresSink(server.url), {
    sent: (_facts, no) => {
      refused += no;
    },
    state: (failure) => news.push(failure),
  });
  running = outbox.run();
}

const there = (): string =>
  server.sql(
    'SELECT count(*), count(DISTINCT (request_id, attempt)), coalesce(round(sum(cost_usd) * 100000000), 0) FROM ai_usage',
  );

describe('facts that go on to a Postgres', () => {
  test('are in the documented table, each once and as the ledger has it', async () => {
    const facts = factsFrom(0, 100);
    ledger.add(linesOf(facts));
    await until('the facts', () => there() === sumsOf(facts, '|'));
    const [first] = facts;
    const told = server.sql(
      `SELECT model, tenant_id, input_tokens, usage_raw->>'prompt_tokens', to_char(time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') FROM ai_usage WHERE request_id = '${first?.requestId}'`,
    );
    expect(told).toBe(`${ODD_MODEL}|42|100|100|2026-11-28T12:00:00`);
  });

  test('wait for one that is away, with one alarm; none is lost and none there twice', async () => {
    const before = factsFrom(0, 50);
    ledger.add(linesOf(before));
    await until('the first', () => there() === sumsOf(before, '|'));
    await server.down();
    try {
      ledger.add(linesOf(factsFrom(50, 120)));
      await until('the alarm', () => news.length > 0);
      expect(ledger.find(requestIdOf(119))).toHaveLength(1);
    } finally {
      await server.up();
    }
    const all = [...before, ...factsFrom(50, 120)];
    await until('the rest', () => there() === sumsOf(all, '|'));
    await until('the word', () => news.length === 2);
    expect(news[0]).toEqual(expect.any(String));
    expect(news[1]).toBeNull();
  });

  test('that were sent and not marked as sent are sent again, and are there once', async () => {
    const facts = factsFrom(0, 80);
    ledger.add(linesOf(facts));
    await until('the facts', () => there() === sumsOf(facts, '|'));
    outbox.stop();
    await running;
    for (const day of ledger.days()) ledger.markSent(day, new PostgresSink(server.url).name, 0);
    begin();
    await until('all are sent', () => ledger.days().every((day) => outbox.hasSent(day)));
    expect(there()).toBe(sumsOf(facts, '|'));
  });

  test('go past one that the table cannot hold, which is counted', async () => {
    const facts = factsFrom(0, 40);
    const bad = Buffer.from(
      `${factLine({ timeMs: NOON, requestId: requestIdOf(9_000) }).replace('"duration_ms":2873', '"duration_ms":99999999999')}\n`,
    );
    ledger.add(Buffer.concat([linesOf(facts.slice(0, 20)), bad, linesOf(facts.slice(20))]));
    await until('the others', () => there() === sumsOf(facts, '|'));
    await until('the count', () => refused === 1);
    expect(news).toEqual([]);
  });
});

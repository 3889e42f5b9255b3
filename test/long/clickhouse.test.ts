import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { ClickHouseSink } from '../../src/ledger/clickhouse-sink.ts';
import { SqliteLedger } from '../../src/ledger/ledger-store.ts';
import { Outbox } from '../../src/ledger/outbox.ts';
import { ClickHouse, installClickHouse } from '../support/clickhouse.ts';
import { until } from '../support/conditions.ts';
import { factLine, linesOf, requestIdOf } from '../support/facts.ts';
import { factsFrom, ODD_MODEL, sumsOf } from '../support/outbox-facts.ts';

const NOON = Date.parse('2026-11-28T12:00:00Z');
const DOCUMENTED = /```sql\n(CREATE TABLE ai_usage \(\n {2}event [\s\S]*?);?\n```/.exec(
  readFileSync(new URL('../../docs/facts.md', import.meta.url), 'utf8'),
)?.[1];
const INSTALL_MS = 600_000;

let missing: string | null = null;
let server: ClickHouse;
let folder: string;
let ledger: SqliteLedger;
let outbox: Outbox;
let running: Promise<void>;
const news: (string | null)[] = [];
let refused = 0;

beforeAll(async () => {
  missing = installClickHouse();
  if (missing === null) server = await ClickHouse.start();
}, INSTALL_MS);
afterAll(async () => {
  if (missing === null) await server.stop();
});

beforeEach(async (context) => {
  if (missing !== null) context.skip(missing);
  await server.sql('DROP TABLE IF EXISTS ai_usage');
  await server.sql(DOCUMENTED ?? 'no table is documented');
  folder = mkdtempSync(join(tmpdir(), 'sluice-outbox-'));
  ledger = new SqliteLedger(folder);
  news.length = 0;
  refused = 0;
  begin(server.url);
});
afterEach(async () => {
  if (missing !== null) return;
  outbox.stop();
  await running;
  ledger.close();
  rmSync(folder, { recursive: true, force: true });
});

function begin(url: string): void {
  outbox = new Outbox(ledger, new ClickHouseSink(url), {
    sent: (_facts, no) => {
      refused += no;
    },
    state: (failure) => news.push(failure),
  });
  running = outbox.run();
}

const there = (): Promise<string> =>
  server.sql(
    'SELECT count(), uniqExact(request_id, attempt), toInt64(ifNull(sum(cost_usd), 0) * 100000000) FROM ai_usage FINAL',
  );

test('facts are in the documented table, each once and as the ledger has it', async () => {
  const facts = factsFrom(0, 100);
  ledger.add(linesOf(facts));
  await until('the facts', async () => (await there()) === sumsOf(facts, '\t'));
  const told = await server.sql(
    `SELECT hex(model), tenant_id, input_tokens, JSONExtractInt(usage_raw, 'prompt_tokens'), toString(time) FROM ai_usage FINAL WHERE request_id = '${facts[0]?.requestId}'`,
  );
  const model = Buffer.from(ODD_MODEL).toString('hex').toUpperCase();
  expect(told).toBe(`${model}\t42\t100\t100\t2026-11-28 12:00:00.000`);
});

test('facts wait for one that is away, with one alarm; none is lost and none there twice', async () => {
  const before = factsFrom(0, 50);
  ledger.add(linesOf(before));
  await until('the first', async () => (await there()) === sumsOf(before, '\t'));
  await server.down();
  try {
    ledger.add(linesOf(factsFrom(50, 120)));
    await until('the alarm', () => news.length > 0);
  } finally {
    await server.up();
  }
  const all = [...before, ...factsFrom(50, 120)];
  await until('the rest', async () => (await there()) === sumsOf(all, '\t'));
  await until('the word', () => news.length === 2);
  expect(news[0]).toEqual(expect.any(String));
  expect(news[1]).toBeNull();
});

test('facts that were sent and not marked as sent are sent again, and count once', async () => {
  const facts = factsFrom(0, 80);
  ledger.add(linesOf(facts));
  await until('the facts', async () => (await there()) === sumsOf(facts, '\t'));
  outbox.stop();
  await running;
  for (const day of ledger.days()) ledger.markSent(day, new ClickHouseSink(server.url).name, 0);
  begin(server.url);
  await until('all are sent', () => ledger.days().every((day) => outbox.hasSent(day)));
  expect(Number(await server.sql('SELECT count() FROM ai_usage'))).toBeGreaterThanOrEqual(80);
  expect(await there()).toBe(sumsOf(facts, '\t'));
});

test('facts go past one that the table cannot hold, which is counted', async () => {
  const facts = factsFrom(0, 40);
  const bad = Buffer.from(
    `${factLine({ timeMs: NOON, requestId: requestIdOf(9_000) }).replace('"tenant_id":"42"', '"tenant_id":"nobody"')}\n`,
  );
  ledger.add(Buffer.concat([linesOf(facts.slice(0, 20)), bad, linesOf(facts.slice(20))]));
  await until('the others', async () => (await there()) === sumsOf(facts, '\t'));
  await until('the count', () => refused === 1);
  expect(news).toEqual([]);
});

test('a password that is wrong refuses no fact: they wait', async () => {
  outbox.stop();
  await running;
  begin(server.url.replace('sluice:', 'sluice:x'));
  ledger.add(linesOf(factsFrom(0, 5)));
  await until('the alarm', () => news.length > 0);
  expect(news[0]).toContain('Authentication failed');
  expect(refused).toBe(0);
  expect(await there()).toBe('0\t0\t0');
});

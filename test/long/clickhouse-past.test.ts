import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ClickHousePast } from '../../src/ledger/clickhouse-past.ts';
import { ClickHouseSink } from '../../src/ledger/clickhouse-sink.ts';
import { SqliteLedger } from '../../src/ledger/ledger-store.ts';
import { NodePast } from '../../src/ledger/node-past.ts';
import { PastAway } from '../../src/ledger/past.ts';
import { ClickHouse, installClickHouse } from '../support/clickhouse.ts';
import { factLine, linesOf } from '../support/facts.ts';
import { BEGAN_MS, END_MS, FLEET_FACTS, tellsAsFilesDo } from '../support/fleet-past.ts';

const DOCUMENTED = /```sql\n(CREATE TABLE ai_usage \(\n {2}event [\s\S]*?);?\n```/.exec(
  readFileSync(new URL('../../docs/facts.md', import.meta.url), 'utf8'),
)?.[1];
const INSTALL_MS = 600_000;
const SPAN = { fromMs: BEGAN_MS, toMs: END_MS };

let missing: string | null = null;
let server: ClickHouse;
let folder: string;
let own: NodePast;
let past: ClickHousePast;

beforeAll(async () => {
  missing = installClickHouse();
  if (missing !== null) return;
  server = await ClickHouse.start();
  await server.sql(DOCUMENTED ?? 'no table is documented');
  folder = mkdtempSync(join(tmpdir(), 'sluice-past-'));
  const ledger = new SqliteLedger(folder);
  ledger.add(linesOf(FLEET_FACTS));
  ledger.close();
  own = new NodePast(folder);
  const sink = new ClickHouseSink(server.url);
  const lines = FLEET_FACTS.map(factLine);
  await sink.send(lines);
  // As after a crash: what is not merged yet must not count twice.
  await sink.send(lines.slice(0, 700));
  past = new ClickHousePast(server.url);
}, INSTALL_MS);
afterAll(async () => {
  if (missing !== null) return;
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach((context) => {
  if (missing !== null) context.skip(missing);
});

describe('a ClickHouse', () => {
  tellsAsFilesDo(() => ({ past, own }));

  test('is told nothing but texts by whoever asks', async () => {
    const filters = { model: ["') OR 1 --", "\\'); DROP TABLE ai_usage; --"] };
    expect(await past.by(['tenant'], SPAN, filters)).toEqual([]);
    expect(await past.find("' OR 1 --")).toEqual([]);
    expect(await past.by([], SPAN, {})).toHaveLength(1);
  });

  test('with another password does not answer, and nobody is told which', async () => {
    const url = server.url.replace('sluice:', 'sluice:x');
    const away = await new ClickHousePast(url).by([], SPAN, {}).catch((error: Error) => error);
    expect(away).toBeInstanceOf(PastAway);
    expect(String(away)).toContain('does not let this gateway');
    expect(String(away)).not.toContain('p%3Aw');
  });

  test('that is away is an answer at once, and one again when it is back', async () => {
    await server.down();
    try {
      const asked = await Promise.allSettled(
        Array.from({ length: 12 }, () => past.by([], SPAN, {})),
      );
      for (const answer of asked)
        expect(answer).toMatchObject({ status: 'rejected', reason: expect.any(PastAway) });
    } finally {
      await server.up();
    }
    expect(await past.by([], SPAN, {})).toHaveLength(1);
  });
});

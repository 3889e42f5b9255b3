import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { z } from 'zod';
import type { Operation } from '../../../src/console/operation.ts';
import { requestOperations } from '../../../src/console/operations/request-operations.ts';
import type { REQUEST, REQUESTS_PAGE } from '../../../src/console/shapes.ts';
import { type FactPage, type FactPlace, FactSearch } from '../../../src/ledger/fact-search.ts';
import { SqliteLedger } from '../../../src/ledger/ledger-store.ts';
import { called, gatewayView, OWNER, pastOf, viewerOf } from '../../support/console.ts';
import { factLine, linesOf, requestIdOf } from '../../support/facts.ts';

const DAY_MS = 86_400_000;
const BEGAN_MS = Date.parse('2026-11-20T00:00:00Z');
const DAYS = 4;
const END_MS = BEGAN_MS + DAYS * DAY_MS;
const FACTS = 1_200;

/** Every third request has two attempts, of which the first is not final. */
const facts = Array.from({ length: FACTS }, (_, at) => ({
  timeMs: BEGAN_MS + Math.floor((at / FACTS) * DAYS * DAY_MS),
  requestId:
    at === 700
      ? 'req_of_somebody_else'
      : requestIdOf(at - (at % 3 === 1 ? 1 : 0), 1 + (Math.floor(at / 3) % 2)),
  attempt: at % 3 === 1 ? 2 : 1,
  final: at % 3 !== 0,
  tenantId: String(Math.floor(at / 3) % 4),
  keyId: String(at % 7),
  model: at % 50 === 0 ? '<script>alert(1)</script>' : `model-${at % 3}`,
  outcome: at % 17 === 0 ? ('client_gone' as const) : ('complete' as const),
  input: at,
  cost: at % 13 === 0 ? null : `0.${at + 1}`,
}));

type Page = z.output<typeof REQUESTS_PAGE>;

let folder: string;
let operations: readonly Operation[];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-requests-'));
  const ledger = new SqliteLedger(folder);
  ledger.add(linesOf(facts));
  ledger.close();
  const config = join(folder, 'config.toml');
  writeFileSync(config, `data_dir = ${JSON.stringify(folder)}\n`);
  const view = gatewayView(config, { now: () => END_MS });
  operations = requestOperations(view, pastOf(view));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const isoOf = (ms: number): string => new Date(ms).toISOString();
const WHOLE = { since: isoOf(BEGAN_MS), until: isoOf(END_MS) };

async function allPages(
  query: Readonly<Record<string, string>>,
  caller = OWNER,
): Promise<Page['rows']> {
  const rows: Page['rows'] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const more = cursor === '' ? {} : { cursor };
    const page = (
      await called(operations, 'requests', { caller, query: { ...WHOLE, ...query, ...more } })
    ).body as Page;
    rows.push(...page.rows);
    cursor = page.next;
  }
  return rows;
}

test('its pages together are what was asked for, each once, the youngest first, whatever that is', async () => {
  const wish = fc.record(
    {
      tenant: fc.constantFrom('0', '3'),
      key: fc.constantFrom('1', '6'),
      model: fc.constantFrom('model-0', 'model-1', 'nothing'),
      outcome: fc.constantFrom('complete', 'client_gone'),
      attempts: fc.constantFrom('final', 'all'),
      limit: fc.constantFrom('1', '7', '100', '1000'),
      since: fc.integer({ min: -DAY_MS, max: 3 * DAY_MS }).map((ms) => isoOf(BEGAN_MS + ms)),
      q: fc.constantFrom(
        'req_',
        requestIdOf(0).slice(0, 20),
        requestIdOf(33).slice(0, 26),
        requestIdOf(9, 2),
        'req_of',
        'x',
      ),
    },
    { requiredKeys: ['limit'] },
  );
  await fc.assert(
    fc.asyncProperty(wish, fc.constantFrom(OWNER, viewerOf('1', '3')), async (query, caller) => {
      const expected = facts
        .filter(
          (fact) =>
            fact.timeMs >= Date.parse(query.since ?? WHOLE.since) &&
            (query.tenant ?? fact.tenantId) === fact.tenantId &&
            (caller.tenants?.has(fact.tenantId) ?? true) &&
            (query.key ?? fact.keyId) === fact.keyId &&
            (query.model ?? fact.model) === fact.model &&
            (query.outcome ?? fact.outcome) === fact.outcome &&
            (query.attempts === 'all' || fact.final) &&
            fact.requestId.startsWith(query.q ?? ''),
        )
        .map(({ requestId, attempt }) => `${requestId} ${attempt}`)
        .toReversed();
      const given = Object.fromEntries(
        Object.entries(query).filter(([, value]) => value !== undefined),
      );
      const rows = await allPages(given as Record<string, string>, caller);
      expect(rows.map(({ id, attempt }) => `${id} ${attempt}`)).toEqual(expected);
    }),
    { numRuns: 60 },
  );
});

test('a search looks at so many facts and no more, says how far it came, and goes on there', () => {
  const search = new FactSearch(folder);
  // The first minute of a day: everything behind it has to be looked at.
  const wish = {
    fromMs: BEGAN_MS,
    toMs: BEGAN_MS + 60_000,
    filters: {},
    outcome: null,
    onlyFinal: false,
    idPrefix: '',
  };
  const pages: FactPage[] = [];
  for (let place: FactPlace | null = null; ; ) {
    const page = search.page(wish, place, 10, 100);
    pages.push(page);
    place = page.next;
    if (place === null) break;
  }
  search.close();
  expect(pages.length).toBeGreaterThanOrEqual(FACTS / DAYS / 100);
  expect(pages.slice(0, -1).map(({ found }) => found.length)).toEqual(pages.slice(1).map(() => 0));
  expect(pages.at(-1)?.found.map(({ atMs }) => atMs)).toEqual([BEGAN_MS]);
  const came = pages.flatMap(({ searchedToMs }) => searchedToMs ?? []);
  expect(came).toHaveLength(pages.length - 1);
  expect(came).toEqual(came.toSorted((a, b) => b - a));
});

test('days on which nobody had such a key or such an end are passed over without a look at their facts', () => {
  const search = new FactSearch(folder);
  const wish = { fromMs: BEGAN_MS, toMs: END_MS, filters: {}, onlyFinal: false, idPrefix: '' };
  const nothing = { found: [], next: null, searchedToMs: null };
  expect(search.page({ ...wish, outcome: 'nothing' }, null, 10, 1)).toEqual(nothing);
  expect(search.page({ ...wish, outcome: null, filters: { key: ['99'] } }, null, 10, 1)).toEqual(
    nothing,
  );
  search.close();
});

test('a row says what its fact says', async () => {
  const [, row] = await allPages({ q: requestIdOf(1_149, 2), attempts: 'all' });
  const fact = JSON.parse(factLine(facts[1_149] as never)) as Record<string, unknown>;
  expect(row).toMatchObject({
    id: fact['request_id'],
    at: fact['time'],
    model: 'model-0',
    cost_usd: fact['cost_usd'],
    input_tokens: 1_149,
    ttft_ms: fact['ttfb_ms'],
    duration_ms: fact['duration_ms'],
  });
});

test('a name of a model is text, whatever it holds', async () => {
  const rows = await allPages({ model: '<script>alert(1)</script>', attempts: 'all' });
  expect(rows).toHaveLength(FACTS / 50);
});

test('a request is told with all its attempts and their sum, and only to whom it belongs', async () => {
  const id = requestIdOf(3, 2);
  const { body } = await called(operations, 'request', { path: { id } });
  const request = body as z.output<typeof REQUEST>;
  expect(request.attempts.map((fact) => fact['attempt'])).toEqual([1, 2]);
  const owner = facts.filter(({ requestId }) => requestId === id).map(({ tenantId }) => tenantId);
  await expect(
    called(operations, 'request', { path: { id }, caller: viewerOf('0', '2') }),
  ).rejects.toMatchObject({ code: 'not_found' });
  expect(
    (await called(operations, 'request', { path: { id }, caller: viewerOf(...owner) })).status,
  ).toBe(200);
  await expect(called(operations, 'request', { path: { id: 'req_none' } })).rejects.toMatchObject({
    code: 'not_found',
  });
});

test('as CSV it has every row', async () => {
  const { body } = await called(operations, 'requests', {
    query: { ...WHOLE, attempts: 'all', format: 'csv' },
  });
  expect(String(body).trimEnd().split('\r\n')).toHaveLength(FACTS + 1);
});

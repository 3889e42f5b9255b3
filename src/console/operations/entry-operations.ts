import { isDeepStrictEqual } from 'node:util';
import type { z } from 'zod';
import { type OverlayTable, placeOf } from '../../overlay/overlay-entry.ts';
import { rateText, usdText } from '../../prices/money.ts';
import { PriceBook, shippedBook } from '../../prices/price-book.ts';
import { type Rates, stepsAt } from '../../prices/price-row.ts';
import type { GatewayView } from '../gateway-view.ts';
import { etagOf, type Known, type KnownEntries, originOf } from '../known-entries.ts';
import { holds, listAnswer } from '../lists.ts';
import { type Operation, operation, type Role } from '../operation.ts';
import { Problem } from '../problem.ts';
import {
  ENTRIES_PAGE,
  ENTRY,
  ENTRY_WISH,
  LIST_QUERY,
  NAME_PATH,
  NO_PATH,
  NO_QUERY,
  REASON_WISH,
} from '../shapes.ts';

type Entry = z.output<typeof ENTRY>;

/** A table of entries whose names people choose. */
interface EntryTable {
  readonly table: OverlayTable;
  /** Of its operations' ids. */
  readonly one: string;
  readonly many: string;
  readonly says: string;
  readonly writer: Role;
  /** Beside what is written; the price book. */
  readonly further: (known: Known, q: string | undefined) => readonly Entry[];
}

/** Rows of the shipped price book in one list: what is looked for is told by its name. */
const BOOK_ROWS_MAX = 500;

/** Policies, routes and prices: told with who says what, and changed at run time. */
export function entryOperations(view: GatewayView, known: KnownEntries): readonly Operation[] {
  const tables: readonly EntryTable[] = [
    {
      table: 'policies',
      one: 'policy',
      many: 'policies',
      says: 'what keys may do',
      writer: 'owner',
      further: () => [],
    },
    {
      table: 'routes',
      one: 'route',
      many: 'routes',
      says: 'names that lead to targets',
      writer: 'operator',
      further: () => [],
    },
    {
      table: 'prices',
      one: 'price',
      many: 'prices',
      says: 'what models cost: what is written here, and behind it the price book',
      writer: 'owner',
      further: (held, q) => bookRows(view, held, q),
    },
  ];
  return tables.flatMap((table) => operationsOf(table, known));
}

function operationsOf(
  { table, one, many, says, writer, further }: EntryTable,
  entries: KnownEntries,
): readonly Operation[] {
  const path = `/${many}/{name}`;
  const base = { tag: many, isNodeWide: true } as const;
  return [
    operation({
      ...base,
      id: many,
      method: 'GET',
      path: `/${many}`,
      summary: `All ${many}: ${says}.`,
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: LIST_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'A page of them.', schema: ENTRIES_PAGE, types: ['text/csv'] } },
      problems: ['malformed', 'unavailable'],
      writes: false,
      run: async ({ query }) => {
        const known = await entries.now();
        const rows = [...entriesOf(known, table), ...further(known, query.q)];
        return listAnswer(
          ENTRY,
          rows.filter(({ name }) => holds(query.q, name)),
          query,
        );
      },
    }),
    operation({
      ...base,
      id: one,
      method: 'GET',
      path,
      summary: 'One of them, with who says what.',
      role: 'viewer',
      pathShape: NAME_PATH,
      queryShape: NO_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'It, and its revision as ETag.', schema: ENTRY } },
      problems: ['not_found', 'unavailable'],
      writes: false,
      run: async ({ path: { name } }) => {
        const known = await entries.now();
        const row =
          entryOf(known, table, name) ?? further(known, name).find((of) => of.name === name);
        if (row === undefined) throw new Problem('not_found');
        return { status: 200, body: row, etag: etagOf(known, table, name) };
      },
    }),
    operation({
      ...base,
      id: `put${capital(one)}`,
      method: 'PUT',
      path,
      summary: 'Says at run time what is to hold; what the file says the same is left to it.',
      role: writer,
      pathShape: NAME_PATH,
      queryShape: NO_QUERY,
      bodyShape: ENTRY_WISH,
      answers: { 200: { says: 'What holds now.', schema: ENTRY } },
      problems: ['conflict', 'locked', 'changed_meanwhile', 'invalid', 'unavailable'],
      writes: true,
      run: async ({ caller, path: { name }, body, ifMatch }) => {
        const before = await entries.now();
        const expiresMs = body.expires === undefined ? null : Date.parse(body.expires);
        const value = saidAnew(before, table, name, body.value);
        const wish = { caller, table, name, ifMatch, reason: body.reason };
        await entries.put(wish, value, expiresMs);
        const known = await entries.now();
        const row = entryOf(known, table, name);
        if (row === null) throw new Problem('changed_meanwhile');
        const audited = { before: entryOf(before, table, name)?.value, after: row.value };
        return { status: 200, body: row, etag: etagOf(known, table, name), audited };
      },
    }),
    operation({
      ...base,
      id: `delete${capital(one)}`,
      method: 'DELETE',
      path,
      summary: 'Takes away what was said at run time: the file counts alone again.',
      role: writer,
      pathShape: NAME_PATH,
      queryShape: NO_QUERY,
      bodyShape: REASON_WISH,
      answers: { 204: { says: 'It is gone.' } },
      problems: [
        'not_found',
        'conflict',
        'changed_meanwhile',
        'precondition_required',
        'invalid',
        'unavailable',
      ],
      writes: true,
      run: async ({ caller, path: { name }, body: { reason }, ifMatch }) => {
        const before = await entries.now();
        await entries.delete({ caller, table, name, ifMatch, reason });
        return {
          status: 204,
          audited: { before: before.entries.get(placeOf({ table, name }))?.value },
        };
      },
    }),
  ];
}

/** Everything that somebody wrote of a table, the file's in its order first. */
export function entriesOf(known: Known, table: OverlayTable): readonly Entry[] {
  const written = [...(known.loaded.overlay.written.get(table)?.keys() ?? [])];
  const overlaid = [...known.entries.values()].filter((entry) => entry.table === table);
  const names = new Set([...written, ...overlaid.map(({ name }) => name)]);
  return [...names].flatMap((name) => entryOf(known, table, name) ?? []);
}

/** @returns null where nobody says anything of it */
export function entryOf(known: Known, table: OverlayTable, name: string): Entry | null {
  const { written, counting } = known.loaded.overlay;
  const file = written.get(table)?.get(name);
  const place = placeOf({ table, name });
  const isOverlaid = known.entries.has(place);
  if (file === undefined && !isOverlaid) return null;
  // What was refused counts for nothing.
  const overlay = counting.get(place)?.value ?? {};
  const members = [...Object.keys(file ?? {}), ...Object.keys(overlay)].map(
    (member) => [member, Object.hasOwn(overlay, member) ? 'overlay' : 'file'] as const,
  );
  return {
    name,
    value: { ...file, ...overlay },
    members: Object.fromEntries(members),
    origin: originOf(known, table, name),
  };
}

/** What has to be said at run time so that this holds. */
function saidAnew(
  { loaded }: Known,
  table: OverlayTable,
  name: string,
  value: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const file = loaded.overlay.written.get(table)?.get(name) ?? {};
  return Object.fromEntries(
    Object.entries(value).filter(([member, said]) => !isDeepStrictEqual(file[member], said)),
  );
}

/** What the book says of models of which nothing is written, as `[prices]` would say it. */
function bookRows({ now }: GatewayView, known: Known, q: string | undefined): readonly Entry[] {
  if (q === undefined || q === '') return [];
  const { pricing } = known.loaded.config;
  const book = new PriceBook(shippedBook(), pricing);
  const rows: Entry[] = [];
  for (const provider of book.providers)
    for (const model of book.known(provider)) {
      const name = `${provider}/${model}`;
      if (rows.length === BOOK_ROWS_MAX) return rows;
      if (!holds(q, name) || book.isOverridden(provider, model)) continue;
      const row = book.row(provider, model, now());
      if (row === null) continue;
      const [first] = stepsAt(row, now()) ?? [];
      const rates = first?.rates ?? null;
      rows.push({
        name,
        value: row.free ? { free: true } : { ...ratesShown(rates), ...feesShown(row.perRequest) },
        members: {},
        origin: { file: false, overlay: null, locked: false },
      });
    }
  return rows;
}

const RATES = {
  input: 'input',
  output: 'output',
  cacheRead: 'cache_read',
  cacheWrite: 'cache_write',
} as const;

function ratesShown(rates: Rates | null): Readonly<Record<string, string>> {
  if (rates === null) return {};
  return Object.fromEntries(
    Object.entries(RATES).flatMap(([member, name]) => {
      const rate = rates[member as keyof typeof RATES];
      return rate < 0 ? [] : [[name, rateText(rate)]];
    }),
  );
}

function feesShown(perRequest: number): Readonly<Record<string, string>> {
  return perRequest > 0 ? { per_request: usdText(perRequest) } : {};
}

function capital(word: string): string {
  return word.slice(0, 1).toUpperCase() + word.slice(1);
}

/**
 * The price book: which row counts for a provider, a model and an instant. The book that is shipped, files of the operator's
 * own and the tables `[prices]` are laid over each other here; nothing is fetched.
 */

import { readFileSync } from 'node:fs';
import type { ModelTraits } from '../plan/model-traits.ts';
import { merged, type OffDays, type PriceRow, priceRow, UNKNOWN_TRAITS } from './price-row.ts';
import type { PriceTable } from './price-table.ts';
import { type PriceProblem, priceTable } from './price-table.ts';

/** A row of a book's file. */
export interface BookRow {
  readonly provider: string;
  readonly model: string;
  readonly table: PriceTable;
  readonly traits: ModelTraits;
  readonly verified: boolean;
  /** The day on which it was looked at; null = not said. */
  readonly asOf: string | null;
  /** What a second source says: `same`, `differs`, `absent`; null = there is none. */
  readonly check: string | null;
  readonly source: string;
}

/** A book as its file has it. */
export interface Book {
  /** Of its prices: a date. */
  readonly version: string;
  readonly offDays: Readonly<Record<string, OffDays>>;
  readonly rows: readonly BookRow[];
}

/** One table `[prices."provider/model"]`. */
export interface PriceOverride {
  readonly provider: string;
  /** `*`: each model that has no table of its own; only where it is free. */
  readonly model: string;
  readonly table: PriceTable;
  /** A print of what it says. */
  readonly version: string;
}

/** What the configuration says of prices. Structured-cloneable. */
export interface PricingConfig {
  readonly overrides: readonly PriceOverride[];
  /** The file `prices_file`, read; null = none. */
  readonly own: Book | null;
}

export const NO_PRICING: PricingConfig = { overrides: [], own: null };

/** What the plan and the list of models ask. */
export interface PriceView {
  /** The row that counts at an instant, in milliseconds; null = unpriced. */
  row(provider: string, model: string, atMs: number): PriceRow | null;
  /** What is known of a model; everything null where nothing is. */
  traits(provider: string, model: string): ModelTraits;
  models(provider: string): readonly string[];
}

export const ANY_MODEL = '*';

/** What is kept of one model: its rows by date, and what it can do. */
interface Entry {
  readonly rows: readonly PriceRow[];
  readonly traits: ModelTraits;
}

const NO_NAMES: readonly string[] = [];
const NO_ENTRY: Entry = { rows: [], traits: UNKNOWN_TRAITS };

export class PriceBook implements PriceView {
  readonly #shipped: ShippedBook;
  /** By provider and model: what the configuration says, and what was read of the shipped book. */
  readonly #entries = new Map<string, Map<string, Entry>>();
  /** Of tables with a wildcard, by provider: they say more than the book, and less than a table of one model. */
  readonly #free = new Map<string, PriceRow>();
  readonly #overridden = new Set<string>();
  /** Models that the configuration has prices of, by provider. */
  readonly #said = new Map<string, string[]>();

  constructor(shipped: ShippedBook, { overrides, own }: PricingConfig = NO_PRICING) {
    this.#shipped = shipped;
    const tables = own === null ? new Map<string, readonly BookRow[]>() : byModel(own.rows);
    for (const [, rows] of tables) {
      this.#enter(rows, own ?? shipped);
      for (const { provider, model } of rows.slice(0, 1)) this.#says(provider, model);
    }
    for (const override of overrides) this.#override(override, tables);
  }

  row(provider: string, model: string, atMs: number): PriceRow | null {
    if (this.#free.size > 0 && !this.isOverridden(provider, model)) {
      const free = this.#free.get(provider);
      if (free !== undefined) return free;
    }
    const entry = this.#entryOf(provider, model);
    if (entry === null) return null;
    const { rows } = entry;
    // The last one that has begun; most models have one.
    for (let at = rows.length - 1; at >= 0; at--) {
      const row = rows[at];
      if (row !== undefined && atMs >= row.fromMs) return atMs < row.untilMs ? row : null;
    }
    return null;
  }

  /** Whether the configuration has a table for exactly this. */
  isOverridden(provider: string, model: string): boolean {
    return this.#overridden.size > 0 && this.#overridden.has(`${provider}/${model}`);
  }

  traits(provider: string, model: string): ModelTraits {
    return this.#entryOf(provider, model)?.traits ?? UNKNOWN_TRAITS;
  }

  /**
   * Those that a request can be sent to: in the order of the book, then of the configuration. Not what the book says is free:
   * it runs on somebody's own machine, and nobody knows whether it is there.
   */
  models(provider: string): readonly string[] {
    const sold = this.#shipped.sold(provider);
    const said = this.#said.get(provider) ?? NO_NAMES;
    return [...new Set([...sold, ...said])];
  }

  /** Every model of a provider that has a row. */
  known(provider: string): readonly string[] {
    const said = this.#said.get(provider) ?? NO_NAMES;
    return [...new Set([...this.#shipped.models(provider), ...said])];
  }

  get providers(): readonly string[] {
    return [...new Set([...this.#shipped.providers, ...this.#said.keys()])];
  }

  get version(): string {
    return this.#shipped.version;
  }

  /** The rows of the shipped book are read when they are first asked for: all of them would cost a start 0.1 s. */
  #entryOf(provider: string, model: string): Entry | null {
    const known = this.#entries.get(provider)?.get(model);
    if (known !== undefined) return known;
    const rows = this.#shipped.read(provider, model);
    return rows.length === 0 ? null : this.#enter(rows, this.#shipped);
  }

  /** @param rows of one model */
  #enter(rows: readonly BookRow[], book: Pick<Book, 'version' | 'offDays'>): Entry {
    const { version, offDays } = book;
    const dated = rows.toSorted((a, b) => a.table.fromMs - b.table.fromMs);
    const entry: Entry = {
      rows: dated.map(({ provider, model, table, verified, source }) =>
        priceRow(provider, model, table, { version, verified, source }, offDays),
      ),
      traits: dated.at(-1)?.traits ?? UNKNOWN_TRAITS,
    };
    for (const { provider, model } of dated.slice(0, 1)) this.#set(provider, model, entry);
    return entry;
  }

  #override(
    { provider, model, table, version }: PriceOverride,
    own: ReadonlyMap<string, readonly BookRow[]>,
  ): void {
    const provenance = { version, verified: true, source: 'configuration' };
    if (model === ANY_MODEL) {
      this.#free.set(provider, priceRow(provider, model, table, provenance));
      return;
    }
    const under = (own.get(`${provider}/${model}`) ?? this.#shipped.read(provider, model)).at(-1);
    const whole = under === undefined ? table : merged(table, under.table);
    const dated = { ...whole, fromMs: table.fromMs, untilMs: table.untilMs };
    const row = priceRow(provider, model, dated, provenance, this.#shipped.offDays);
    const before = this.#entryOf(provider, model) ?? NO_ENTRY;
    const kept = before.rows.filter(({ fromMs }) => fromMs < row.fromMs);
    this.#set(provider, model, { ...before, rows: [...kept, row] });
    this.#overridden.add(`${provider}/${model}`);
    this.#says(provider, model);
  }

  #says(provider: string, model: string): void {
    const names = this.#said.get(provider);
    if (names === undefined) this.#said.set(provider, [model]);
    else names.push(model);
  }

  #set(provider: string, model: string, entry: Entry): void {
    const models = this.#entries.get(provider);
    if (models === undefined) this.#entries.set(provider, new Map([[model, entry]]));
    else models.set(model, entry);
  }
}

function byModel(rows: readonly BookRow[]): Map<string, readonly BookRow[]> {
  const models = new Map<string, readonly BookRow[]>();
  for (const row of rows) {
    const name = `${row.provider}/${row.model}`;
    models.set(name, [...(models.get(name) ?? []), row]);
  }
  return models;
}

// ---- files -----------------------------------------------------------------------------------------------------------

/** A problem of a book's file, with its line from 1 on. */
export interface BookProblem extends PriceProblem {
  readonly line: number;
}

/** Rows of one file: more is no price list. */
const ROWS_MAX = 100_000;
const CAPABILITY_WORDS = ['images', 'tools', 'json_schema', 'audio'];
const EMPTY: Book = { version: '', offDays: {}, rows: [] };

/**
 * Reads a book: a line with `version` (and `off_days`), then one row a line, each a JSON object.
 * @param problems gets what is wrong
 */
export function readBook(text: string, problems: BookProblem[]): Book {
  const lines = text.split('\n');
  const rows: BookRow[] = [];
  let head: Record<string, unknown> | null = null;
  for (const [at, line] of lines.slice(0, ROWS_MAX).entries()) {
    if (line.trim() === '') continue;
    const value = parsed(line);
    if (value === null) {
      problems.push({
        line: at + 1,
        path: [],
        found: 'a line that is none',
        expected: 'a JSON object',
      });
    } else if (head === null) {
      head = value;
    } else {
      rows.push(bookRow(value, at + 1, problems));
    }
  }
  if (head === null || typeof head['version'] !== 'string') {
    problems.push({
      line: 1,
      path: ['version'],
      found: 'nothing',
      expected: 'a first line like {"version":"2026-12-01"}',
    });
    return EMPTY;
  }
  overlaps(rows, problems);
  return {
    version: head['version'],
    offDays: (head['off_days'] ?? {}) as Readonly<Record<string, OffDays>>,
    rows,
  };
}

function bookRow(value: Record<string, unknown>, line: number, problems: BookProblem[]): BookRow {
  const { provider, model, can, context_tokens, max_output_tokens, ...told } = value;
  const { verified, check, as_of, source, ...table } = told;
  for (const [name, text] of [
    ['provider', provider],
    ['model', model],
  ] as const) {
    if (typeof text !== 'string' || text === '')
      problems.push({ line, path: [name], found: 'nothing', expected: 'a name' });
  }
  const own: PriceProblem[] = [];
  const read = priceTable(table, own, true);
  const where = [String(provider), String(model)];
  for (const { path, ...problem } of own)
    problems.push({ ...problem, line, path: [...where, ...path] });
  const words = Array.isArray(can) ? can : null;
  const does = (word: string): boolean | null => (words === null ? null : words.includes(word));
  if (words?.some((word) => !CAPABILITY_WORDS.includes(String(word))) === true)
    problems.push({
      line,
      path: [...where, 'can'],
      found: 'an unknown word',
      expected: CAPABILITY_WORDS.join(', '),
    });
  return {
    provider: String(provider),
    model: String(model),
    table: read,
    traits: {
      contextTokens: typeof context_tokens === 'number' ? context_tokens : null,
      maxOutputTokens: typeof max_output_tokens === 'number' ? max_output_tokens : null,
      images: does('images'),
      tools: does('tools'),
      jsonSchema: does('json_schema'),
      audio: does('audio'),
      continuesPrefix: null,
      tokensPerByte: null,
    },
    // Whoever brings a book of his own has looked at it.
    verified: verified !== false,
    asOf: typeof as_of === 'string' ? as_of : null,
    check: typeof check === 'string' ? check : null,
    source: typeof source === 'string' ? source : 'own file',
  };
}

/** Two rows that count on the same day would be two prices. */
function overlaps(rows: readonly BookRow[], problems: BookProblem[]): void {
  const before = new Map<string, PriceTable[]>();
  for (const [at, { provider, model, table }] of rows.entries()) {
    const name = `${provider}/${model}`;
    const others = before.get(name) ?? [];
    const isDouble = others.some(
      (other) =>
        other.fromMs === table.fromMs ||
        (other.fromMs < table.fromMs
          ? Number.isFinite(other.untilMs) && other.untilMs > table.fromMs
          : Number.isFinite(table.untilMs) && table.untilMs > other.fromMs),
    );
    if (isDouble)
      problems.push({
        line: at + 2,
        path: [provider, model, 'from'],
        found: 'days that another row of the model has',
        expected: 'one row for each day',
      });
    before.set(name, [...others, table]);
  }
}

function parsed(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** How each row of the shipped book begins, which is how it is found without being read. */
const ROW_START = /^\{"provider":"([^"]+)","model":"([^"]+)"/;

/** The book that comes with the gateway: an index of its lines, each read when it is asked for. */
export class ShippedBook {
  readonly version: string;
  readonly offDays: Readonly<Record<string, OffDays>>;
  readonly #lines = new Map<string, Map<string, string>>();

  /** @param text of a book with one row for each model */
  constructor(text: string) {
    const [head = '', ...lines] = text.split('\n');
    const { version, offDays } = readBook(head, []);
    this.version = version;
    this.offDays = offDays;
    for (const line of lines) {
      const [, provider, model] = ROW_START.exec(line) ?? [];
      if (provider === undefined || model === undefined) continue;
      const models = this.#lines.get(provider);
      if (models === undefined) this.#lines.set(provider, new Map([[model, line]]));
      else models.set(model, line);
    }
  }

  get providers(): readonly string[] {
    return [...this.#lines.keys()];
  }

  models(provider: string): readonly string[] {
    return [...(this.#lines.get(provider)?.keys() ?? [])];
  }

  /** Those that cost something. */
  sold(provider: string): readonly string[] {
    return [...(this.#lines.get(provider) ?? [])]
      .filter(([, line]) => !line.includes(',"free":true'))
      .map(([model]) => model);
  }

  /** @returns nothing where the model has no row. A row's faults are a bug, which a test looks for in all of them. */
  read(provider: string, model: string): readonly BookRow[] {
    const line = this.#lines.get(provider)?.get(model);
    const value = line === undefined ? null : parsed(line);
    return value === null ? [] : [bookRow(value, 0, [])];
  }
}

export const SHIPPED_BOOK_URL = new URL('book.jsonl', import.meta.url);

/** @throws Error when it is not beside this file */
export function shippedBook(): ShippedBook {
  return new ShippedBook(readFileSync(SHIPPED_BOOK_URL, 'utf8'));
}

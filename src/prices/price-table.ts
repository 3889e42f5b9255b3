/**
 * What a price list says of one model, as text and as integers. One shape for the book's rows, for files of one's own and for
 * the tables `[prices."provider/model"]`: what one of them can say, all can.
 */

import { decimalOf, RATE_DECIMALS_MAX } from './money.ts';

/** What is priced by the token: USD per million, decimal texts or numbers. */
export const RATE_NAMES = [
  'input',
  'output',
  'cache_read',
  'cache_write',
  'cache_write_1h',
  'reasoning',
  'audio_input',
  'audio_output',
  'audio_cache_read',
  'image_input',
  'image_output',
] as const;
export type RateName = (typeof RATE_NAMES)[number];

/** Rates that are said, in pico-dollars a token. */
export type SaidRates = Readonly<Partial<Record<RateName, number>>>;

/** Rates above a size of the whole input. */
export interface SaidTier {
  /** Total input tokens, cache reads and writes included: the rates count for the whole request above it, not at it. */
  readonly over: number;
  readonly rates: SaidRates;
}

/** The rates of one service tier. */
export interface SaidTierSet {
  readonly rates: SaidRates;
  /** By `over`, ascending. */
  readonly tiers: readonly SaidTier[];
}

/** Hours in which other rates count. */
export interface SaidOffPeak {
  readonly rates: SaidRates;
  /** Minutes of the day in UTC, half-open: [from, to). Outside of them `rates` count. */
  readonly peak: readonly (readonly [from: number, to: number])[];
  /** Days of the week that have a peak, 1 = Monday. */
  readonly days: readonly number[];
  /** The name of a list of days without a peak; null = none. */
  readonly offDays: string | null;
}

/** All that is said of one model's price. Structured-cloneable. */
export interface PriceTable extends SaidTierSet {
  /** It costs nothing: nothing else is said then. */
  readonly free: boolean;
  /** Pico-dollars. */
  readonly perRequest: number;
  /** Pico-dollars for each use, by the name that the tool has in a fact's `tool_uses`. */
  readonly fees: Readonly<Record<string, number>>;
  readonly serviceTiers: Readonly<Record<string, SaidTierSet>>;
  /** Where it was worked out, as the provider names it, to thousandths of the token rates. */
  readonly geo: Readonly<Record<string, number>>;
  readonly offPeak: SaidOffPeak | null;
  /** From when on, in milliseconds; -Infinity = always. */
  readonly fromMs: number;
  /** Up to when, exclusive; Infinity = on. */
  readonly untilMs: number;
}

/** One thing that is wrong with a table. */
export interface PriceProblem {
  readonly path: readonly (string | number)[];
  readonly found: string;
  readonly expected: string;
}

const RATE_EXPECTED =
  'USD per million tokens as a decimal text like "0.40", not negative, at most six decimals';
const FEE_EXPECTED = 'USD as a decimal text like "0.01", not negative, at most twelve decimals';
/** USD per million tokens: ten times the dearest rate that anybody publishes. */
const RATE_MAX_USD = 10_000;
const OVER_MAX = 1_000_000_000;
const FEE_NAME = /^[a-z][a-z0-9_]{0,38}$/;
/** Beside the rates and the fees. */
const OTHER_NAMES = [
  'free',
  'per_request',
  'tiers',
  'service_tiers',
  'geo',
  'off_peak',
  'from',
  'until',
];
const RATES: ReadonlySet<string> = new Set(RATE_NAMES);

export const NOTHING_SAID: PriceTable = {
  rates: {},
  tiers: [],
  free: false,
  perRequest: 0,
  fees: {},
  serviceTiers: {},
  geo: {},
  offPeak: null,
  fromMs: Number.NEGATIVE_INFINITY,
  untilMs: Number.POSITIVE_INFINITY,
};

/**
 * Reads one table.
 * @param value what a TOML or JSON parser made of it
 * @param problems gets what is wrong, each with its path below the table
 * @param isWhole false where another row stands behind it, from which what is not said is taken
 */
export function priceTable(value: unknown, problems: PriceProblem[], isWhole: boolean): PriceTable {
  const table = record(value);
  if (table === null) {
    problems.push({ path: [], found: kindOf(value), expected: 'a table of prices' });
    return NOTHING_SAID;
  }
  const at = new Reading(problems);
  const free = table['free'] === undefined ? false : at.boolean(table['free'], ['free']);
  const said: PriceTable = {
    ...at.set(table, []),
    free,
    perRequest: at.usd(table['per_request'], ['per_request'], FEE_EXPECTED, 12) ?? 0,
    fees: at.fees(table),
    serviceTiers: at.serviceTiers(table['service_tiers']),
    geo: at.geo(table['geo']),
    offPeak: at.offPeak(table['off_peak']),
    fromMs: at.day(table['from'], 'from') ?? Number.NEGATIVE_INFINITY,
    untilMs: at.day(table['until'], 'until') ?? Number.POSITIVE_INFINITY,
  };
  contradictions(said, table, problems, isWhole);
  return said;
}

/** What parts of a table cannot be true together. */
function contradictions(
  said: PriceTable,
  table: Readonly<Record<string, unknown>>,
  problems: PriceProblem[],
  isWhole: boolean,
): void {
  if (said.free) {
    const beside = Object.keys(table).filter((key) => !['free', 'from', 'until'].includes(key));
    const [other] = beside;
    if (other !== undefined)
      problems.push({
        path: [other],
        found: `${other} beside free = true`,
        expected: 'one of them',
      });
    return;
  }
  if (said.untilMs <= said.fromMs)
    problems.push({
      path: ['until'],
      found: 'an end that is not behind from',
      expected: 'a later day',
    });
  if (
    isWhole &&
    said.rates.input === undefined &&
    !problems.some(({ path }) => path[0] === 'input')
  )
    problems.push({ path: ['input'], found: 'nothing', expected: RATE_EXPECTED });
  whole(said, ['tiers'], problems);
  for (const [name, set] of Object.entries(said.serviceTiers)) {
    if (set.rates.input === undefined)
      problems.push({
        path: ['service_tiers', name, 'input'],
        found: 'nothing',
        expected: RATE_EXPECTED,
      });
    whole(set, ['service_tiers', name, 'tiers'], problems);
  }
}

/** A tier that leaves out what is dear would price long requests too low, and nobody would see it. */
function whole(set: SaidTierSet, path: readonly string[], problems: PriceProblem[]): void {
  for (const [at, tier] of set.tiers.entries()) {
    for (const name of ['input', 'output'] as const) {
      if (tier.rates[name] !== undefined) continue;
      if (name === 'output' && set.rates.output === undefined) continue;
      problems.push({
        path: [...path, at, name],
        found: 'a tier without it',
        expected: `${name}, as each tier has it`,
      });
    }
    const before = set.tiers[at - 1];
    if (before !== undefined && before.over >= tier.over)
      problems.push({
        path: [...path, at, 'over'],
        found: `${tier.over} behind ${before.over}`,
        expected: 'tiers in ascending order, each size once',
      });
  }
}

class Reading {
  readonly #problems: PriceProblem[];

  constructor(problems: PriceProblem[]) {
    this.#problems = problems;
  }

  #wrong(path: readonly (string | number)[], value: unknown, expected: string): null {
    this.#problems.push({ path, found: shown(value), expected });
    return null;
  }

  /** Rates and tiers: what a table, and a service tier's table, have alike. */
  set(table: Readonly<Record<string, unknown>>, path: readonly (string | number)[]): SaidTierSet {
    return {
      rates: this.rates(table, path),
      tiers: this.tiers(table['tiers'], [...path, 'tiers']),
    };
  }

  rates(table: Readonly<Record<string, unknown>>, path: readonly (string | number)[]): SaidRates {
    const rates: Partial<Record<RateName, number>> = {};
    for (const name of RATE_NAMES) {
      const rate = this.usd(table[name], [...path, name], RATE_EXPECTED, RATE_DECIMALS_MAX);
      if (rate !== null) rates[name] = rate;
    }
    return rates;
  }

  /** @returns null when nothing is said, or something wrong */
  usd(
    value: unknown,
    path: readonly (string | number)[],
    expected: string,
    decimals: number,
  ): number | null {
    if (value === undefined) return null;
    if (typeof value !== 'string' && typeof value !== 'number')
      return this.#wrong(path, value, expected);
    const amount = decimalOf(String(value), decimals);
    const max = RATE_MAX_USD * 10 ** decimals;
    return amount === null || amount > max ? this.#wrong(path, value, expected) : amount;
  }

  tiers(value: unknown, path: readonly (string | number)[]): readonly SaidTier[] {
    if (value === undefined) return [];
    const expected = 'a list of { over = TOKENS, input = "…", output = "…" }';
    if (!Array.isArray(value)) {
      this.#wrong(path, value, expected);
      return [];
    }
    return value.flatMap((entry: unknown, at) => {
      const table = record(entry);
      if (table === null) {
        this.#wrong([...path, at], entry, expected);
        return [];
      }
      this.only(table, ['over', ...RATE_NAMES], [...path, at]);
      return [
        {
          over: this.over(table['over'], [...path, at, 'over']),
          rates: this.rates(table, [...path, at]),
        },
      ];
    });
  }

  over(value: unknown, path: readonly (string | number)[]): number {
    const isSize = typeof value === 'number' && Number.isInteger(value);
    if (isSize && value > 0 && value <= OVER_MAX) return value;
    this.#wrong(path, value, `input tokens: a whole number from 1 to ${OVER_MAX}`);
    return OVER_MAX;
  }

  only(
    table: Readonly<Record<string, unknown>>,
    known: readonly string[],
    path: readonly (string | number)[],
  ): void {
    for (const key of Object.keys(table)) {
      if (known.includes(key)) continue;
      this.#problems.push({
        path: [...path, key],
        found: 'an unknown key',
        expected: `one of ${known.join(', ')}`,
      });
    }
  }

  serviceTiers(value: unknown): Readonly<Record<string, SaidTierSet>> {
    const sets: Record<string, SaidTierSet> = {};
    for (const [name, entry] of this.#entries(
      value,
      'service_tiers',
      '{ flex = { input = "…" } }',
    )) {
      const path = ['service_tiers', name];
      const table = record(entry);
      if (table === null || !FEE_NAME.test(name)) {
        this.#wrong(path, entry, 'a tier by the name that answers have for it, and its rates');
        continue;
      }
      this.only(table, ['tiers', ...RATE_NAMES], path);
      sets[name] = this.set(table, path);
    }
    return sets;
  }

  geo(value: unknown): Readonly<Record<string, number>> {
    const factors: Record<string, number> = {};
    const expected = 'a factor like "1.1", at most three decimals, up to 10';
    for (const [name, entry] of this.#entries(value, 'geo', '{ us = "1.1" }')) {
      const isText = typeof entry === 'string' || typeof entry === 'number';
      const factor = isText ? decimalOf(String(entry), 3) : null;
      if (factor === null || factor < 1 || factor > 10_000)
        this.#wrong(['geo', name], entry, expected);
      else factors[name] = factor;
    }
    return factors;
  }

  offPeak(value: unknown): SaidOffPeak | null {
    if (value === undefined) return null;
    const table = record(value);
    const expected =
      '{ peak = ["01:00-04:00"], days = [1, 5], input = "…", output = "…" }, hours in UTC';
    if (table === null) return this.#wrong(['off_peak'], value, expected);
    this.only(table, ['peak', 'days', 'off_days', ...RATE_NAMES], ['off_peak']);
    const peak = list(table['peak']).map(hoursOf);
    const days = list(table['days']);
    const offDays = table['off_days'] ?? null;
    const isDays = days.length > 0 && days.every((day) => DAYS.includes(day));
    if (
      !isDays ||
      peak.length === 0 ||
      peak.includes(null) ||
      (offDays !== null && typeof offDays !== 'string')
    )
      return this.#wrong(['off_peak'], 'hours or days that are none', expected);
    const rates = this.rates(table, ['off_peak']);
    if (rates.input === undefined) this.#wrong(['off_peak', 'input'], undefined, RATE_EXPECTED);
    return {
      rates,
      peak: peak.filter((hours) => hours !== null),
      days: days.filter((day) => typeof day === 'number'),
      offDays,
    };
  }

  /** A day begins at midnight UTC. */
  day(value: unknown, name: string): number | null {
    if (value === undefined) return null;
    const text = value instanceof Date ? value.toISOString().slice(0, 10) : value;
    const expected = 'a day like "2026-12-01"';
    if (typeof text !== 'string' || !/^\d{4}-\d\d-\d\d$/.test(text))
      return this.#wrong([name], value, expected);
    const ms = Date.parse(`${text}T00:00:00Z`);
    const isDay = Number.isFinite(ms) && new Date(ms).toISOString().startsWith(text);
    return isDay ? ms : this.#wrong([name], value, expected);
  }

  /** Whatever else is written is a fee, unless it looks like one of the other keys misspelt. */
  fees(table: Readonly<Record<string, unknown>>): Readonly<Record<string, number>> {
    const fees: Record<string, number> = {};
    const known = [...RATE_NAMES, ...OTHER_NAMES];
    for (const [name, value] of Object.entries(table)) {
      if (RATES.has(name) || OTHER_NAMES.includes(name)) continue;
      const meant = known.find((key) => isMisspelt(name, key));
      if (meant !== undefined || !FEE_NAME.test(name)) {
        this.#problems.push({
          path: [name],
          found: 'an unknown key',
          expected: meant ?? 'a rate, or a tool by its name in tool_uses',
        });
        continue;
      }
      const fee = this.usd(value, [name], FEE_EXPECTED, 12);
      if (fee !== null) fees[name] = fee;
    }
    return fees;
  }

  boolean(value: unknown, path: readonly string[]): boolean {
    if (typeof value === 'boolean') return value;
    this.#wrong(path, value, 'true or false');
    return false;
  }

  #entries(value: unknown, name: string, example: string): readonly (readonly [string, unknown])[] {
    if (value === undefined) return [];
    const table = record(value);
    if (table === null) this.#wrong([name], value, `a table like ${example}`);
    return table === null ? [] : Object.entries(table);
  }
}

const DAYS: readonly unknown[] = [1, 2, 3, 4, 5, 6, 7];

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function hoursOf(value: unknown): readonly [number, number] | null {
  const match = typeof value === 'string' ? /^(\d\d):(\d\d)-(\d\d):(\d\d)$/.exec(value) : null;
  if (match === null) return null;
  const [, fromHour, fromMinute, toHour, toMinute] = match.map(Number);
  const from = (fromHour ?? 0) * 60 + (fromMinute ?? 0);
  const to = (toHour ?? 0) * 60 + (toMinute ?? 0);
  return from < to && to <= 1_440 ? [from, to] : null;
}

/** One letter more, less, other, or two that changed places. */
function isMisspelt(name: string, key: string): boolean {
  if (Math.abs(name.length - key.length) > 1) return false;
  let start = 0;
  while (start < name.length && name[start] === key[start]) start++;
  let end = 0;
  const shorter = Math.min(name.length, key.length) - start;
  while (end < shorter && name.at(-1 - end) === key.at(-1 - end)) end++;
  const left = name.slice(start, name.length - end);
  const right = key.slice(start, key.length - end);
  const isSwap = left.length === 2 && left[0] === right[1] && left[1] === right[0];
  return isSwap || Math.max(left.length, right.length) <= 1;
}

function record(value: unknown): Readonly<Record<string, unknown>> | null {
  if (value instanceof Map) return Object.fromEntries(value);
  const isTable =
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Date);
  return isTable ? (value as Readonly<Record<string, unknown>>) : null;
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  return typeof value === 'string' || typeof value === 'number'
    ? JSON.stringify(value)
    : kindOf(value);
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  return value === null ? 'null' : typeof value === 'object' ? 'a table' : `a ${typeof value}`;
}

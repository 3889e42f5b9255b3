/** One model's price made ready: every rate filled in, looked up by size, tier and time without a search in texts. */

import type { ModelTraits } from '../plan/model-traits.ts';
import type { PriceTable, RateName, SaidRates, SaidTierSet } from './price-table.ts';

/** Pico-dollars for each token; -1: it has no price there. */
export interface Rates {
  readonly input: number;
  readonly output: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
  readonly cacheWrite1h: number;
  readonly reasoning: number;
  readonly audioInput: number;
  readonly audioOutput: number;
  readonly audioCacheRead: number;
  readonly imageInput: number;
  readonly imageOutput: number;
}

/** The rates that count above a size of the whole input. */
export interface RateStep {
  readonly over: number;
  /** Null: long requests cost more, and nobody says what in this tier. */
  readonly rates: Rates | null;
}

/** Steps by size, ascending; the first one counts from nothing on. */
export type RateSteps = readonly RateStep[];

export const UNKNOWN_TRAITS: ModelTraits = {
  contextTokens: null,
  maxOutputTokens: null,
  images: null,
  tools: null,
  jsonSchema: null,
  audio: null,
  continuesPrefix: null,
  tokensPerByte: null,
};

/** Days without a peak, `YYYY-MM-DD`, by year: a year that is not there is not known. */
export type OffDays = Readonly<Record<string, readonly string[]>>;

interface OffPeak {
  readonly steps: RateSteps;
  readonly peak: readonly (readonly [from: number, to: number])[];
  readonly days: readonly number[];
  /** Null: there are none. */
  readonly offDays: OffDays | null;
}

/** One dated row, ready to be charged by. */
export interface PriceRow {
  readonly provider: string;
  /** As answers name it. */
  readonly model: string;
  readonly free: boolean;
  readonly standard: RateSteps;
  readonly serviceTiers: ReadonlyMap<string, RateSteps>;
  readonly offPeak: OffPeak | null;
  readonly perRequest: number;
  readonly fees: ReadonlyMap<string, number>;
  /** Thousandths. */
  readonly geo: ReadonlyMap<string, number>;
  readonly fromMs: number;
  readonly untilMs: number;
  /** Which prices these were: the book's date, or a print of what the configuration says. */
  readonly version: string;
  /** Two sources agree, or the operator said so. */
  readonly verified: boolean;
  /** Where it was read: an address, or `configuration`. */
  readonly source: string;
}

/** Where a row is from. */
export interface Provenance {
  readonly version: string;
  readonly verified: boolean;
  readonly source: string;
}

export function priceRow(
  provider: string,
  model: string,
  table: PriceTable,
  { version, verified, source }: Provenance,
  offDays: Readonly<Record<string, OffDays>> = {},
): PriceRow {
  const { offPeak } = table;
  const standard = stepsOf(table, table.rates, []);
  const over = table.tiers.map((tier) => tier.over);
  const serviceTiers = Object.entries(table.serviceTiers).map(
    ([name, set]) => [name, stepsOf(set, table.rates, over)] as const,
  );
  return {
    provider,
    model,
    free: table.free,
    standard,
    serviceTiers: new Map(serviceTiers),
    offPeak:
      offPeak === null
        ? null
        : {
            steps: stepsOf({ rates: offPeak.rates, tiers: [] }, table.rates, over),
            peak: offPeak.peak,
            days: offPeak.days,
            offDays: offPeak.offDays === null ? null : (offDays[offPeak.offDays] ?? {}),
          },
    perRequest: table.perRequest,
    fees: new Map(Object.entries(table.fees)),
    geo: new Map(Object.entries(table.geo)),
    fromMs: table.fromMs,
    untilMs: table.untilMs,
    version,
    verified,
    source,
  };
}

/** @param over sizes at which the model's standard rates change: where this set says nothing, it has no price */
function stepsOf(set: SaidTierSet, standard: SaidRates, over: readonly number[]): RateSteps {
  const base: RateStep = { over: -1, rates: filled(set.rates, standard) };
  const said = set.tiers.map(({ over, rates }) => ({ over, rates: filled(rates, standard) }));
  const gaps = over
    .filter((size) => !said.some((tier) => tier.over === size))
    .map((size) => ({ over: size, rates: null }));
  return [base, ...said, ...gaps].sort((a, b) => a.over - b.over);
}

/**
 * What is not said costs what it is a part of: cached input and images as input, reasoning as output. Two exceptions, which
 * would else be too cheap: what is always dearer (audio and pictures that are made), and whatever the standard rates price
 * apart: these have no price.
 */
function filled(said: SaidRates, standard: SaidRates): Rates {
  const { input = -1, output = -1 } = said;
  const rate = (name: RateName, otherwise: number): number =>
    said[name] ?? (standard[name] === undefined ? otherwise : -1);
  const cacheRead = rate('cache_read', input);
  const cacheWrite = rate('cache_write', input);
  const audioInput = rate('audio_input', input);
  return {
    input,
    output,
    cacheRead,
    cacheWrite,
    cacheWrite1h: rate('cache_write_1h', Math.max(cacheWrite, input)),
    reasoning: rate('reasoning', output),
    audioInput,
    audioOutput: said.audio_output ?? -1,
    // A discount that nobody tells is none.
    audioCacheRead: rate(
      'audio_cache_read',
      said.audio_input === undefined ? cacheRead : audioInput,
    ),
    imageInput: rate('image_input', input),
    imageOutput: said.image_output ?? -1,
  };
}

/** Laid over each other: what `over` does not say is taken from `under`. */
export function merged(over: PriceTable, under: PriceTable): PriceTable {
  if (over.free || under.free) return over;
  return {
    ...over,
    rates: { ...under.rates, ...over.rates },
    tiers: over.tiers.length > 0 ? over.tiers : under.tiers,
    perRequest: over.perRequest > 0 ? over.perRequest : under.perRequest,
    fees: { ...under.fees, ...over.fees },
    serviceTiers: { ...under.serviceTiers, ...over.serviceTiers },
    geo: { ...under.geo, ...over.geo },
    offPeak: over.offPeak ?? under.offPeak,
  };
}

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1_440;

/**
 * The steps that count at an instant.
 * @returns null when it is not known whether that day has a peak
 */
export function stepsAt(row: PriceRow, atMs: number): RateSteps | null {
  const { offPeak } = row;
  if (offPeak === null) return row.standard;
  const minute = Math.floor(atMs / MINUTE_MS) % DAY_MINUTES;
  // 1970-01-01 was a Thursday.
  const day = ((Math.floor(atMs / (MINUTE_MS * DAY_MINUTES)) + 3) % 7) + 1;
  const isPeak =
    offPeak.days.includes(day) && offPeak.peak.some(([from, to]) => minute >= from && minute < to);
  if (!isPeak) return offPeak.steps;
  if (offPeak.offDays === null) return row.standard;
  const date = new Date(atMs).toISOString().slice(0, 10);
  const known = offPeak.offDays[date.slice(0, 4)];
  if (known === undefined) return null;
  return known.includes(date) ? offPeak.steps : row.standard;
}

/** The rates for a size of input. */
export function ratesFor(steps: RateSteps, totalInput: number): Rates | null {
  let rates: Rates | null = null;
  for (const step of steps) {
    if (totalInput <= step.over) break;
    rates = step.rates;
  }
  return rates;
}

/**
 * What the caches that providers keep of prompts did: how much of what went in came from them, and what that saved. It is worked
 * out of the ledger's sums, so it is known of all the time that they are kept for. The price is that sums do not say which
 * size or tier a request had: rates are those of the smallest size, as served to everybody.
 */

import type { Dimension } from './fact-kind.ts';
import type { UsageRow } from './usage-report.ts';

/** What a model's tokens cost, in pico-dollars each. */
export interface CacheRates {
  readonly input: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
}

/** @returns null: it has no price */
export type CacheRatesOf = (provider: string, model: string) => CacheRates | null;

export interface CacheUse {
  readonly attempts: number;
  /** All tokens that went in, what came from a cache and what went into one included. */
  readonly input: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
  /** Pico-dollars: what the tokens that were read would have cost as input, less what they cost. */
  readonly saved: bigint;
  /** Pico-dollars: what the tokens that were written cost more than input does. */
  readonly written: bigint;
  /** Tokens read or written whose model has no price: they are in neither sum. */
  readonly unpriced: number;
}

export interface CacheRow {
  readonly by: readonly string[];
  readonly use: CacheUse;
}

export const NO_CACHE_USE: CacheUse = {
  attempts: 0,
  input: 0,
  cacheRead: 0,
  cacheWrite: 0,
  saved: 0n,
  written: 0n,
  unpriced: 0,
};

/** By what the ledger is asked, so that each row has a model's rates: what was asked for first. */
export function cacheDimensions(by: readonly Dimension[]): readonly Dimension[] {
  return [...new Set<Dimension>([...by, 'provider', 'model'])];
}

/**
 * @param by what rows are told apart by
 * @param usage by `cacheDimensions(by)`
 * @returns rows with the most input first; those without any are left out
 */
export function cacheRows(
  by: readonly Dimension[],
  usage: readonly UsageRow[],
  ratesOf: CacheRatesOf,
): readonly CacheRow[] {
  const asked = cacheDimensions(by);
  const [provider, model] = [asked.indexOf('provider'), asked.indexOf('model')];
  const sums = new Map<string, CacheRow>();
  for (const row of usage) {
    const own = row.by.slice(0, by.length);
    const name = own.join('\0');
    const rates = ratesOf(row.by[provider] ?? '', row.by[model] ?? '');
    const before = sums.get(name)?.use ?? NO_CACHE_USE;
    sums.set(name, { by: own, use: added(before, useOf(row, rates)) });
  }
  return [...sums.values()].filter(({ use }) => use.input > 0).sort(mostInputFirst);
}

export function cacheTotal(rows: readonly CacheRow[]): CacheUse {
  return rows.reduce((sum, { use }) => added(sum, use), NO_CACHE_USE);
}

/** The part of what went in that came from a cache, exactly the quotient of both sums; null: nothing went in. */
export function hitRate({ input, cacheRead }: CacheUse): number | null {
  return input === 0 ? null : cacheRead / input;
}

function useOf({ usage }: UsageRow, rates: CacheRates | null): CacheUse {
  const { facts: attempts, input, cache_read: cacheRead, cache_write: cacheWrite } = usage;
  const counts = { attempts, input, cacheRead, cacheWrite };
  if (rates === null)
    return { ...counts, saved: 0n, written: 0n, unpriced: cacheRead + cacheWrite };
  return {
    ...counts,
    saved: BigInt(cacheRead) * BigInt(Math.max(0, rates.input - rates.cacheRead)),
    written: BigInt(cacheWrite) * BigInt(Math.max(0, rates.cacheWrite - rates.input)),
    unpriced: 0,
  };
}

function added(one: CacheUse, other: CacheUse): CacheUse {
  return {
    attempts: one.attempts + other.attempts,
    input: one.input + other.input,
    cacheRead: one.cacheRead + other.cacheRead,
    cacheWrite: one.cacheWrite + other.cacheWrite,
    saved: one.saved + other.saved,
    written: one.written + other.written,
    unpriced: one.unpriced + other.unpriced,
  };
}

function mostInputFirst(one: CacheRow, other: CacheRow): number {
  return other.use.input - one.use.input || (one.by.join('\0') < other.by.join('\0') ? -1 : 1);
}

/** What questions about usage have in common: from when to when, of whom, and in whose words it is told. */

import type { z } from 'zod';
import type { Dimension } from '../ledger/fact-kind.ts';
import { QUARTER_MS, type Span, type Usage, type UsageFilters } from '../ledger/usage-report.ts';
import { usdText } from '../prices/money.ts';
import { Problem } from './problem.ts';
import { DIMENSION, type USAGE } from './shapes.ts';

const DAY_MS = 86_400_000;

type Said = Readonly<Partial<Record<Dimension, string | undefined>>>;

/**
 * From one instant up to another: a day until now, where nothing is said.
 * @throws Problem when it ends before it begins
 */
export function spanOf(
  { since, until }: { readonly since?: string | undefined; readonly until?: string | undefined },
  nowMs: number,
): Span {
  const toMs = until === undefined ? nowMs : Date.parse(until);
  const fromMs = since === undefined ? toMs - DAY_MS : Date.parse(since);
  if (fromMs < toMs) return { fromMs, toMs };
  throw new Problem('malformed', 'The time ends before it begins.', {
    parts: [{ key: 'since', found: instantText(fromMs), expected: 'an instant before until' }],
  });
}

/** Which facts were asked for. */
export function filtersOf(said: Said): UsageFilters {
  const asked = DIMENSION.options.flatMap((name) => {
    const value = said[name];
    return value === undefined ? [] : [[name, [value]] as const];
  });
  return Object.fromEntries(asked);
}

/** @param usage null: nothing was used */
export function usageShown(usage: Usage | null): z.output<typeof USAGE> {
  return {
    facts: usage?.facts ?? 0,
    requests: usage?.requests ?? 0,
    input_tokens: usage?.input ?? 0,
    output_tokens: usage?.output ?? 0,
    cache_read_tokens: usage?.cache_read ?? 0,
    cache_write_tokens: usage?.cache_write ?? 0,
    reasoning_tokens: usage?.reasoning ?? 0,
    duration_ms: usage?.duration_ms ?? 0,
    cost_usd: usdText(usage?.cost ?? 0n),
    unpriced: usage?.unpriced ?? 0,
    estimated: usage?.estimated ?? 0,
  };
}

/** The instant at which the quarter of an hour began that sums are told from. */
export function quarterText(ms: number): string {
  return instantText(Math.floor(ms / QUARTER_MS) * QUARTER_MS);
}

/** The instant at which the quarter of an hour ends that sums are told up to: it is told whole, as far as it has come. */
export function quarterEndText(ms: number, nowMs: number): string {
  return instantText(Math.max(ms, Math.min(nowMs, Math.ceil(ms / QUARTER_MS) * QUARTER_MS)));
}

export function instantText(ms: number): string {
  return new Date(ms).toISOString();
}

import { type FactWords, requestIdOf } from './facts.ts';

const NOON = Date.parse('2026-11-28T12:00:00Z');

/** A name that has to be escaped in every language on its way. */
export const ODD_MODEL = 'm"\\\u{1F600}';

type Sent = FactWords & { readonly cost: string | null };

/** Facts of a few days, for a data base that gets all of them; a fifth has no price. */
export function factsFrom(from: number, to: number): readonly Sent[] {
  return Array.from({ length: to - from }, (_, at) => ({
    timeMs: NOON + (from + at) * 3_600_000,
    requestId: requestIdOf(from + at),
    cost: at % 5 === 0 ? null : `0.0${from + at + 1}`,
    model: ODD_MODEL,
  }));
}

/** How many they are, how many differ, and what they cost in 1e-8 USD: what a data base is asked for too. */
export function sumsOf(facts: readonly Sent[], separator: string): string {
  const cost = facts.reduce(
    (sum, { cost: usd }) => sum + (usd === null ? 0 : Math.round(Number(usd) * 1e8)),
    0,
  );
  return [facts.length, facts.length, cost].join(separator);
}

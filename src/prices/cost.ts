/**
 * What an answer cost: its counts by the rates of the row that counts, in integers. Whatever has no price makes all of it
 * `unpriced`, with a reason from a closed list: a cost that leaves something out looks like one that does not.
 */

import type { BillingLine, ToolUses } from '../wire/billed-usage.ts';
import type { UsageCounts } from '../wire/usage-counters.ts';
import type { UsageDetails } from '../wire/usage-details.ts';
import { roundedDecimalOf, usdText } from './money.ts';
import type { PriceBook } from './price-book.ts';
import { type PriceRow, type Rates, ratesFor, stepsAt } from './price-row.ts';

/** Why something has no price: one closed list. */
export const UNPRICED_REASONS = [
  /** Neither the answer nor the request names a model. */
  'no_model',
  /** The model that served has no row, or none for this day. */
  'unknown_model',
  /** It was served in a tier for which its row has no rates, at this size. */
  'tier_unpriced',
  /** Tokens of a kind that its row has no rate for. */
  'rate_missing',
  /** Where it was worked out has a price of its own, which is not known. */
  'geo_unpriced',
  /** Whether this day has a peak is not known. */
  'calendar_unknown',
  /** A tool was used whose fee is not known. */
  'fee_unknown',
  /** A part is larger than its whole. */
  'inconsistent_tokens',
  /** It was not told what went in. */
  'no_counts',
  /** A bug of the gateway's own, which its log tells of. */
  'gateway_error',
] as const;
export type UnpricedReason = (typeof UNPRICED_REASONS)[number];

/**
 * - `priced`: reported counts, by a verified row
 * - `unverified`: reported counts, by a row on which sources disagree, or which only one has
 * - `reported`: the provider's own figure
 * - `estimated`: the counts are an estimate that errs low, and so does this
 * - `free`: its row says so
 * - `not_billed`: an error, or an endpoint that bills nothing
 * - `unpriced`: no cost is known
 */
export type CostStatus =
  | 'priced'
  | 'unverified'
  | 'reported'
  | 'estimated'
  | 'free'
  | 'not_billed'
  | 'unpriced';

/** What is to be charged. */
export interface Charge {
  readonly provider: string;
  /** What the answer says that it was served by. */
  readonly model: string | null;
  /** What was asked for: counts where the answer names none, and for tables of the configuration. */
  readonly asked: string | null;
  readonly counts: UsageCounts;
  readonly details: UsageDetails | null;
  /** Null where it was one model's single pass. */
  readonly lines: readonly BillingLine[] | null;
  readonly serviceTier: string | null;
  readonly toolUses: ToolUses;
  readonly source: 'reported' | 'estimated' | 'none';
  /** When it began, in milliseconds. */
  readonly atMs: number;
}

export interface Cost {
  /** USD, an exact decimal; null when unpriced. */
  readonly usd: string | null;
  readonly status: CostStatus;
  readonly reason: UnpricedReason | null;
  /** Which prices these were; null when none were used. */
  readonly version: string | null;
  /** Of each billing line, in its order; null where there are none. */
  readonly lines: readonly (string | null)[] | null;
}

/** One factor of a cost, for who wants to see the arithmetic. */
export interface Step {
  readonly what: string;
  readonly count: number;
  /** Pico-dollars each. */
  readonly rate: number;
}

/** A cost in the unit of budgets, half up; null where it is not known, or beyond what a number holds. */
export function nanoOfCost({ usd }: Cost): number | null {
  return usd === null ? null : roundedDecimalOf(usd, NANO_DECIMALS);
}

const NANO_DECIMALS = 9;

/** Takes the steps as they are worked out. */
export type Explained = (step: Step) => void;

/** How many tokens of each kind, none counted twice. */
interface Parts {
  totalInput: number;
  input: number;
  cacheRead: number;
  cacheWrite: number;
  cacheWrite1h: number;
  audioInput: number;
  audioCacheRead: number;
  imageInput: number;
  output: number;
  reasoning: number;
  audioOutput: number;
  imageOutput: number;
}

/** Of what could not be worked out. */
export const COST_UNKNOWN: Cost = {
  usd: null,
  status: 'unpriced',
  reason: 'gateway_error',
  version: null,
  lines: null,
};
const NOT_BILLED: Cost = {
  usd: '0',
  status: 'not_billed',
  reason: null,
  version: null,
  lines: null,
};
const FREE_USD = '0';

/** Words for what is served to everybody: openai `default`, anthropic and gemini `standard`, groq `on_demand`, vertex. */
const STANDARD: ReadonlySet<string> = new Set([
  'default',
  'standard',
  'on_demand',
  'ON_DEMAND',
  // What was asked for, said back before it is decided: answers that stop there were served by default.
  'auto',
]);
/** Other spellings of a tier (cloud.google.com/vertex-ai: trafficType). */
const TIERS: ReadonlyMap<string, string> = new Map([
  ['ON_DEMAND_FLEX', 'flex'],
  ['ON_DEMAND_PRIORITY', 'priority'],
]);
/** Tools of providers that bill what they bring as tokens, and nothing else (docs.anthropic.com, web fetch tool). */
const FREE_TOOLS: ReadonlySet<string> = new Set(['web_fetch', 'mcp']);
/** Words for no place in particular. */
const ANYWHERE: ReadonlySet<string> = new Set(['global', 'not_available']);

/**
 * Providers that say what an answer cost: `usd` as openrouter.ai/docs/use-cases/usage-accounting has it (credits of a dollar),
 * `ticks` of 1e-10 USD as docs.x.ai has them. Others' words are not taken: anybody can put a number there.
 */
const SAY_COST: ReadonlyMap<string, 'usd' | 'ticks'> = new Map([
  ['openrouter', 'usd'],
  ['perplexity', 'usd'],
  ['xai', 'ticks'],
]);
const PICO_PER_TICK = 100;
/** A cost that a provider says is not believed beyond this: 1,000 USD for one answer. */
const SAID_MAX_PICO = 1e15;
const SAID_VERSION = 'provider';

/** Works out costs by one book. */
export class Pricing {
  readonly book: PriceBook;

  constructor(book: PriceBook) {
    this.book = book;
  }

  /** @param explained is told each product; null on the hot path */
  cost(charge: Charge, explained: Explained | null = null): Cost {
    if (charge.source === 'none') return NOT_BILLED;
    const said = charge.source === 'reported' ? saidCost(charge) : null;
    if (said !== null) return said;
    const row = this.#row(charge);
    if (typeof row === 'string') return unpriced(row, null, null);
    if (row.free)
      return {
        usd: FREE_USD,
        status: 'free',
        reason: null,
        version: row.version,
        lines: freeLines(charge),
      };
    const { lines } = charge;
    const fees = feesOf(row, charge.toolUses, explained);
    if (lines !== null) return this.#ofLines(charge, row, lines, fees, explained);
    const tokens = passCost(row, charge, charge.counts, charge.details, explained);
    return summed(charge, row, tokens, fees, null);
  }

  #ofLines(
    charge: Charge,
    own: PriceRow,
    lines: readonly BillingLine[],
    fees: Amount,
    explained: Explained | null,
  ): Cost {
    let total: Amount = 0;
    const costs = lines.map(({ model, counts, details }): string | null => {
      const row = model === charge.model ? own : this.#row({ ...charge, model, asked: null });
      const cost =
        typeof row === 'string' ? row : passCost(row, charge, counts, details, explained);
      total = plus(total, cost);
      return typeof cost === 'string' ? null : usdText(cost);
    });
    return summed(charge, own, total, fees, costs);
  }

  /**
   * By what the answer says first; a table of the configuration for what was asked counts before the book does, because
   * deployments have names of their own.
   */
  #row({ provider, model, asked, atMs }: Charge): PriceRow | UnpricedReason {
    const { book } = this;
    if (model === null && asked === null) return 'no_model';
    const isAskedFor =
      asked !== null &&
      asked !== model &&
      book.isOverridden(provider, asked) &&
      (model === null || !book.isOverridden(provider, model));
    const name = isAskedFor ? asked : (model ?? asked);
    return (name === null ? null : book.row(provider, name, atMs)) ?? 'unknown_model';
  }
}

/** Pico-dollars, or why there are none. A bigint where a number would not be exact. */
type Amount = number | bigint | UnpricedReason;

function summed(
  charge: Charge,
  row: PriceRow,
  tokens: Amount,
  fees: Amount,
  lines: readonly (string | null)[] | null,
): Cost {
  const total = plus(tokens, fees);
  if (typeof total === 'string') return unpriced(total, row.version, lines);
  const all = row.perRequest === 0 ? total : plus(total, row.perRequest);
  if (typeof all === 'string') return unpriced(all, row.version, lines);
  const isEstimate = charge.source === 'estimated';
  const status = isEstimate ? 'estimated' : row.verified ? 'priced' : 'unverified';
  return { usd: usdText(all), status, reason: null, version: row.version, lines };
}

function unpriced(
  reason: UnpricedReason,
  version: string | null,
  lines: readonly (string | null)[] | null,
): Cost {
  return { usd: null, status: 'unpriced', reason, version, lines };
}

function freeLines({ lines }: Charge): readonly string[] | null {
  return lines === null ? null : lines.map(() => FREE_USD);
}

/** One model's single pass: its tokens by the rates of its size, its tier and its place. */
function passCost(
  row: PriceRow,
  charge: Charge,
  counts: UsageCounts,
  details: UsageDetails | null,
  explained: Explained | null,
): Amount {
  const parts = partsOf(counts, details);
  if (typeof parts === 'string') return parts;
  const rates = ratesOf(row, charge, parts.totalInput, details);
  if (typeof rates === 'string') return rates;
  // Nothing tells how many of the pictures were cached: it does not matter where they cost what text does.
  if (parts.input < 0) {
    if (rates.imageInput !== rates.input) return 'inconsistent_tokens';
    parts.imageInput += parts.input;
    parts.input = 0;
  }
  const cost = tokenCost(parts, rates, explained);
  const geo = details === null ? null : details.geo;
  if (geo === null || ANYWHERE.has(geo) || typeof cost === 'string') return cost;
  const factor = row.geo.get(geo);
  if (factor === undefined) return 'geo_unpriced';
  // Half up to a pico-dollar: the one place where something is rounded.
  return (BigInt(cost) * BigInt(factor) + 500n) / 1_000n;
}

function ratesOf(
  row: PriceRow,
  { serviceTier, atMs }: Charge,
  totalInput: number,
  details: UsageDetails | null,
): Rates | UnpricedReason {
  // Anthropic's fast mode is told apart from its tier (docs.anthropic.com, fast mode), and has rates of its own.
  const speed = details === null ? null : details.speed;
  const isFast = speed !== null && speed !== 'standard';
  if (!isFast && (serviceTier === null || STANDARD.has(serviceTier))) {
    const steps = stepsAt(row, atMs);
    if (steps === null) return 'calendar_unknown';
    return ratesFor(steps, totalInput) ?? 'tier_unpriced';
  }
  if (isFast && serviceTier !== null && !STANDARD.has(serviceTier)) return 'tier_unpriced';
  const name = isFast ? speed : (serviceTier ?? '');
  const steps = row.serviceTiers.get(TIERS.get(name) ?? name);
  return steps === undefined ? 'tier_unpriced' : (ratesFor(steps, totalInput) ?? 'tier_unpriced');
}

/** What the counts are made of. A part that is larger than its whole says that the counts are not understood. */
function partsOf(counts: UsageCounts, details: UsageDetails | null): Parts | UnpricedReason {
  const { inputTokens, outputTokens } = counts;
  const cacheRead = counts.cacheReadTokens ?? 0;
  const writes = counts.cacheWriteTokens ?? 0;
  const told = inputTokens ?? 0;
  // An answer without a prompt is none: its half would look like all of it.
  if (inputTokens === null && cacheRead + writes === 0) return 'no_counts';
  const excludes = details?.inputExcludesCache === true;
  const totalInput = excludes ? told + cacheRead + writes : told;
  const fresh = excludes ? told : told - cacheRead - writes;
  const parts: Parts = {
    totalInput,
    input: fresh,
    cacheRead,
    cacheWrite: writes,
    cacheWrite1h: 0,
    audioInput: 0,
    audioCacheRead: 0,
    imageInput: 0,
    output: outputTokens ?? 0,
    reasoning: counts.reasoningTokens ?? 0,
    audioOutput: 0,
    imageOutput: 0,
  };
  if (details !== null) splitByDetails(parts, details);
  parts.output -= parts.reasoning;
  if (parts.output < 0 || parts.cacheRead < 0) return 'inconsistent_tokens';
  const mayBeCached =
    parts.cacheRead > 0 && details !== null && details.imageCacheReadTokens === 0
      ? Math.min(parts.imageInput, parts.cacheRead)
      : 0;
  return parts.input + mayBeCached < 0 ? 'inconsistent_tokens' : parts;
}

function splitByDetails(parts: Parts, details: UsageDetails): void {
  const hour = details.cacheWrite1hTokens;
  // A later report of more writes does not split them again: then they live as long as those that were told did.
  const isHour = hour > 0 && details.cacheWrite5mTokens === 0;
  parts.cacheWrite1h = isHour ? parts.cacheWrite : Math.min(hour, parts.cacheWrite);
  parts.cacheWrite -= parts.cacheWrite1h;
  const counted = parts.cacheRead;
  parts.audioCacheRead = Math.min(details.audioCacheReadTokens, parts.cacheRead);
  parts.cacheRead -= parts.audioCacheRead;
  // Audio that was read from a cache is told among all audio.
  parts.audioInput = Math.max(0, details.audioInputTokens - parts.audioCacheRead);
  // So are pictures; read from a cache they cost what everything there does.
  parts.imageInput = Math.max(
    0,
    details.imageInputTokens - Math.min(details.imageCacheReadTokens, counted),
  );
  parts.input -= parts.audioInput + parts.imageInput;
  parts.audioOutput = details.audioOutputTokens;
  parts.imageOutput = details.imageOutputTokens;
  parts.output -= parts.audioOutput + parts.imageOutput;
}

function tokenCost(parts: Parts, rates: Rates, explained: Explained | null): Amount {
  let total: Amount = product(parts.input, rates.input, 'input', explained);
  if (parts.cacheRead > 0)
    total = plus(total, product(parts.cacheRead, rates.cacheRead, 'cache_read', explained));
  if (parts.cacheWrite > 0)
    total = plus(total, product(parts.cacheWrite, rates.cacheWrite, 'cache_write', explained));
  if (parts.cacheWrite1h > 0)
    total = plus(
      total,
      product(parts.cacheWrite1h, rates.cacheWrite1h, 'cache_write_1h', explained),
    );
  if (parts.audioInput > 0)
    total = plus(total, product(parts.audioInput, rates.audioInput, 'audio_input', explained));
  if (parts.audioCacheRead > 0)
    total = plus(
      total,
      product(parts.audioCacheRead, rates.audioCacheRead, 'audio_cache_read', explained),
    );
  if (parts.imageInput > 0)
    total = plus(total, product(parts.imageInput, rates.imageInput, 'image_input', explained));
  total = plus(total, product(parts.output, rates.output, 'output', explained));
  if (parts.reasoning > 0)
    total = plus(total, product(parts.reasoning, rates.reasoning, 'reasoning', explained));
  if (parts.audioOutput > 0)
    total = plus(total, product(parts.audioOutput, rates.audioOutput, 'audio_output', explained));
  if (parts.imageOutput > 0)
    total = plus(total, product(parts.imageOutput, rates.imageOutput, 'image_output', explained));
  return total;
}

function product(count: number, rate: number, what: string, explained: Explained | null): Amount {
  if (count === 0) return 0;
  if (rate < 0) return 'rate_missing';
  if (explained !== null) explained({ what, count, rate });
  const exact = count * rate;
  // A product of integers that is no safe integer comes out as none.
  return exact <= Number.MAX_SAFE_INTEGER ? exact : BigInt(count) * BigInt(rate);
}

function plus(one: Amount, other: Amount): Amount {
  if (typeof one === 'string') return one;
  if (typeof other === 'string') return other;
  if (typeof one === 'number' && typeof other === 'number') {
    const sum = one + other;
    return sum <= Number.MAX_SAFE_INTEGER ? sum : BigInt(one) + BigInt(other);
  }
  return BigInt(one) + BigInt(other);
}

function feesOf(row: PriceRow, uses: ToolUses, explained: Explained | null): Amount {
  let total: Amount = 0;
  for (const name in uses) {
    const fee = row.fees.get(name);
    const times = uses[name] ?? 0;
    if (fee !== undefined) total = plus(total, product(times, fee, name, explained));
    else if (times > 0 && !FREE_TOOLS.has(name)) return 'fee_unknown';
  }
  return total;
}

/** What the provider itself says that it cost; null when it says nothing, or what cannot be. */
function saidCost({ provider, details, counts }: Charge): Cost | null {
  if (details === null || details.saidCost === null) return null;
  const unit = SAY_COST.get(provider);
  if (unit === undefined) return null;
  const text = String(details.saidCost);
  const pico =
    unit === 'usd' ? roundedDecimalOf(text, 12) : (roundedDecimalOf(text, 0) ?? -1) * PICO_PER_TICK;
  // Nothing for something is no price: a row has to say that.
  const isSome = (counts.inputTokens ?? 0) + (counts.outputTokens ?? 0) > 0;
  if (pico === null || pico < 0 || pico > SAID_MAX_PICO || (pico === 0 && isSome)) return null;
  return {
    usd: usdText(pico),
    status: 'reported',
    reason: null,
    version: SAID_VERSION,
    lines: null,
  };
}

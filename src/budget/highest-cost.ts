/**
 * The most that a request can cost at a model, as far as it tells: what is reserved for it. Pure. Everything is rounded up, and
 * where something is not said the dearer is taken; ARCHITECTURE.md, "Budgets", says what of it is a bound and what an estimate.
 */

import type { ModelTraits } from '../plan/model-traits.ts';
import { type PriceRow, type Rates, ratesFor, stepsAt } from '../prices/price-row.ts';
import type { AskedSpending } from '../wire/asked-spending.ts';

/**
 * Of 105 recorded plain requests, bytes / 3 alone is too low for 23, with 800 more for 4, with 1,600 for none: tools add 350 to
 * 600 tokens that nobody sees, random text reaches 0.74 tokens a byte.
 */
const BYTES_PER_TOKEN = 3;
const OVERHEAD_TOKENS = 800;
/** Cohere puts a preamble of its own in front. */
const COHERE_OVERHEAD_TOKENS = 1_600;
/** A picture of 100 KB in base64 has up to 1,600 tokens, sound and files fewer. */
const DATA_BYTES_PER_TOKEN = 64;
/** A picture or file of which only an address is sent. */
const NAMED_TOKENS = 2_048;

/**
 * Under `strict`: no tokenizer makes more tokens of a text than it has bytes, and no recorded request had 1,600 beyond a third of its own.
 */
const STRICT_OVERHEAD_TOKENS = 1_600;

/** Uses of a tool that the provider runs itself, where nobody says how many; and what each brings into the prompt. */
const USES_ASSUMED = 5;
const TOKENS_PER_USE = 16_000;

/** Words for what is served to everybody. */
const STANDARD: ReadonlySet<string> = new Set([
  'default',
  'standard',
  'standard_only',
  'on_demand',
]);

const PICO_PER_NANO = 1_000;

/** What is known of the request and of the model that it goes to. */
export interface CostQuestion {
  readonly provider: string;
  readonly row: PriceRow;
  readonly traits: ModelTraits;
  readonly asked: AskedSpending;
  /** Of an answer that nobody limits. */
  readonly assumedOutputTokens: number;
  /** False: what comes back is no model's writing (embeddings). */
  readonly writes: boolean;
  readonly nowMs: number;
  /** What text cannot pass, in place of what nearly all of it stays below. */
  readonly isStrict: boolean;
}

/** @returns nano-dollars; null: its tier has no price at this size */
export function highestCost(question: CostQuestion): number | null {
  const { row, asked } = question;
  if (row.free) return 0;
  const uses = usesOf(asked);
  const input = inputTokens(question) + uses * TOKENS_PER_USE;
  const output = question.writes ? outputTokens(question) : 0;
  const fee = uses === 0 ? 0 : Math.max(0, ...row.fees.values());
  const dearest = dearestPass(question, input, output);
  if (dearest === null) return null;
  const placed = dearest * placeFactor(row, asked.inferenceGeo);
  return Math.ceil((placed + row.perRequest + uses * fee) / PICO_PER_NANO);
}

/** In the dearest tier that it may be served in; null: none has a price at this size. */
function dearestPass(question: CostQuestion, input: number, output: number): number | null {
  const { row, asked, nowMs } = question;
  const standard = stepsAt(row, nowMs) ?? row.standard;
  const name = tierAsked(asked);
  // Of what is not asked for, which is nearly all, no list is made: that and its fees were 0.5 of 100 us of a request.
  if (name === null || STANDARD.has(name))
    return passCost(ratesFor(standard, input), question, input, output);
  let dearest: number | null = null;
  const named = row.serviceTiers.get(name);
  // What is asked for in a tier may be served, and billed, in the standard one; of a word that nobody knows in any.
  const others = named === undefined ? row.serviceTiers.values() : [named];
  for (const steps of [standard, ...others]) {
    const pico = passCost(ratesFor(steps, input), question, input, output);
    if (pico !== null && (dearest === null || pico > dearest)) dearest = pico;
  }
  return dearest;
}

function tierAsked({ serviceTier, speed }: AskedSpending): string | null {
  return speed !== null && speed !== 'standard' ? speed : serviceTier;
}

function passCost(
  rates: Rates | null,
  { provider, asked, writes }: CostQuestion,
  input: number,
  output: number,
): number | null {
  if (rates === null || rates.input < 0 || (writes && rates.output < 0)) return null;
  const written = asked.isHour ? Math.max(rates.cacheWrite, rates.cacheWrite1h) : rates.cacheWrite;
  // Anthropic caches what is marked, others what they like (OpenAI bills that as written since GPT-5.6).
  const mayCache = asked.marksCache || provider !== 'anthropic';
  const each = Math.max(
    rates.input,
    mayCache ? written : 0,
    asked.dataBytes > 0 ? Math.max(rates.imageInput, rates.audioInput) : 0,
  );
  return input * each + output * Math.max(rates.output, rates.reasoning, 0);
}

/** Whether what is asked for tells how much its provider may put into the prompt. Null: nobody could look. */
export function isBounded(asked: AskedSpending | null): boolean {
  return asked !== null && asked.tools === 0 && asked.named === 0;
}

function inputTokens({ provider, traits, asked, isStrict }: CostQuestion): number {
  const { textBytes, dataBytes, named } = asked;
  // Bytes of pictures and sound are more than their tokens, too.
  if (isStrict) {
    const preamble = provider === 'cohere' ? COHERE_OVERHEAD_TOKENS : 0;
    return textBytes + dataBytes + STRICT_OVERHEAD_TOKENS + preamble;
  }
  const { tokensPerByte } = traits;
  const text =
    tokensPerByte === null
      ? textBytes / BYTES_PER_TOKEN
      : textBytes * Math.max(tokensPerByte, 1 / BYTES_PER_TOKEN);
  const overhead = OVERHEAD_TOKENS + (provider === 'cohere' ? COHERE_OVERHEAD_TOKENS : 0);
  return Math.ceil(text + dataBytes / DATA_BYTES_PER_TOKEN) + overhead + named * NAMED_TOKENS;
}

function outputTokens({ traits, asked, assumedOutputTokens, isStrict }: CostQuestion): number {
  const most = traits.maxOutputTokens ?? Number.POSITIVE_INFINITY;
  const assumed = isStrict ? (traits.maxOutputTokens ?? assumedOutputTokens) : assumedOutputTokens;
  return Math.min(asked.outputTokens ?? assumed, most) * asked.choices;
}

function usesOf({ tools, toolUses }: AskedSpending): number {
  return toolUses + tools * USES_ASSUMED;
}

/** Thousandths, of the place that is asked for; of one that nobody knows the dearest. */
function placeFactor({ geo }: PriceRow, asked: string | null): number {
  if (asked === null || geo.size === 0) return 1;
  const factor = geo.get(asked) ?? Math.max(1_000, ...geo.values());
  return Math.max(1, factor / 1_000);
}

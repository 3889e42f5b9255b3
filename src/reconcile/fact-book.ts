/** Our own book of one provider: usage facts, as they were written, summed by day, model and tier. */

import { wideDecimalOf } from '../prices/money.ts';
import { dayOf, type Place, tierOf, type UsageKind } from './books.ts';

/** What our book has of one place. */
export interface OwnRow extends Place {
  readonly kind: UsageKind;
  requests: number;
  input: number;
  cacheRead: number;
  cacheWrite: number;
  output: number;
  pico: bigint;
  /** Of the requests: those with estimated counts, without a price, with an attempt behind them. */
  estimated: number;
  unpriced: number;
  retried: number;
  /** Attempts of which no usage was told: a provider may bill what it began. */
  failed: number;
}

/** The members of a fact that are read here. */
interface Fact {
  readonly event?: unknown;
  readonly time?: unknown;
  readonly request_id?: unknown;
  readonly attempt?: unknown;
  readonly final?: unknown;
  readonly provider?: unknown;
  readonly dialect?: unknown;
  readonly endpoint?: unknown;
  readonly model?: unknown;
  readonly requested_model?: unknown;
  readonly service_tier?: unknown;
  readonly usage_source?: unknown;
  readonly upstream_status?: unknown;
  readonly cost_usd?: unknown;
  readonly lines?: unknown;
}

interface Counts {
  readonly input_tokens?: unknown;
  readonly output_tokens?: unknown;
  readonly cache_read_tokens?: unknown;
  readonly cache_write_tokens?: unknown;
}

interface Line extends Counts {
  readonly model?: unknown;
  readonly cost_usd?: unknown;
}

/** Facts that one run tells apart, so that a line that stands in a log and in a spill file counts once: some 300 MB. */
const FACTS_MAX = 4_000_000;

const NO_MODEL = 'no model';
const USD_DECIMALS = 12;

export class FactBook {
  readonly #provider: string;
  readonly #rows = new Map<string, OwnRow>();
  readonly #seen = new Set<string>();
  /** Lines that were facts of this provider, each once; and those that had been read before. */
  facts = 0;
  repeated = 0;

  constructor(provider: string) {
    this.#provider = provider;
  }

  get rows(): readonly OwnRow[] {
    return [...this.#rows.values()];
  }

  /**
   * @param line of a log; what is no fact is passed over
   * @throws Error where there are more facts than can be told apart
   */
  add(line: string): void {
    const fact = factOf(line);
    if (fact === null || fact.provider !== this.#provider) return;
    const id = `${fact.request_id}/${fact.attempt}`;
    if (this.#seen.has(id)) {
      this.repeated++;
      return;
    }
    if (this.#seen.size >= FACTS_MAX)
      throw new Error(`More than ${FACTS_MAX} facts: reconcile fewer days at a time.`);
    this.#seen.add(id);
    this.facts++;
    this.#book(fact);
  }

  #book(fact: Fact & Counts): void {
    const row = this.#row(fact, fact.model ?? fact.requested_model);
    if (fact.usage_source === 'none') {
      if (isFailure(fact.upstream_status)) row.failed++;
      return;
    }
    row.requests++;
    if (fact.usage_source === 'estimated') row.estimated++;
    if (fact.final === false) row.retried++;
    const { lines } = fact;
    if (!Array.isArray(lines) || lines.length === 0) {
      this.#count(row, fact, fact);
      if (typeof fact.cost_usd === 'string') row.pico += picoOf(fact.cost_usd);
      else row.unpriced++;
      return;
    }
    let ofLines = 0n;
    for (const line of lines as readonly Line[]) {
      const own = this.#row(fact, line.model ?? fact.model);
      this.#count(own, line, fact);
      if (typeof line.cost_usd !== 'string') continue;
      own.pico += picoOf(line.cost_usd);
      ofLines += picoOf(line.cost_usd);
    }
    // The tools' fees are in the fact's own.
    if (typeof fact.cost_usd === 'string') row.pico += picoOf(fact.cost_usd) - ofLines;
    else row.unpriced++;
  }

  #count(row: OwnRow, counts: Counts, { dialect }: Fact): void {
    const cacheRead = number(counts.cache_read_tokens);
    const cacheWrite = number(counts.cache_write_tokens);
    // Anthropic counts beside the input what its cache had and took.
    const beside = dialect === 'anthropic' ? cacheRead + cacheWrite : 0;
    row.input += number(counts.input_tokens) + beside;
    row.cacheRead += cacheRead;
    row.cacheWrite += cacheWrite;
    row.output += number(counts.output_tokens);
  }

  #row(fact: Fact, named: unknown): OwnRow {
    const day = dayOf(Date.parse(String(fact.time)));
    const model = typeof named === 'string' ? named : NO_MODEL;
    const tier = tierOf(typeof fact.service_tier === 'string' ? fact.service_tier : null);
    const kind = String(fact.endpoint).endsWith('/embeddings') ? 'embeddings' : 'writing';
    const name = [day, model, tier, kind].join('\n');
    const known = this.#rows.get(name);
    if (known !== undefined) return known;
    const row: OwnRow = { day, model, tier, kind, ...EMPTY };
    this.#rows.set(name, row);
    return row;
  }
}

const EMPTY = {
  requests: 0,
  input: 0,
  cacheRead: 0,
  cacheWrite: 0,
  output: 0,
  pico: 0n,
  estimated: 0,
  unpriced: 0,
  retried: 0,
  failed: 0,
};

/** Nothing came, or it broke: of a refusal (4xx) nobody bills anything. */
function isFailure(status: unknown): boolean {
  return typeof status !== 'number' || status < 400 || status >= 500;
}

function number(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

function picoOf(usd: string): bigint {
  return wideDecimalOf(usd, USD_DECIMALS) ?? 0n;
}

function factOf(line: string): (Fact & Counts) | null {
  if (!line.includes('"ai.usage"')) return null;
  try {
    const fact: Fact & Counts = JSON.parse(line);
    const isOne = fact.event === 'ai.usage' && !Number.isNaN(Date.parse(String(fact.time)));
    return isOne ? fact : null;
  } catch {
    return null;
  }
}

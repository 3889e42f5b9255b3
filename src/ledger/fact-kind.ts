import { createHash } from 'node:crypto';
import { decimalOf } from '../prices/money.ts';
import { type FactPart, joinFact, templateMembers, textParts } from './fact-template.ts';

/** By what usage is told: facts that agree in all of these are one row of a rollup for each quarter of an hour. */
export const DIMENSIONS = [
  'tenant',
  'key',
  'class',
  'provider',
  'model',
  'route',
  'status',
] as const;

export type Dimension = (typeof DIMENSIONS)[number];

/** A text for each dimension; empty where a fact has none. */
export type Group = Readonly<Record<Dimension, string>>;

/** What one fact counts for. Tokens are whole numbers; what was not told counts as none. */
export interface FactCounts {
  /** Everything that went in, what was cached included, whatever the provider's own word includes. */
  readonly input: number;
  readonly output: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
  readonly reasoning: number;
  readonly durationMs: number;
  /** Pico-dollars; null = not known. */
  readonly cost: number | null;
}

/** USD as pico-dollars. */
const PICO_DECIMALS = 12;

/** What all facts of one template have in common, and where their own parts stand. */
export class FactKind {
  readonly template: string;
  readonly group: Group;
  /** How it ended, in the fact's own word. */
  readonly outcome: string;
  readonly isFinal: boolean;
  readonly isUnpriced: boolean;
  readonly isEstimated: boolean;
  /** Places of the parts that a row of the ledger has columns for. */
  readonly #time: number;
  readonly #requestId: number;
  readonly #attempt: number;
  readonly columns: ReadonlySet<number>;
  readonly #includesCached: boolean;
  readonly #input: number;
  readonly #output: number;
  readonly #cacheRead: number;
  readonly #cacheWrite: number;
  readonly #reasoning: number;
  readonly #duration: number;
  readonly #cost: number;
  #texts: readonly boolean[] | null = null;

  /** @throws Error when the template is no fact's */
  constructor(template: string) {
    const members = templateMembers(template);
    const place = (name: string): number => {
      const value = members[name];
      return value === null || value === undefined ? -1 : Number(value);
    };
    const text = (name: string): string => {
      const value = members[name];
      return typeof value === 'string' ? value : '';
    };
    this.template = template;
    this.#time = place('time');
    this.#requestId = place('request_id');
    this.#attempt = place('attempt');
    if (members['event'] !== 'ai.usage' || !(this.#time >= 0) || !(this.#requestId >= 0))
      throw new Error('not a usage fact');
    this.columns = new Set([this.#time, this.#requestId, this.#attempt]);
    this.#input = place('input_tokens');
    this.#output = place('output_tokens');
    this.#cacheRead = place('cache_read_tokens');
    this.#cacheWrite = place('cache_write_tokens');
    this.#reasoning = place('reasoning_tokens');
    this.#duration = place('duration_ms');
    this.#cost = place('cost_usd');
    // Anthropic's count of what went in is without what was cached.
    this.#includesCached = members['dialect'] !== 'anthropic';
    this.isFinal = members['final'] !== false;
    this.isUnpriced = members['cost_status'] === 'unpriced';
    this.isEstimated = members['usage_source'] === 'estimated';
    const outcome = text('outcome');
    this.outcome = outcome;
    const status = members['upstream_status'];
    this.group = {
      tenant: text('tenant_id'),
      key: text('key_id'),
      class: text('key_class'),
      provider: text('provider'),
      model: text('model') || text('requested_model'),
      route: text('route'),
      status: outcome === 'complete' && typeof status === 'number' ? String(status) : outcome,
    };
  }

  /** Tells templates apart. */
  get digest(): Uint8Array {
    return createHash('sha256').update(this.template).digest().subarray(0, 16);
  }

  /** RFC 3339, as the line has it. */
  time(parts: readonly FactPart[]): string {
    return String(parts[this.#time]);
  }

  requestId(parts: readonly FactPart[]): string {
    return String(parts[this.#requestId]);
  }

  attempt(parts: readonly FactPart[]): number {
    return this.#attempt < 0 ? 1 : Number(parts[this.#attempt]);
  }

  counts(parts: readonly FactPart[]): FactCounts {
    const cacheRead = amount(parts, this.#cacheRead);
    const cacheWrite = amount(parts, this.#cacheWrite);
    const cached = this.#includesCached ? 0 : cacheRead + cacheWrite;
    return {
      input: amount(parts, this.#input) + cached,
      output: amount(parts, this.#output),
      cacheRead,
      cacheWrite,
      reasoning: amount(parts, this.#reasoning),
      durationMs: amount(parts, this.#duration),
      cost: this.#cost < 0 ? null : decimalOf(String(parts[this.#cost]), PICO_DECIMALS),
    };
  }

  /** The places of a fact's time, id and attempt, with what a row says of them. */
  known(timeMs: number, requestId: string, attempt: number): ReadonlyMap<number, FactPart> {
    return new Map<number, FactPart>([
      [this.#time, new Date(timeMs).toISOString()],
      [this.#requestId, requestId],
      [this.#attempt, attempt],
    ]);
  }

  get texts(): readonly boolean[] {
    this.#texts ??= textParts(this.template);
    return this.#texts;
  }

  line(parts: readonly FactPart[]): string {
    return joinFact(this.template, parts);
  }
}

function amount(parts: readonly FactPart[], place: number): number {
  const part = place < 0 ? 0 : parts[place];
  return typeof part === 'number' ? part : 0;
}

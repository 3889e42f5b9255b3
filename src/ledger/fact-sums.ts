import type { FactCounts, FactKind } from './fact-kind.ts';
import type { SqlValue } from './sqlite.ts';

/** Group numbers that fit beside a quarter into a double: there are fewer facts in a file. */
const GROUPS_MAX = 2 ** 31;

/** What some facts of one group and quarter of an hour add up to. */
export class FactSums {
  readonly quarter: number;
  readonly group: number;
  #facts = 0;
  #requests = 0;
  #input = 0;
  #output = 0;
  #cacheRead = 0;
  #cacheWrite = 0;
  #reasoning = 0;
  #durationMs = 0;
  /** Pico-dollars; what would not fit into a double's 53 bits any more is in the wide part. */
  #cost = 0;
  #wideCost = 0n;
  #unpriced = 0;
  #estimated = 0;

  constructor(quarter: number, group: number) {
    this.quarter = quarter;
    this.group = group;
  }

  add(kind: FactKind, counts: FactCounts): void {
    this.#facts++;
    if (kind.isFinal) this.#requests++;
    this.#input += counts.input;
    this.#output += counts.output;
    this.#cacheRead += counts.cacheRead;
    this.#cacheWrite += counts.cacheWrite;
    this.#reasoning += counts.reasoning;
    this.#durationMs += counts.durationMs;
    if (counts.cost !== null) this.#addCost(counts.cost);
    if (kind.isUnpriced) this.#unpriced++;
    if (kind.isEstimated) this.#estimated++;
  }

  /** In the order of `SUMS`. */
  get values(): readonly SqlValue[] {
    const cost = this.#wideCost === 0n ? this.#cost : this.#wideCost + BigInt(this.#cost);
    return [
      this.#facts,
      this.#requests,
      this.#input,
      this.#output,
      this.#cacheRead,
      this.#cacheWrite,
      this.#reasoning,
      this.#durationMs,
      cost,
      this.#unpriced,
      this.#estimated,
    ];
  }

  #addCost(cost: number): void {
    const sum = this.#cost + cost;
    if (sum <= Number.MAX_SAFE_INTEGER) this.#cost = sum;
    else {
      this.#wideCost += BigInt(this.#cost);
      this.#cost = cost;
    }
  }
}

/** Sums by quarters of an hour and groups. */
export class SumsByGroup {
  readonly #sums = new Map<number, FactSums>();

  of(quarter: number, group: number): FactSums {
    const key = quarter * GROUPS_MAX + group;
    let sums = this.#sums.get(key);
    if (sums === undefined) {
      sums = new FactSums(quarter, group);
      this.#sums.set(key, sums);
    }
    return sums;
  }

  get all(): Iterable<FactSums> {
    return this.#sums.values();
  }
}

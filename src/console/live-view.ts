/** What the live screen shows: two readings of the node's counters, and what lies between them. */

import type { z } from 'zod';
import { LATENCY_BUCKETS, MetricsLayout, OUTCOMES, STATUS_CLASSES } from '../settle/metrics.ts';
import type { NOW } from './shapes.ts';

export type Now = z.output<typeof NOW>;

/** What the main thread knows beside the counters. */
export interface NodeView {
  readonly node: string;
  slots(): readonly string[];
  targets(): Now['targets'];
  /** Whether traffic may come, and the names of the states that hold. */
  ready(): Pick<Now, 'ready' | 'states'>;
  factsLost(): number;
  /** Whether the ledger takes facts; null: there is none. */
  isLedgerUp(): boolean | null;
}

/** Readings a second apart that times are told of. */
const MINUTE = 60;

const FAILED = ['upstream_cut', 'upstream_error', 'timeout', 'gateway_error'] as const;
const FIVE = STATUS_CLASSES.indexOf('5xx');
/** Of the tokens' cells: input and output. */
const TOLD_TOKENS = 2;
/** One per bucket, one for +Inf. */
const TIMES = LATENCY_BUCKETS.length + 1;

interface Reading {
  readonly atMs: number;
  readonly requests: number;
  readonly errors: number;
  readonly refusals: number;
  readonly tokens: number;
  /** Answers of each provider, and what failed of them. */
  readonly providers: readonly (readonly [requests: number, errors: number])[];
  /** Answers by their time to first byte, over all providers. */
  readonly times: readonly number[];
}

export class LiveView {
  readonly #cells: readonly Float64Array[];
  readonly #layout = new MetricsLayout([]);
  readonly #view: NodeView;
  /** The youngest last. */
  readonly #readings: Reading[] = [];

  /** @param memory the counters of all workers */
  constructor(memory: SharedArrayBuffer, workers: number, view: NodeView) {
    this.#view = view;
    this.#cells = Array.from({ length: workers }, (_, worker) => this.#layout.slab(memory, worker));
  }

  /** Takes a reading; to be called each second. */
  read(): void {
    this.#readings.push(this.#reading());
    if (this.#readings.length > MINUTE + 1) this.#readings.shift();
  }

  /** Since the last reading but one, and of the last minute. */
  now(): Now {
    const last = this.#readings.at(-1) ?? this.#reading();
    const before = this.#readings.at(-2) ?? last;
    const first = this.#readings[0] ?? last;
    const seconds = Math.max((last.atMs - before.atMs) / 1_000, 0.001);
    const rate = (now: number, then: number): number => round((now - then) / seconds);
    const slots = this.#view.slots();
    const { inFlight, waiting } = this.#layout;
    const times = last.times.map((count, at) => count - (first.times[at] ?? 0));
    return {
      at: new Date(last.atMs).toISOString(),
      node: this.#view.node,
      in_flight: Math.max(0, this.#sum(inFlight)),
      requests_total: last.requests,
      requests_per_second: rate(last.requests, before.requests),
      errors_per_second: rate(last.errors, before.errors),
      refusals_per_second: rate(last.refusals, before.refusals),
      tokens_per_second: rate(last.tokens, before.tokens),
      ttft_ms: { p50: quantile(times, 0.5), p95: quantile(times, 0.95) },
      providers: slots.flatMap((name, slot) => {
        const [requests, errors] = last.providers[slot] ?? [0, 0];
        // Those that nobody has asked since the start are no news.
        if (requests === 0) return [];
        const [hadRequests, hadErrors] = before.providers[slot] ?? [requests, errors];
        return {
          name,
          requests_per_second: rate(requests, hadRequests),
          errors_per_second: rate(errors, hadErrors),
          waiting: Math.max(0, this.#sum(waiting + slot)),
        };
      }),
      targets: this.#view.targets(),
      ...this.#view.ready(),
      facts_lost: this.#view.factsLost(),
      ledger_up: this.#view.isLedgerUp(),
    };
  }

  #reading(): Reading {
    const layout = this.#layout;
    const slots = this.#view.slots();
    const outcome = (name: (typeof OUTCOMES)[number]): number =>
      this.#sum(layout.outcomes + OUTCOMES.indexOf(name));
    let errors = 0;
    for (const name of FAILED) errors += outcome(name);
    const times = new Array<number>(TIMES).fill(0);
    const providers = slots.map((_, slot): readonly [number, number] => {
      const at = layout.responses + slot * STATUS_CLASSES.length;
      const unreached = this.#sum(layout.connectFailures + slot);
      let requests = unreached;
      for (let row = 0; row < STATUS_CLASSES.length; row++) requests += this.#sum(at + row);
      const failed = this.#sum(at + FIVE);
      errors += failed;
      const histogram = layout.firstByte + slot * (TIMES + 1);
      if (requests > 0) {
        for (let row = 0; row < TIMES; row++)
          times[row] = (times[row] ?? 0) + this.#sum(histogram + row);
      }
      return [requests, failed + unreached];
    });
    let tokens = 0;
    for (let row = 0; row < TOLD_TOKENS; row++) tokens += this.#sum(layout.tokens + row);
    return {
      atMs: Date.now(),
      requests: this.#sum(layout.requests),
      errors,
      refusals: outcome('rejected'),
      tokens,
      providers,
      times,
    };
  }

  #sum(cell: number): number {
    let sum = 0;
    for (const cells of this.#cells) sum += cells[cell] ?? 0;
    return sum;
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/**
 * Within its bucket a time is taken to lie where as many of the bucket's lie below it.
 * @returns milliseconds; null where there is nothing to tell, or nothing but that it is more than the buckets reach
 */
export function quantile(counts: readonly number[], share: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total <= 0) return null;
  let below = 0;
  for (const [at, count] of counts.entries()) {
    const to = LATENCY_BUCKETS[at];
    if (below + count >= total * share && count > 0) {
      if (to === undefined) return (LATENCY_BUCKETS.at(-1) ?? 0) * 1_000;
      const from = LATENCY_BUCKETS[at - 1] ?? 0;
      const within = (total * share - below) / count;
      return Math.round((from + (to - from) * within) * 1e6) / 1e3;
    }
    below += count;
  }
  return null;
}

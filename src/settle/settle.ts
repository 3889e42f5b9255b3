import type { RejectionCode } from '../rejection.ts';
import { traceId } from '../wire/trace-context.ts';
import { asciiJson } from './ascii-json.ts';
import type { LineRoom } from './line-writer.ts';
import type { CacheResult, Outcome, WorkerMetrics } from './metrics.ts';
import type { Payer, RefusalTally } from './refusal-tally.ts';
import { timestamp } from './timestamp.ts';
import type { UsageFact } from './usage-fact.ts';
import { UsageFactLines } from './usage-fact-lines.ts';

/** What is left of an exchange when its bytes are gone. */
export interface Settlement {
  readonly requestId: string;
  /** The caller's `traceparent` field, unchecked. */
  readonly traceparent: string | null;
  readonly method: string;
  /** Without the query, which may hold a key. */
  readonly path: string;
  /** Null for a caller's own key, and while a gateway key is not verified. */
  readonly payer: Payer | null;
  /** Status sent to the client; 0 when none was. */
  readonly status: number;
  readonly outcome: Outcome;
  readonly rejection: RejectionCode | null;
  readonly eventStream: boolean;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Milliseconds from the request to the first byte of the response body; null when there was none. */
  readonly ttfbMs: number | null;
  readonly durationMs: number;
}

/** What came of a request's attempts. */
export interface Account {
  /** Whom the request was for, at last; null when that was never known. */
  readonly provider: { readonly name: string; readonly index: number } | null;
  /** The upstream failure's code, from the libraries' closed sets, or why a virtual key was refused. */
  readonly failure: string | null;
  /** What the cache had to say of it; absent: it was not asked. */
  readonly cache?: CacheResult;
  /** One for each attempt with a pool key that reached its provider. */
  readonly facts: readonly UsageFact[];
}

/** Of an exchange whose lane broke: nothing is known. */
export const NO_ACCOUNT: Account = { provider: null, failure: null, facts: [] };

/** Takes one finished JSON line in ASCII, without its newline. */
export type LineSink = (line: string) => void;

/** The one place where an exchange ends. `Exchange` calls it exactly once. */
export class Settler {
  readonly #metrics: WorkerMetrics;
  readonly #accessLog: LineSink | null;
  readonly #facts: UsageFactLines;
  readonly #refusals: RefusalTally;

  constructor(
    metrics: WorkerMetrics,
    accessLog: LineSink | null,
    facts: LineRoom,
    refusals: RefusalTally,
  ) {
    this.#refusals = refusals;
    this.#metrics = metrics;
    this.#accessLog = accessLog;
    this.#facts = new UsageFactLines(facts);
  }

  settle(settlement: Settlement, account: Account): void {
    const { outcome, payer, rejection, ttfbMs } = settlement;
    const { provider, facts, cache } = account;
    if (cache !== undefined) this.#metrics.cacheAsked(cache);
    this.#metrics.requestSettled(outcome);
    if (rejection !== null) this.#metrics.rejected(rejection);
    if (rejection !== null && payer !== null) this.#refusals.add(payer, rejection);
    if (settlement.eventStream) this.#metrics.streamEnded();
    if (provider !== null && ttfbMs !== null) {
      this.#metrics.observeFirstByte(provider.index, ttfbMs / 1_000);
      this.#metrics.observeLatency(provider.index, settlement.durationMs / 1_000);
    }
    for (const fact of facts) {
      this.#metrics.metered(fact.source, fact.counts);
      this.#facts.add(fact);
    }
    this.#accessLog?.(accessLine(settlement, account));
  }
}

function accessLine(s: Settlement, { provider, failure, cache }: Account): string {
  const line = JSON.stringify({
    level: 'info',
    time: timestamp(Date.now()),
    event: 'access',
    request_id: s.requestId,
    trace_id: traceId(s.traceparent),
    method: s.method,
    path: s.path,
    tenant_id: s.payer?.tenantText ?? null,
    key_id: s.payer?.keyText ?? null,
    provider: provider?.name ?? null,
    cache: cache ?? null,
    status: s.status,
    outcome: s.outcome,
    rejection: s.rejection,
    failure,
    bytes_in: s.bytesIn,
    bytes_out: s.bytesOut,
    ttfb_ms: s.ttfbMs === null ? null : Math.round(s.ttfbMs),
    duration_ms: Math.round(s.durationMs),
  });
  return asciiJson(line);
}

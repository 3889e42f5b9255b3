/** What the main thread and its workers say to each other. */

import type { MessagePort } from 'node:worker_threads';
import type { MetBudget } from '../budget/budget-keeper.ts';
import type { ConfigDocument } from '../config/config-document.ts';
import type { Judgement } from '../guard/guard.ts';
import type { ModuleCall } from '../guard/judges/module-messages.ts';
import type { LogRecord } from '../guard/logger/log-messages.ts';
import type { LogFields, LogLevel } from '../outlet/log.ts';
import type { PromptBreak } from '../plan/prompt-breaks.ts';
import type { Refusals } from '../settle/refusal-tally.ts';

/** Handed to a worker at its start. */
export interface WorkerStart {
  /** Its `listen` has a concrete port, which all workers share. */
  readonly document: ConfigDocument;
  /** The counters of the whole node; `settle/metrics.ts` knows the layout. */
  readonly memory: SharedArrayBuffer;
  /** The buckets of the rate guardrail, which all workers share; `admit/rate.ts` knows the layout. */
  readonly rates: SharedArrayBuffer;
  /** The tokens that any worker has verified; `admit/token-table.ts` knows the layout. */
  readonly tokens: SharedArrayBuffer;
  /** Who is cut off, which the main thread writes; `deny/deny-table.ts` knows the layout. */
  readonly deny: SharedArrayBuffer;
  /** Whether usage facts have somewhere to go; `outlet/fact-gate.ts` reads it. */
  readonly factGate: SharedArrayBuffer;
  /** How providers, targets and pool keys are doing; `plan/health.ts` knows the layout. */
  readonly health: SharedArrayBuffer;
  /** Where conversations are cached; `plan/pins.ts` knows the layout. */
  readonly pins: SharedArrayBuffer;
  /** How limits stand; `policy/limit-table.ts` knows the layout. */
  readonly limits: SharedArrayBuffer;
  /** What keys sent within the last minute; `policy/repeat-table.ts` knows the layout. */
  readonly repeats: SharedArrayBuffer;
  /** How budgets stand; `budget/budget-table.ts` knows the layout. */
  readonly budgets: SharedArrayBuffer;
  /** How much of requests the node keeps for another attempt; `exchange/kept-budget.ts` knows the layout. */
  readonly replay: SharedArrayBuffer;
  /** The same of answers that are held back. */
  readonly held: SharedArrayBuffer;
  /** Who made what is stored at providers; `stored/state-table.ts` knows the layout. */
  readonly stored: SharedArrayBuffer;
  /** Which stored responses are followed for their bill; `exchange/followed-table.ts` knows the layout. */
  readonly followed: SharedArrayBuffer;
  /** Calls of judges without a verdict; `guard/judges/judge-counts.ts` knows the layout. */
  readonly judgeCounts: SharedArrayBuffer;
  /** How much waits to be logged of exchanges; `guard/logger/log-room.ts` knows the layout. */
  readonly logRoom: SharedArrayBuffer;
  /** Provider names by index; grows with reloads, so that what was counted under an index stays there. */
  readonly providerSlots: readonly string[];
  /** Which slab is this worker's. */
  readonly index: number;
}

export type ToMain =
  | { readonly kind: 'listening' }
  /** Finished lines of the access log, each ended by a newline. */
  | { readonly kind: 'lines'; readonly lines: Uint8Array }
  /** Finished usage facts, each ended by a newline. */
  | { readonly kind: 'facts'; readonly lines: Uint8Array }
  /** What answers brought that is stored at providers: whole records of `stored/state-table.ts`. */
  | { readonly kind: 'stored'; readonly records: Uint8Array }
  /** A budget is used, for the first time in its window or beyond what was granted of it. */
  | { readonly kind: 'budget'; readonly budget: MetBudget }
  /** Who was refused since the last time, and how many more that found no room. */
  | { readonly kind: 'refusals'; readonly rows: readonly Refusals[]; readonly unnamed: number }
  /** A session breaks the cache of its prompt. */
  | { readonly kind: 'broke-cache'; readonly broken: PromptBreak }
  | {
      readonly kind: 'log';
      readonly level: LogLevel;
      readonly event: string;
      readonly fields: LogFields;
    }
  /** What the ledger has of a request; answered with `recalled`. */
  | { readonly kind: 'recall'; readonly call: number; readonly requestId: string }
  /** Texts for an operator's module; answered with `judged`. */
  | { readonly kind: 'judge'; readonly asked: ModuleCall }
  /** Nobody waits for that any more. */
  | { readonly kind: 'judge-left'; readonly guard: string; readonly call: number }
  /** What an exchange said, for the log. */
  | { readonly kind: 'exchange'; readonly record: LogRecord }
  /** Whether the node was told all of its fleet's stored state; answered with `caught-up`, in any case. */
  | { readonly kind: 'catch-up' }
  /** Nothing is in flight on the node any more; only while draining. */
  | { readonly kind: 'drained' }
  /** Every connection is closed: the thread may be ended without aborting the process. */
  | { readonly kind: 'closed' }
  /** It cannot go on; `closed` follows. */
  | { readonly kind: 'failed'; readonly reason: string };

export type ToWorker =
  /** The first message: what to listen with. */
  | { readonly kind: 'start'; readonly start: WorkerStart }
  /** Take no new connections, finish what runs and what comes on kept ones. */
  | { readonly kind: 'drain'; readonly graceMs: number }
  /** The request's facts, JSON texts; null where nobody can say now. */
  | {
      readonly kind: 'recalled';
      readonly call: number;
      readonly lines: readonly string[] | null;
    }
  | { readonly kind: 'judged'; readonly call: number; readonly judgement: Judgement }
  /** @see FleetQuestions.answer */
  | { readonly kind: 'caught-up'; readonly isTold: boolean }
  /** The worker's way to the cache's thread; the one before it has ended. */
  | { readonly kind: 'cache'; readonly port: MessagePort }
  /** Close every connection now. */
  | { readonly kind: 'close' }
  /** Exchanges that begin from now on go by this configuration. */
  | {
      readonly kind: 'reload';
      readonly document: ConfigDocument;
      readonly providerSlots: readonly string[];
    };

/** What the main thread and the console's say to each other. No socket is shared: a call is one message, its answer another. */

import type { PurgeScope } from '../cache/answer-store.ts';
import type { CacheState } from '../cache/cache-state.ts';
import type { ConfigDocument, ListenAddress } from '../config/config-document.ts';
import type { LogFields, LogLevel } from '../outlet/log.ts';
import type { OverlayEntry } from '../overlay/overlay-entry.ts';
import type { KeptBreak } from '../plan/prompt-breaks.ts';
import type { GuardCounts } from '../settle/metrics.ts';
import type { Now } from './live-view.ts';

/** A request as it came, its body whole. */
export interface AskedCall {
  readonly method: string;
  /** Raw path and query, never decoded. */
  readonly target: string;
  /** Names and values by turns, as they came. */
  readonly fields: readonly string[];
  readonly body: Uint8Array | null;
  /** The peer's address. */
  readonly peer: string;
  /** It is about a page of the listener's own: who asks is all that is to be said. */
  readonly isAsking: boolean;
}

/** An answer whole. */
export interface ToldAnswer {
  readonly status: number;
  /** Names and values by turns. */
  readonly fields: readonly string[];
  readonly body: string | Uint8Array | null;
}

/** The memory that the workers share, as `node/messages.ts` has it. */
export interface ConsoleTables {
  readonly memory: SharedArrayBuffer;
  readonly health: SharedArrayBuffer;
  readonly pins: SharedArrayBuffer;
  readonly limits: SharedArrayBuffer;
  readonly budgets: SharedArrayBuffer;
  readonly deny: SharedArrayBuffer;
}

/** What a reload changes. */
export interface ConsoleConfig {
  /** As it runs. */
  readonly document: ConfigDocument;
  /** Provider names by index. */
  readonly slots: readonly string[];
  /** The file that it came from; null: none. */
  readonly source: string | null;
}

/** Handed to the thread at its start. */
export interface ConsoleStart {
  readonly config: ConsoleConfig;
  readonly tables: ConsoleTables;
  /** Of this node in its fleet. */
  readonly node: string;
  /** When the gateway started, Unix time in milliseconds. */
  readonly startedMs: number;
  /** Where clients reach it. */
  readonly listen: ListenAddress;
}

/** What only the main thread knows or does, and what it answers. */
export interface MainAnswers {
  readonly now: Now;
  /** JSON, as `/refusals` has it. */
  readonly refusals: string;
  /** Who breaks the cache of its prompts, those that did last first. */
  readonly promptBreaks: readonly KeptBreak[];
  /** What guards came to since the node started. */
  readonly guards: GuardCounts;
  /** How the cache of answers stands. */
  readonly cache: CacheState;
  /** Throws some of them away. How many; null: they will have gone before any of them is told again. */
  readonly purgeCache: number | null;
  /** Reads the configuration again. */
  readonly reload: { readonly ok: boolean; readonly problems: readonly string[] };
  /** What was made at run time and has not ended, as the node knows it now. */
  readonly overlay: readonly OverlayEntry[];
}

export type MainQuestion = keyof MainAnswers;

/** Whoever answers them; what takes time is a promise. */
export type MainAnswerer = {
  readonly [Question in MainQuestion]: (
    about: PurgeScope | null,
  ) => MainAnswers[Question] | Promise<MainAnswers[Question]>;
};

export type ToConsole =
  | { readonly kind: 'call'; readonly call: number; readonly asked: AskedCall }
  | { readonly kind: 'config'; readonly config: ConsoleConfig }
  | { readonly kind: 'told'; readonly question: number; readonly answer: unknown }
  /** Answered in the thread's next turn, if it has one. */
  | { readonly kind: 'ping' }
  | { readonly kind: 'stop' };

export type FromConsole =
  | { readonly kind: 'ready' }
  | { readonly kind: 'pong' }
  | { readonly kind: 'answer'; readonly call: number; readonly answer: ToldAnswer }
  /** The call may be told what it asked the listener for. */
  | { readonly kind: 'let-in'; readonly call: number; readonly fields: readonly string[] }
  /** The call is to be told what happens, as it happens. @see ConsoleDoor */
  | {
      readonly kind: 'live';
      readonly call: number;
      readonly fields: readonly string[];
      /** Of the session or token that asked. */
      readonly owner: string;
    }
  /** Whoever asked may no longer. */
  | { readonly kind: 'live-over'; readonly owner: string }
  | {
      readonly kind: 'ask';
      readonly question: number;
      readonly what: MainQuestion;
      /** Of `purgeCache`: whose answers. */
      readonly about: PurgeScope | null;
    }
  | {
      readonly kind: 'log';
      readonly level: LogLevel;
      readonly event: string;
      readonly fields: LogFields;
    };

/** What workers, the main thread and the thread of the exchange log say to each other. */

import type { RunKind } from '../guard.ts';

/** A text of one run, or what is left of it. */
export interface LoggedPart {
  readonly kind: RunKind;
  readonly text: string;
}

/** What was said one way: as it was heard, and not yet masked. */
export interface LoggedTexts {
  readonly parts: readonly LoggedPart[];
  /** Between which parts something was left out: the index of the first one behind it; null: nothing was. */
  readonly gap: number | null;
  /** UTF-8 bytes of all that was heard. */
  readonly bytes: number;
}

/** One exchange. Not yet masked: it goes from a worker to the log's thread, and nowhere else. */
export interface LogRecord {
  readonly atMs: number;
  /** The name of its `[guards.NAME]` table. */
  readonly guard: string;
  readonly requestId: string;
  readonly tenant: string;
  readonly model: string | null;
  readonly request: LoggedTexts;
  readonly response: LoggedTexts;
  /** What it takes of the room of those that wait. */
  readonly units: number;
}

/** Where the records of one table go. */
export interface LogSink {
  /** The table's name. */
  readonly guard: string;
  readonly path: string;
  /** A file of this size is put aside, and the next one begun; in bytes. */
  readonly maxBytes: number;
  /** Those that were put aside go when they are older, in days; 0 = never. */
  readonly retentionDays: number;
}

export type ToLog =
  | { readonly kind: 'sinks'; readonly sinks: readonly LogSink[] }
  | { readonly kind: 'record'; readonly record: LogRecord }
  /** Write what has come, and end. */
  | { readonly kind: 'stop' };

export type FromLog =
  /** A record is written, or dropped: its room is free. */
  | { readonly kind: 'taken'; readonly units: number; readonly isWritten: boolean }
  /** A file cannot be written, or can again (null). */
  | { readonly kind: 'state'; readonly path: string; readonly failure: string | null }
  | { readonly kind: 'stopped' };

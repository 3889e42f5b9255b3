import type { BodyFormat } from '../wire/body-format.ts';

/** Whose answers are thrown away. */
export interface PurgeScope {
  /** Of a tenant, in decimal; null: of all. */
  readonly tenant: string | null;
  /** Of one of its keys, in decimal; null: of all. */
  readonly key: string | null;
}

/** What is told again of an answer beside its content. */
export interface AnswerHead {
  readonly status: number;
  /** Field lines that belong to the answer and not to the request that it was made for, each ended by CRLF. */
  readonly lines: string;
  readonly isEventStream: boolean;
  readonly streamAsked: boolean;
  readonly format: BodyFormat;
}

/** An answer as it is kept: plain data, which can be cloned into a thread and written as JSON beside its content. */
export interface KeptAnswer {
  readonly head: AnswerHead;
  /** Has all of its buffer, which ends with it. */
  readonly body: Uint8Array<ArrayBuffer>;
  /** What the fact of who made it said, for the facts of those that are told it again. */
  readonly made: {
    readonly model: string | null;
    readonly targetModel: string | null;
    readonly route: string | null;
    /** USD as a decimal text; null: unpriced. */
    readonly costUsd: string | null;
    /** Who asked for it, in decimal. */
    readonly tenant: string;
    readonly key: string | null;
  };
  /** Unix time in milliseconds. */
  readonly madeMs: number;
  readonly expiresMs: number;
}

/** What is told of one answer to whoever runs the gateway; nothing of its content. */
export interface Surveyed {
  /** Who asked for it, in decimal. */
  readonly tenant: string;
  readonly key: string | null;
  /** Null: not known, or none. */
  readonly model: string | null;
  readonly route: string | null;
  /** Of its content, or all that it takes where that is not known. */
  readonly bytes: number;
  /** Unix time in milliseconds; null: not known. */
  readonly madeMs: number | null;
  readonly expiresMs: number | null;
}

/** What a store has. */
export interface Survey {
  readonly answers: number;
  readonly bytes: number;
  /** False: it has more, which were not looked at. */
  readonly isWhole: boolean;
  /** The largest one first. */
  readonly largest: readonly Surveyed[];
}

/**
 * Where answers are kept: one for a node, asked by its cache's thread alone. It never throws and never fails: what cannot be
 * had now is not there, and is counted by whoever knows why.
 */
export interface AnswerStore {
  /**
   * @param key of `cacheKey`
   * @param found told once, in this turn or later; null: it is not there, is too old, or cannot be had in time. The content is lent:
   *   it ends with the call
   */
  get(key: string, found: (answer: KeptAnswer | null) => void): void;
  /** What it has no room for is not kept; what was kept under the key before is replaced. The content is the store's from then on. */
  put(key: string, answer: KeptAnswer): void;
  /** @param done told how many there were, once nothing of them is told any more */
  purge(of: PurgeScope, done: (count: number) => void): void;
  /** @param limit so many of the largest. @param done told null where it cannot be asked */
  survey(limit: number, done: (survey: Survey | null) => void): void;
  /** Nothing more is asked of it. */
  close(): void;
}

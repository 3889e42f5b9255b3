/**
 * The loop guard: whether one key sends the same body again and again. A print of each body is made from the pieces as they come,
 * of which none is kept; at the last one it is counted, before that is let go.
 */

import { createHash, type Hash, hash } from 'node:crypto';
import type { KeyClass } from '../keys/key-class.ts';
import { textHash } from '../providers/text-hash.ts';
import { type Rejection, rejection } from '../rejection.ts';
import { monotonicUs } from './limit-table.ts';
import type { RepeatTable } from './repeat-table.ts';

/** What is told of repeats; the metrics are one. */
export interface RepeatCounts {
  /** @param enforced false: it would have been refused (`mode = "warn"`) */
  looped(keyClass: KeyClass, enforced: boolean): void;
}

/** What all keys of a worker share. */
export interface RepeatContext {
  readonly table: RepeatTable;
  readonly counts: RepeatCounts;
  /** Milliseconds of a clock that all threads share. */
  readonly nowMs: () => number;
}

export const monotonicMs = (): number => Math.floor(monotonicUs() / 1_000);

/** How often one key may send the same within a minute. */
export class KeyRepeats {
  readonly #context: RepeatContext;
  readonly #set: number;
  readonly #own: number;
  readonly #perMinute: number;
  readonly #keyClass: KeyClass;
  readonly #enforced: boolean;

  /**
   * @param name of the key, among all tenants' keys
   * @param perMinute identical requests; from 1 to 1,000
   */
  constructor(
    context: RepeatContext,
    name: string,
    perMinute: number,
    keyClass: KeyClass,
    enforced: boolean,
  ) {
    this.#context = context;
    const digest = hash('sha256', name, 'buffer');
    this.#set = digest.readInt32LE(0);
    this.#own = digest.readInt32LE(4);
    this.#perMinute = perMinute;
    this.#keyClass = keyClass;
    this.#enforced = enforced;
  }

  /** @param path what the body is sent to: the same one elsewhere is another request */
  watch(path: string): RepeatWatch {
    return new RepeatWatch(this, textHash(path));
  }

  /** @param digest of the body */
  counted(digest: Buffer, path: number): Rejection | null {
    const { table, counts, nowMs } = this.#context;
    const print = {
      set: this.#set ^ digest.readInt32LE(0),
      own: this.#own ^ digest.readInt32LE(4) ^ path,
    };
    const waitMs = table.take(print, nowMs(), this.#perMinute);
    if (waitMs === 0) return null;
    counts.looped(this.#keyClass, this.#enforced);
    return this.#enforced ? looped(this.#perMinute, waitMs) : null;
  }
}

/** One request's body on its way in. */
export class RepeatWatch {
  readonly #key: KeyRepeats;
  readonly #path: number;
  /** Only of a body that comes in several pieces. */
  #hash: Hash | null = null;

  constructor(key: KeyRepeats, path: number) {
    this.#key = key;
    this.#path = path;
  }

  /**
   * @param piece lent
   * @returns at the last piece: why it must not be let go, or null
   */
  push(piece: Buffer, last: boolean): Rejection | null {
    if (!last) {
      this.#hash ??= createHash('sha256');
      this.#hash.update(piece);
      return null;
    }
    const digest = this.#hash?.update(piece).digest() ?? hash('sha256', piece, 'buffer');
    return this.#key.counted(digest, this.#path);
  }
}

/** Tried again by itself it would go on: SDKs are told not to (as with budgets), and people when it may be sent again. */
function looped(perMinute: number, waitMs: number): Rejection {
  const wait = `retry-after: ${Math.ceil(waitMs / 1_000)}\r\nretry-after-ms: ${waitMs}\r\n`;
  return rejection(
    'loop',
    `It may be sent ${perMinute} times a minute.`,
    `${wait}x-should-retry: false\r\n`,
  );
}

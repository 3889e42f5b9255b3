import { RECEIVE_BUFFER_BYTES } from './client-buffers.ts';

/**
 * What may slip in of uploads that are held back.
 *
 * Each look for a client that left reads what the kernel holds of its upload (RECEIVE_BUFFER_BYTES, which it doubles),
 * and a client's end is seen only behind its last byte. What came in is kept until the provider takes it. Without a
 * bound over all uploads, 100 that pump against a provider that does not read took 1.7 GiB.
 */

/**
 * Of one upload, in bytes: twice what Linux lets a connection buffer by default on its way here (6 MiB), and then some.
 * Past it no more looks are taken until the provider drains or the stall limit ends it.
 */
export const SLIP_LIMIT_BYTES = 16 * 1_048_576;

/** Of all uploads of the node, in bytes: 8 that went to their limit, or 200 in their first seconds. */
export const SLIP_NODE_LIMIT_BYTES = 128 * 1_048_576;

/**
 * An upload that may not look up for so long, because the node's room is taken, is answered 503, so that others get
 * room. A provider that does not read for so long while 128 MiB wait for it is no hiccup any more.
 */
export const BLIND_LIMIT_MS = 10_000;

/** Only those that themselves hold so much, in bytes: ending a small one would give nothing back. */
export const REFUSED_FROM_BYTES = 1_048_576;

/** What slipped in on this thread and on all of them; `settle/metrics.ts` keeps it in shared memory. */
export interface SlipAccount {
  /** @param bytes negative when they are given back */
  uploadSlipped(bytes: number): void;
  nodeSlippedBytes(): number;
}

/** What one look may find, in bytes: all that the kernel holds, which no read exceeds. Booked before it is found. */
export const LOOK_BYTES = 2 * RECEIVE_BUFFER_BYTES;

/** One upload's share. */
export class SlipShare {
  readonly #account: SlipAccount;
  #bytes = 0;
  /** Booked for the last look, and not found yet. */
  #expectedBytes = 0;
  /** Since when it could not look up, in milliseconds. */
  #blindSinceMs = 0;

  constructor(account: SlipAccount) {
    this.#account = account;
  }

  /** The upload is held back from now on. */
  begin(nowMs: number): void {
    this.#blindSinceMs = nowMs;
  }

  add(bytes: number): void {
    const expected = Math.min(this.#expectedBytes, bytes);
    this.#expectedBytes -= expected;
    this.#bytes += bytes;
    this.#book(bytes - expected);
  }

  /** The provider took it, or nobody will. */
  giveBack(): void {
    this.#book(-this.#bytes - this.#expectedBytes);
    this.#bytes = 0;
    this.#expectedBytes = 0;
  }

  /**
   * Once a tick: whether the upload may look for its client now, has to wait, or has to go so that others can. More
   * than SLIP_NODE_LIMIT_BYTES / LOOK_BYTES uploads cannot look in one tick; the others wait for one of these to end.
   */
  judge(nowMs: number): 'look' | 'wait' | 'refuse' {
    this.#book(-this.#expectedBytes);
    this.#expectedBytes = 0;
    if (this.#bytes >= SLIP_LIMIT_BYTES) return 'wait';
    if (this.#account.nodeSlippedBytes() + LOOK_BYTES <= SLIP_NODE_LIMIT_BYTES) {
      this.#blindSinceMs = nowMs;
      this.#expectedBytes = LOOK_BYTES;
      this.#book(LOOK_BYTES);
      return 'look';
    }
    const isBlindForLong = nowMs - this.#blindSinceMs > BLIND_LIMIT_MS;
    return isBlindForLong && this.#bytes >= REFUSED_FROM_BYTES ? 'refuse' : 'wait';
  }

  #book(bytes: number): void {
    if (bytes !== 0) this.#account.uploadSlipped(bytes);
  }
}

import { Buffer } from 'node:buffer';
import type { AnswerHead } from './answer-store.ts';

/**
 * How far a reader may be behind what has come, in bytes, of an answer that is too long to be kept whole: a slow one must hold
 * back neither whoever makes the answer nor the others.
 */
export const LAG_MAX_BYTES = 1_048_576;

/** A request that is told an answer while another one makes it. */
export interface Follower {
  /** Something came of it: more of its content, its end, or both. */
  flightCame(): void;
  onBroken(error: unknown): void;
}

/** Where a follower stands. */
interface Place {
  /** Number of the next piece, from the answer's first one on. */
  next: number;
}

/** An answer that is being made elsewhere, as one worker's followers are told it: in pieces, each at its own pace. */
export class FollowedFlight {
  readonly id: number;
  readonly #keptBytes: number;
  /** What came first was told its worker before it was here: it comes once more. */
  lacksBeginning: boolean;
  readonly #followers = new Map<Follower, Place>();
  head: AnswerHead | null = null;
  /** Null: it goes on. */
  end: 'ended' | 'failed' | null = null;
  /** Bytes that came. */
  bytes = 0;
  #pieces: Buffer[] = [];
  /** Number of the first one that is still here. */
  #first = 0;
  #heldBytes = 0;

  /** @param keptBytes up to here all of it stays, for whoever comes later */
  constructor(id: number, keptBytes: number, lacksBeginning: boolean) {
    this.id = id;
    this.lacksBeginning = lacksBeginning;
    this.#keptBytes = keptBytes;
  }

  get hasFollowers(): boolean {
    return this.#followers.size > 0;
  }

  join(follower: Follower): void {
    this.#followers.set(follower, { next: 0 });
  }

  leave(follower: Follower): void {
    this.#followers.delete(follower);
  }

  /** @returns the follower's next piece, which it must not change; null: none is here yet */
  next(follower: Follower): Buffer | null {
    const place = this.#followers.get(follower);
    const piece = place === undefined ? undefined : this.#pieces[place.next - this.#first];
    if (place === undefined || piece === undefined) return null;
    place.next++;
    return piece;
  }

  /** The follower was told all that came. */
  isAtEnd(follower: Follower): boolean {
    const place = this.#followers.get(follower);
    return place !== undefined && place.next === this.#first + this.#pieces.length;
  }

  /** It is behind what is still here: the rest cannot be had any more. */
  isLost(follower: Follower): boolean {
    const place = this.#followers.get(follower);
    return place === undefined || place.next < this.#first;
  }

  headCame(head: AnswerHead): void {
    this.head = head;
    this.#tell();
  }

  pieceCame(bytes: Uint8Array<ArrayBuffer>): void {
    this.#pieces.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    this.bytes += bytes.length;
    this.#heldBytes += bytes.length;
    this.#tell();
    if (this.bytes > this.#keptBytes) this.#trim();
  }

  /** @param why nothing more comes of it */
  over(why: 'ended' | 'failed'): void {
    this.end = why;
    this.#tell();
  }

  /** What came of it is void. @param isSame it comes once more, and whoever was told a part of it goes on from there */
  anew(isSame: boolean): void {
    this.lacksBeginning = false;
    this.head = null;
    this.end = null;
    this.#pieces = [];
    this.#first = 0;
    this.#heldBytes = 0;
    this.bytes = 0;
    if (!isSame) for (const place of this.#followers.values()) place.next = 0;
  }

  /** What all have been told goes; whoever is too far behind loses the rest. */
  #trim(): void {
    let least = Number.POSITIVE_INFINITY;
    for (const { next } of this.#followers.values()) if (next < least) least = next;
    while (this.#pieces.length > 0 && (this.#first < least || this.#heldBytes > LAG_MAX_BYTES)) {
      this.#heldBytes -= this.#pieces.shift()?.length ?? 0;
      this.#first++;
    }
    if (this.#first > least) this.#tell();
  }

  #tell(): void {
    for (const follower of [...this.#followers.keys()]) {
      try {
        follower.flightCame();
      } catch (error) {
        follower.onBroken(error);
      }
    }
  }
}

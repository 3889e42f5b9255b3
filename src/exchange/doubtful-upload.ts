import { Buffer } from 'node:buffer';
import type { FleetAsker } from '../stored/fleet-questions.ts';
import type { StateClaim } from '../stored/state-claim.ts';
import type { Answer } from './lane.ts';

/** The client's side, as far as it is held back. */
type HeldBack = Pick<Answer, 'uploadFull' | 'uploadDrained' | 'onBroken'>;

/** Whose body it is. */
export interface UploadTaker {
  /** The next piece: what it names of what is stored was read, and is not in doubt. */
  goOn(piece: Buffer, last: boolean): void;
}

interface Held {
  readonly piece: Buffer;
  readonly last: boolean;
}

/**
 * A body that names what this node has not heard of: held, from the piece that does, until the fleet was asked. Its client
 * is held back meanwhile, so it is as much as one read of it brings.
 */
export class DoubtfulUpload implements FleetAsker {
  readonly #claim: StateClaim;
  readonly #answer: HeldBack;
  readonly #taker: UploadTaker;
  #held: Held[] = [];
  #isHolding = false;

  constructor(claim: StateClaim, answer: HeldBack, taker: UploadTaker) {
    this.#claim = claim;
    this.#answer = answer;
    this.#taker = taker;
  }

  /** Whether what comes is to be held. */
  get isHolding(): boolean {
    return this.#isHolding;
  }

  /**
   * @param piece what it names was read, and is in doubt; lent
   * @returns false when nobody can be asked: the claim is decided, and nothing is held
   */
  asks(piece: Buffer, last: boolean): boolean {
    if (!this.#claim.ask(this)) return false;
    this.#isHolding = true;
    this.hold(piece, last);
    this.#answer.uploadFull();
    return true;
  }

  /** @param piece lent, and not read */
  hold(piece: Buffer, last: boolean): void {
    this.#held.push({ piece: Buffer.from(piece), last });
  }

  /** The request is over: nothing of it goes on. */
  drop(): void {
    this.#isHolding = false;
    this.#held = [];
  }

  isKnown(): boolean {
    return this.#claim.isCleared;
  }

  told(): void {
    this.#claim.decide();
    if (!this.#isHolding) return;
    try {
      // First: whoever takes the pieces may hold the client back for a reason of its own.
      this.#answer.uploadDrained();
      let isRead = true;
      for (let next = this.#held.shift(); next !== undefined; next = this.#held.shift()) {
        if (!isRead) this.#claim.push(next.piece);
        isRead = false;
        this.#taker.goOn(next.piece, next.last);
      }
      this.#isHolding = false;
    } catch (error) {
      this.#answer.onBroken(error);
    }
  }
}

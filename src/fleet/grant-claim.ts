/**
 * One node's part of one budget in one window: pure, without a clock or a network of its own. Money is whole nano-dollars.
 *
 * The bucket says how much each node was granted; all grants together are never more than the limit. A node reserves only out
 * of its own, so nobody need be asked for a request, and a node that is cut off can spend what it was granted and no more.
 *
 * Exact over every fault, by one rule: what the bucket says that this node was granted is never less than what it holds. More is
 * held only when the bucket has said that it was written; less is held before that is written. An answer that never comes
 * changes nothing: the next write stands on the revision that is read then, and a late one is refused by its revision.
 */

import { type GrantEntry, NO_GRANTS } from './grant-entry.ts';

/** How the budget stands on this node. */
export interface GrantStand {
  readonly limit: number;
  /** Spent and reserved. May be more than was granted: an answer cost more than was reserved for it. */
  readonly used: number;
  /** The largest reservation since the last look that did not fit what is held; 0: none. */
  readonly wanted: number;
}

/**
 * Tells those who reserve how much the node holds from now on.
 * @param elsewhere what other nodes are known to have been granted
 * @returns what they may use then: never less than what they use
 */
export type HoldGrant = (held: number, elsewhere: number) => number;

/** A slice is no more than so much of what is left, so that the last ones are small. */
const SLICE_OF_LEFT = 1 / 20;

/**
 * What nobody reserves from for so long is handed back, in milliseconds, or for as long as a slice lasts: a budget that is used
 * now and then among many would else be given back and asked for again with each request.
 */
const IDLE_MS = 5_000;

/** How long what the bucket said is worked with, in milliseconds: a write on an older revision is refused mostly. */
const FRESH_MS = 250;

/** When there is nothing left, the bucket is asked again after so long, in milliseconds. */
const SPENT_MS = 1_000;

/** The time constant of the spending rate, in milliseconds. */
const RATE_TIME_MS = 2_000;

/** What is to be done at the bucket; then one of `onRead`, `onWritten`, `onFailed` is called, once. */
export type GrantStep =
  | { readonly kind: 'read' }
  | {
      readonly kind: 'write';
      readonly entry: GrantEntry;
      /** That it stands on; 0: there is none yet. */
      readonly revision: number;
      /** The bucket is told of less than it says: who remembers what is held has to know that before. */
      readonly lowers: boolean;
    };

interface Known {
  readonly entry: GrantEntry;
  readonly revision: number;
  readonly atMs: number;
}

export class GrantClaim {
  readonly #node: string;
  readonly #hold: HoldGrant;
  #limit = 0;
  #used = 0;
  #wanted = 0;
  #held = 0;
  /** What the bucket is known to have said of this node last; null: not known. */
  #told: number | null = null;
  #elsewhere = 0;
  #known: Known | null = null;
  #isBusy = false;
  #writing = 0;
  /** Wanted when the write under way began. */
  #asked = 0;
  #nanoPerMs = 0;
  #lookedMs: number;
  #movedMs: number;
  #quietUntilMs = Number.NEGATIVE_INFINITY;
  #leftSeen = 0;
  #isClosing = false;
  #isAlone = false;
  /** The limit is another one: what is held may be too much. */
  #isLimitNew = false;

  /**
   * @param node whose claim it is: the same name in each of its lives where it remembers what it spent, else a new one
   * @param hold called with what changes
   */
  constructor(node: string, hold: HoldGrant, nowMs: number) {
    this.#node = node;
    this.#hold = hold;
    this.#lookedMs = nowMs;
    this.#movedMs = nowMs;
  }

  /** What was granted to this node and may be used. */
  get held(): number {
    return this.#held;
  }

  /** Whether it is known what the bucket says of it. */
  get isKnown(): boolean {
    return this.#told !== null;
  }

  /** Whether the bucket knows that nothing is held but what is used. */
  get isHandedBack(): boolean {
    return !this.#isBusy && this.#told === this.#used && this.#held === this.#used;
  }

  /** Whether somebody spends from it just now. */
  isActive(nowMs: number, horizonMs: number): boolean {
    return !this.#isIdle(nowMs, horizonMs);
  }

  /** The bucket is out of reach, and the node counts alone: it may use all of the limit by itself. */
  set isAlone(isAlone: boolean) {
    if (isAlone === this.#isAlone) return;
    this.#isAlone = isAlone;
    this.#apply();
  }

  /** What its life before this one held is held again. Before anything else. */
  resume(held: number): void {
    this.#held = held;
    this.#apply();
  }

  /** Everything that is not used goes back, now and whenever more becomes free: the node drains, or the window is over. */
  close(): void {
    this.#isClosing = true;
  }

  /** Told several times a second, and at once when something was wanted. */
  look({ limit, used, wanted }: GrantStand, nowMs: number): void {
    if (limit !== this.#limit) {
      this.#isLimitNew = this.#told !== null;
      this.#quietUntilMs = Number.NEGATIVE_INFINITY;
    }
    this.#limit = limit;
    // The bucket was asked a moment ago, and had less.
    const isSpent = nowMs < this.#quietUntilMs && wanted > this.#leftSeen;
    if (!isSpent) this.#wanted = Math.max(this.#wanted, wanted);
    const tookMs = nowMs - this.#lookedMs;
    const moved = used - this.#used;
    if (moved !== 0 || (wanted > 0 && !isSpent)) this.#movedMs = nowMs;
    this.#used = used;
    // Looks in a row are one: a rate over no time is none.
    if (tookMs <= 0) return;
    const weight = 1 - Math.exp(-tookMs / RATE_TIME_MS);
    this.#nanoPerMs += (Math.max(0, moved) / tookMs - this.#nanoPerMs) * weight;
    this.#lookedMs = nowMs;
    if (this.#isAlone) this.#apply();
  }

  /**
   * @param horizonMs for how long a slice is to last at the rate at which is spent
   * @returns what is to be done at the bucket; null: nothing, or something is under way
   */
  step(nowMs: number, horizonMs: number): GrantStep | null {
    if (this.#isBusy || !this.#isDue(nowMs, horizonMs)) return null;
    const known = this.#known;
    if (known === null || nowMs - known.atMs > FRESH_MS) {
      this.#isBusy = true;
      return { kind: 'read' };
    }
    this.#isLimitNew = false;
    const target = this.#target(known.entry, nowMs, horizonMs);
    const asked = this.#wanted;
    this.#wanted = 0;
    if (target === this.#told && target === this.#held) return null;
    this.#writing = target;
    if (target < this.#held) {
      this.#held = target;
      // What was reserved before that was seen stays held.
      this.#apply();
      this.#writing = this.#held;
    }
    this.#isBusy = true;
    this.#asked = asked;
    const entry = this.#with(known.entry, this.#writing);
    const lowers = this.#told === null || this.#writing < this.#told;
    return { kind: 'write', entry, revision: known.revision, lowers };
  }

  /** @param entry null: there is none */
  onRead(entry: GrantEntry | null, revision: number, nowMs: number): void {
    this.#isBusy = false;
    const known = { entry: entry ?? NO_GRANTS, revision, atMs: nowMs };
    this.#known = known;
    this.#told = known.entry.granted.get(this.#node) ?? 0;
    this.#elsewhere = othersIn(known.entry, this.#node);
    this.#apply();
  }

  onWritten(revision: number, nowMs: number): void {
    this.#isBusy = false;
    this.#told = this.#writing;
    this.#held = this.#writing;
    if (this.#known !== null)
      this.#known = { entry: this.#with(this.#known.entry, this.#writing), revision, atMs: nowMs };
    this.#asked = 0;
    this.#apply();
  }

  /** Somebody else was faster, or nobody can say whether it was done. */
  onFailed(): void {
    this.#isBusy = false;
    this.#known = null;
    this.#told = null;
    this.#wanted = Math.max(this.#wanted, this.#asked);
    this.#asked = 0;
  }

  #isDue(nowMs: number, horizonMs: number): boolean {
    if (this.#told === null || this.#isLimitNew) return true;
    if (this.#held > this.#told || this.#used > this.#told) return true;
    if (this.#isClosing) return this.#told > this.#used || this.#held > this.#used;
    if (this.#wanted > 0) return true;
    if (this.#isIdle(nowMs, horizonMs)) return this.#told > this.#used;
    if (nowMs < this.#quietUntilMs) return false;
    return this.#held - this.#used < (this.#nanoPerMs * horizonMs) / 2;
  }

  #isIdle(nowMs: number, horizonMs: number): boolean {
    return this.#wanted === 0 && nowMs - this.#movedMs >= Math.max(IDLE_MS, horizonMs);
  }

  /** What this node is to have been granted. */
  #target(entry: GrantEntry, nowMs: number, horizonMs: number): number {
    const used = this.#used;
    if (this.#isClosing || this.#isIdle(nowMs, horizonMs)) return used;
    const room = Math.max(0, this.#limit - othersIn(entry, this.#node));
    const left = Math.max(0, room - Math.max(this.#held, used));
    // A rate that nothing was seen of yet is that of the request that waits: one a second.
    const ahead = Math.max(this.#nanoPerMs, this.#wanted / 1_000) * horizonMs;
    const slice = used + Math.floor(Math.min(ahead, left * SLICE_OF_LEFT));
    this.#leftSeen = Math.max(0, room - used);
    // What does not fit is nobody's: a smaller request of any node may still take it.
    const isShort = this.#wanted > this.#leftSeen;
    const needed = used + (isShort ? 0 : this.#wanted);
    const target = Math.max(used, Math.min(room, Math.max(this.#held, needed, slice)));
    if (isShort || target <= this.#held) this.#quietUntilMs = nowMs + SPENT_MS;
    return target;
  }

  #with(entry: GrantEntry, mine: number): GrantEntry {
    const granted = new Map(entry.granted);
    if (mine > 0) granted.set(this.#node, mine);
    else granted.delete(this.#node);
    return { limitSeen: this.#limit, granted };
  }

  #apply(): void {
    const mayUse = this.#isAlone ? Math.max(this.#held, this.#limit) : this.#held;
    const uses = this.#hold(mayUse, this.#elsewhere);
    if (uses > mayUse && uses > this.#held) this.#held = uses;
  }
}

function othersIn({ granted }: GrantEntry, node: string): number {
  let sum = 0;
  for (const [name, nano] of granted) if (name !== node) sum += nano;
  return sum;
}

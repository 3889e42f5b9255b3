/**
 * Budgets of a fleet: what this node may spend of each is granted by a bucket that all nodes share. Runs on the main thread; asks
 * ahead of the spending, so that workers find in the table what they need, and at once where one of them did not.
 */

import { join } from 'node:path';
import type { BudgetRow, GrantSource, Grants } from '../budget/grant-source.ts';
import type { Log } from '../outlet/log.ts';
import { GrantClaim, type GrantStep } from './grant-claim.ts';
import { decodeGrants, encodeGrants, grantKey } from './grant-entry.ts';
import { GrantFile } from './grant-file.ts';
import type { GrantStore } from './grant-store.ts';

const FILE_NAME = 'grants';

/** For how long a slice lasts at the rate at which is spent, in milliseconds. */
const SLICE_MS = 2_000;

/**
 * Of many budgets slices last longer, so that a node writes about so often a second however many there are: a claim asks when half
 * of its slice is gone. Ten nodes write 400 times a second then, of the 10,000 that one nats-server takes.
 */
const WRITES_PER_SECOND = 40;

/** Questions that are open at a time; who comes beyond waits for one to end. */
const OPEN_QUESTIONS = 64;

/** How often claims are looked after that nobody shows any more, and whether the bucket is there; milliseconds. */
const TEND_MS = 100;

/** How long a window's grant that is over is tried to be handed back, in milliseconds: nobody misses it then. */
const CLOSING_MS = 600_000;

/** How long a start waits for the bucket, and then for what it says; milliseconds. */
const FIRST_REACHED_MS = 1_500;
const FIRST_GRANTS_MS = 5_000;

/** How long what the last life held waits to be asked for, in milliseconds. */
const KEPT_MS = 60_000;

interface Held {
  readonly key: string;
  readonly claim: GrantClaim;
  row: BudgetRow;
  /** When its window ended; null while it lasts. */
  closedMs: number | null;
}

interface FleetGrantsOptions {
  /** This node's name among those of the fleet. */
  readonly node: string;
  readonly store: GrantStore;
  readonly log: Log;
  /** What holds while the bucket is out of reach: nothing beyond what was granted, or the whole budget of this node alone. */
  readonly withoutNats: () => 'closed' | 'open';
  /** Where what is held is remembered; null: nothing outlives the process. */
  readonly folder: string | null;
  readonly nowMs?: () => number;
}

/** What is told of grants; the metrics are one reader. */
export interface GrantTotals {
  readonly isReachable: boolean;
  readonly writes: number;
  /** Writes that another node was faster than. */
  readonly conflicts: number;
  /** Questions without an answer. */
  readonly failures: number;
}

export class FleetGrants implements GrantSource {
  readonly isWhole = false;
  readonly #node: string;
  readonly #store: GrantStore;
  readonly #log: Log;
  readonly #withoutNats: () => 'closed' | 'open';
  readonly #nowMs: () => number;
  readonly #held = new Map<string, Held>();
  readonly #file: GrantFile | null;
  /** What this node held in its last life, until somebody asks for it. */
  readonly #kept: Map<string, number>;
  #isFileStale = false;
  #isFileFailing = false;
  readonly #waiting = new Set<Held>();
  #grants: Grants | null = null;
  #open = 0;
  #horizonMs = SLICE_MS;
  #timer: NodeJS.Timeout | null = null;
  #isAlone = false;
  #wasReachable = false;
  #startedMs = Number.POSITIVE_INFINITY;
  #isSettled = false;
  #broken = new Set<string>();
  #writes = 0;
  #conflicts = 0;
  #failures = 0;
  /** Told whenever a question ended. */
  #moved: () => void = () => {};

  constructor({ node, store, log, withoutNats, folder, nowMs = Date.now }: FleetGrantsOptions) {
    this.#node = node;
    this.#file =
      folder === null ? null : new GrantFile(join(folder, FILE_NAME), () => this.#heldNow());
    this.#kept = new Map(this.#file?.read());
    this.#store = store;
    this.#log = log;
    this.#withoutNats = withoutNats;
    this.#nowMs = nowMs;
  }

  get totals(): GrantTotals {
    return {
      isReachable: this.#wasReachable,
      writes: this.#writes,
      conflicts: this.#conflicts,
      failures: this.#failures,
    };
  }

  /**
   * False while it may become known in a moment how the budgets stand that this node spent from before: whoever comes until then
   * would wait for it.
   */
  get isSettled(): boolean {
    if (this.#isSettled) return true;
    const limitMs = this.#store.isReachable ? FIRST_GRANTS_MS : FIRST_REACHED_MS;
    const isKnown = (): boolean => [...this.#held.values()].every(({ claim }) => claim.isKnown);
    const isLate = performance.now() - this.#startedMs >= limitMs;
    this.#isSettled = isLate || (this.#wasReachable && isKnown());
    return this.#isSettled;
  }

  start(grants: Grants): void {
    this.#grants = grants;
    this.#startedMs = performance.now();
    this.#timer = setInterval(() => this.#tend(), TEND_MS);
  }

  look(row: BudgetRow): void {
    this.#tellReachable();
    const nowMs = this.#nowMs();
    const held = this.#heldOf(row, nowMs);
    held.row = row;
    const { limit, spent, reserved, wanted } = row;
    held.claim.look({ limit, used: spent + reserved, wanted }, nowMs);
    this.#ask(held);
  }

  ended(row: BudgetRow): void {
    const key = grantKey(row.scope, row.name, row.label);
    const held = this.#held.get(key);
    if (held === undefined || held.closedMs !== null) return;
    held.closedMs = this.#nowMs();
    held.row = row;
    held.claim.close();
    this.#ask(held);
  }

  async stop(limitMs: number): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    let isLate = false;
    const late = new Promise<void>((resolve) => {
      setTimeout(() => {
        isLate = true;
        resolve();
      }, limitMs).unref();
    });
    for (const held of this.#held.values()) {
      held.closedMs ??= this.#nowMs();
      held.claim.close();
      this.#ask(held);
    }
    const isBusy = (): boolean =>
      this.#store.isReachable && [...this.#held.values()].some(({ claim }) => !claim.isHandedBack);
    while (!isLate && isBusy()) {
      const moved = new Promise<void>((resolve) => {
        this.#moved = resolve;
      });
      await Promise.race([moved, late]);
    }
  }

  #heldOf(row: BudgetRow, nowMs: number): Held {
    const key = grantKey(row.scope, row.name, row.label);
    const known = this.#held.get(key);
    if (known !== undefined) return known;
    const claim = new GrantClaim(
      this.#node,
      (granted, elsewhere) => this.#grants?.grant(held.row, granted, elsewhere) ?? granted,
      nowMs,
    );
    const held: Held = { key, claim, row, closedMs: null };
    claim.look({ limit: row.limit, used: row.spent + row.reserved, wanted: 0 }, nowMs);
    const kept = this.#kept.get(key);
    if (kept !== undefined) claim.resume(kept);
    this.#kept.delete(key);
    claim.isAlone = this.#isAlone;
    this.#held.set(key, held);
    return held;
  }

  #heldNow(): readonly (readonly [key: string, nano: number])[] {
    const held = [...this.#held.values()].map(({ key, claim }) => [key, claim.held] as const);
    return [...held, ...this.#kept].filter(([, nano]) => nano > 0);
  }

  /** More is held than the file says: no harm, and so it may take a moment. */
  #keep(): void {
    if (this.#file === null || !this.#isFileStale) return;
    this.#isFileStale = false;
    this.#file.write().then(
      () => {
        this.#isFileFailing = false;
      },
      (error: unknown) => this.#tellFile(error),
    );
  }

  #tellFile(error: unknown): void {
    const reason = error instanceof Error ? error.message : 'unknown';
    if (!this.#isFileFailing) this.#log.write('error', 'budget_grants_not_kept', { reason });
    this.#isFileFailing = true;
  }

  #tellReachable(): void {
    const { isReachable } = this.#store;
    if (isReachable === this.#wasReachable) return;
    this.#wasReachable = isReachable;
    this.#grants?.reachable(isReachable);
  }

  /** What nobody shows any more is handed back, and forgotten then. */
  #tend(): void {
    this.#tellReachable();
    const nowMs = this.#nowMs();
    const isAlone = !this.#store.isReachable && this.#withoutNats() === 'open';
    if (isAlone !== this.#isAlone) this.#log.write('info', 'budgets_alone', { alone: isAlone });
    this.#isAlone = isAlone;
    let active = 0;
    for (const held of this.#held.values()) {
      held.claim.isAlone = isAlone;
      if (held.claim.isActive(nowMs, this.#horizonMs)) active++;
      if (held.closedMs === null) continue;
      const isDone = held.claim.isHandedBack || nowMs - held.closedMs > CLOSING_MS;
      if (isDone) this.#forget(held);
      else this.#ask(held);
    }
    // What nobody asked for by now is of windows that are over: those that go on are shown at once.
    if (performance.now() - this.#startedMs > KEPT_MS) this.#kept.clear();
    this.#keep();
    this.#horizonMs = Math.max(SLICE_MS, (2 * active * 1_000) / WRITES_PER_SECOND);
  }

  #forget(held: Held): void {
    this.#held.delete(held.key);
    this.#waiting.delete(held);
    this.#broken.delete(held.key);
  }

  #ask(held: Held): void {
    if (!this.#store.isReachable) return;
    if (this.#open >= OPEN_QUESTIONS) {
      this.#waiting.add(held);
      return;
    }
    const step = held.claim.step(this.#nowMs(), this.#horizonMs);
    if (step === null) return;
    this.#open++;
    this.#do(held, step)
      .catch((error: unknown) => {
        this.#failures++;
        held.claim.onFailed();
        this.#tellBroken(held, error);
        return false;
      })
      .then((mayGoOn) => {
        this.#open--;
        if (mayGoOn) this.#ask(held);
        const next = this.#waiting.values().next().value;
        if (next !== undefined && this.#waiting.delete(next)) this.#ask(next);
        this.#moved();
      });
  }

  /** @returns whether there may be more to do at once */
  async #do({ key, claim }: Held, step: GrantStep): Promise<boolean> {
    if (step.kind === 'read') {
      const { text, revision } = await this.#store.read(key);
      claim.onRead(text === null ? null : decodeGrants(text), revision, this.#nowMs());
      return true;
    }
    if (step.lowers && this.#file !== null) {
      // The bucket grants it to others from then on.
      await this.#file.write();
    }
    this.#writes++;
    const revision = await this.#store.write(key, encodeGrants(step.entry), step.revision);
    if (revision === null) {
      this.#conflicts++;
      claim.onFailed();
    } else {
      claim.onWritten(revision, this.#nowMs());
      this.#isFileStale = true;
    }
    return true;
  }

  /** An entry that cannot be read grants nothing: whoever broke it has to mend it. Told once. */
  #tellBroken({ key }: Held, error: unknown): void {
    if (!this.#store.isReachable || this.#broken.has(key)) return;
    this.#broken.add(key);
    const reason = error instanceof Error ? error.message : 'unknown';
    this.#log.write('error', 'budget_grant_failed', { key, reason });
  }
}

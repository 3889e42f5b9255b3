import type { Failed } from '../plan/failover.ts';
import type { Homes } from '../plan/offers.ts';
import type { Planned } from '../plan/plan.ts';
import type { Planner, Trial } from '../plan/planner.ts';
import type { Target } from '../plan/route-table.ts';
import type { PoolKey } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';

/** Attempts of one request, whatever a route says: a table of 64 targets with four keys each is a mistake. */
const ATTEMPTS_MAX = 16;

const NO_KEYS: readonly PoolKey[] = [];

/** What a walk asks for all requests of a worker. */
export interface WalkContext {
  readonly planner: Planner;
  /** A provider's wait up to this is sat out in place. */
  readonly retryAfterMaxMs: number;
}

/** Where a request stands in its plan: which target and key is next, and whether anything is left. */
export class RoutedWalk {
  readonly #context: WalkContext;
  #session = 0;
  #settled = 0;
  #planned: readonly Planned[] = [];
  #retries = 0;
  /** The body is kept, so that another attempt can have it. */
  #mayRepeat = false;
  /** What the request names is stored somewhere, and it goes nowhere else. */
  #homes: Homes = null;
  /** Which targets can be asked what the request asks; null: all of them. Told when one is next, since it takes work. */
  #suits: ((target: Target) => boolean) | null = null;
  /** Whose keys do not follow each other; null: nobody's. */
  #keepsKey: ((provider: Provider) => boolean) | null = null;
  /** Where in the plan the next target is. */
  #next = 0;
  #current: Planned | null = null;
  #retriesLeft = 0;
  #count = 0;
  /** Keys of the current target that were tried. */
  #tried = NO_KEYS;

  constructor(context: WalkContext) {
    this.#context = context;
  }

  /**
   * @param retries further tries of a target before the next one
   * @param mayRepeat the body is kept, so that another attempt can have it
   * @param session keeps a conversation on one key; 0 = none
   * @param settled as `Planner.enter` has it
   */
  begin(
    planned: readonly Planned[],
    retries: number,
    mayRepeat: boolean,
    session: number,
    homes: Homes,
    settled = 0,
  ): void {
    this.#session = session;
    this.#settled = settled;
    this.#planned = planned;
    this.#homes = homes;
    this.#retries = retries;
    this.#mayRepeat = mayRepeat;
  }

  /** It follows another walk of the same request, which had so many attempts. */
  follows(count: number): void {
    this.#count = count;
  }

  /** Of targets that do not suit none is tried. */
  onlyWhere(suits: (target: Target) => boolean): void {
    this.#suits = suits;
  }

  /** Of these providers nothing but the first key that is tried: what the request holds may be its account's alone. */
  keepsKeyOf(isBound: (provider: Provider) => boolean): void {
    this.#keepsKey = isBound;
  }

  get mayRepeat(): boolean {
    return this.#mayRepeat;
  }

  /** Attempts so far. */
  get count(): number {
    return this.#count;
  }

  /** An attempt begins. @returns which one it is, from 1 on */
  begun({ target: { provider }, key }: Trial): number {
    if (this.#keepsKey?.(provider) === true) this.#homes = onlyKey(this.#homes, provider, key);
    // Mostly it is the only one, for which a set costs more than all that is looked up in it.
    if (this.#mayRepeat) this.#tried = this.#tried.length === 0 ? [key] : [...this.#tried, key];
    return ++this.#count;
  }

  /**
   * The next target that may be tried, with one of its keys; null when none is left.
   * @param within nothing behind this group
   */
  next(within = Number.POSITIVE_INFINITY): Trial | null {
    const { planner } = this.#context;
    if (this.#count >= ATTEMPTS_MAX) return null;
    while (this.#next < this.#planned.length) {
      const planned = this.#planned[this.#next];
      if (planned === undefined || planned.group > within) break;
      this.#next++;
      if (this.#suits?.(planned.target) === false) continue;
      const trial = planner.enter(
        planned.target,
        NO_KEYS,
        this.#session,
        this.#homes,
        this.#settled,
      );
      if (trial === null) continue;
      this.#tried = NO_KEYS;
      this.#current = planned;
      this.#retriesLeft = this.#retries;
      return trial;
    }
    return null;
  }

  /** Targets behind the current one, however they are doing. */
  get left(): readonly Target[] {
    return this.#planned.slice(this.#next).map(({ target }) => target);
  }

  /** Whether anything but the current attempt could still answer: only then is its answer held. */
  get hasAlternative(): boolean {
    if (!this.#mayRepeat || this.#count >= ATTEMPTS_MAX) return false;
    const { planner } = this.#context;
    const current = this.#current;
    if (current !== null && planner.mayEnter(current.target, this.#tried, this.#homes)) return true;
    for (let at = this.#next; at < this.#planned.length; at++) {
      const planned = this.#planned[at];
      if (planned !== undefined && planner.mayEnter(planned.target, NO_KEYS, this.#homes))
        return true;
    }
    return false;
  }

  /** Whether a target is left, behind the current one, that may be tried and is such a one. */
  isLeft(suits: (target: Target) => boolean): boolean {
    if (!this.#mayRepeat || this.#count >= ATTEMPTS_MAX) return false;
    const { planner } = this.#context;
    return this.#planned
      .slice(this.#next)
      .some(({ target }) => suits(target) && planner.mayEnter(target, NO_KEYS, this.#homes));
  }

  /**
   * What follows an attempt that came to nothing. Another key of the same provider at once, then another target of the
   * same group at once; before a fallback, which is another model than the one that is wanted, a short wait is sat out,
   * and one failure of a server forgiven that asks for none.
   * @param waitMs what the provider asked for; null = nothing
   */
  follower(failed: Failed, waitMs: number | null): Trial | 'wait' | null {
    const { retryAfterMaxMs } = this.#context;
    const current = this.#current;
    if (current === null || this.#count >= ATTEMPTS_MAX) return null;
    if (failed.blames === 'key') {
      const sibling = this.#enter(current);
      if (sibling !== null) return sibling;
    }
    const after = this.#planned[this.#next];
    if (after?.group === current.group) {
      const trial = this.next(current.group);
      if (trial !== null) return trial;
    }
    if (this.#retriesLeft > 0) {
      if (waitMs === null && failed.again) {
        this.#retriesLeft--;
        this.#tried = NO_KEYS;
        const trial = this.#enter(current);
        if (trial !== null) return trial;
      }
      const mayPass = failed.again || failed.reason === 'rate_limit';
      if (mayPass && waitMs !== null && waitMs <= retryAfterMaxMs) {
        this.#retriesLeft--;
        this.#tried = NO_KEYS;
        return 'wait';
      }
    }
    return this.next();
  }

  /** A wait is over: the same target once more, or the next one. */
  afterWait(): Trial | null {
    const current = this.#current;
    return current === null ? null : (this.#enter(current) ?? this.next());
  }

  /** The least wait that remains among what was planned, in milliseconds; 0 when none of it waits. */
  get leastWaitMs(): number {
    const { planner } = this.#context;
    const waits = this.#planned
      .map(({ target }) => planner.condition(target).waitMs)
      .filter((ms) => ms > 0);
    return waits.length === 0 ? 0 : Math.min(...waits);
  }

  #enter({ target }: Planned): Trial | null {
    return this.#context.planner.enter(
      target,
      this.#tried,
      this.#session,
      this.#homes,
      this.#settled,
    );
  }
}

function onlyKey(homes: Homes, provider: Provider, key: PoolKey): Homes {
  return (other, otherKey) =>
    other.index === provider.index ? otherKey === key : homes === null || homes(other, otherKey);
}

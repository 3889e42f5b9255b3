/**
 * What the routed lane asks before and after each attempt: where does this name go, with which key, and how did it end.
 * It joins the pure plan with what is known of providers, targets and keys.
 */

import { type PoolKey, type PoolKeys, settledKey } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import { mixed, textHash } from '../providers/text-hash.ts';
import type { Dialect } from '../rejection.ts';
import type { Failed } from './failover.ts';
import { BARRED, type BreakerState, type Condition, FREE, type Health } from './health.ts';
import type { Pins } from './pins.ts';
import { type Barred, type Plan, type Planned, type PlanView, plan } from './plan.ts';
import {
  type Resolved,
  ROUTE_DEFAULTS,
  type Route,
  type RouteTable,
  type Target,
} from './route-table.ts';

/** A pool key and where its rests stand: those of one model (429), and those of the key as a whole (401, quota). */
interface KeyPlaces {
  readonly key: PoolKey;
  readonly ofModel: number;
  readonly ofKey: number;
}

/** What is kept of a target, looked up once. */
interface TargetPlaces {
  /** Tells targets apart in pins. */
  readonly print: number;
  readonly target: number;
  readonly provider: number;
  readonly keys: readonly KeyPlaces[];
  /** Of a name that only callers know: what `Health.mark` said of its own places. */
  readonly marks: readonly (readonly [place: number, mark: number])[];
}

/** One target with one of its keys: what an attempt goes to. */
export interface Trial {
  readonly target: Target;
  readonly key: PoolKey;
  /** Whether it is the one probe of its provider, of its target: FREE once it was told how it went. */
  providerLease: number;
  targetLease: number;
}

/** What only this request asks of a plan. */
interface Wishes {
  /** What a target's provider must speak: the body goes as it came. */
  readonly dialect: Dialect;
  /** Providers or targets, in the order in which they are wanted; empty = as the route has them. */
  readonly order: readonly string[];
  /** Nothing but these; empty = no wish. */
  readonly only: readonly string[];
  /** What `sessionOf` says of its conversation; 0 = it has none that is known. */
  readonly session: number;
  readonly seed: number;
}

/** Where a request may go that names what is stored somewhere; null: anywhere. */
export type Homes = ((provider: Provider, key: PoolKey) => boolean) | null;

/** Names that callers spelled whose places are remembered: as many as have one. */
const GUESTS_MAX = 1024;

/** A key that was told to slow down without being told for how long. */
const RATE_REST_MS = 1_000;

export class Planner {
  readonly #table: RouteTable;
  readonly #health: Health;
  readonly #poolKeys: PoolKeys;
  readonly #pins: Pins;
  /** Of the targets that the configuration names. */
  readonly #places = new Map<string, TargetPlaces>();
  /** Of those that callers spelled, GUESTS_MAX of them: beyond it, all are forgotten and looked up again. */
  readonly #guests = new Map<string, TargetPlaces>();
  #turn = 0;

  /** @param described names of further targets that the configuration describes */
  constructor(
    table: RouteTable,
    health: Health,
    poolKeys: PoolKeys,
    pins: Pins,
    described: Iterable<string> = [],
  ) {
    this.#table = table;
    this.#health = health;
    this.#poolKeys = poolKeys;
    this.#pins = pins;
    for (const target of table.targets) this.#places.set(target.name, this.#placesFor(target));
    for (const name of described) {
      const target = table.target(name);
      if (target !== null) this.#places.set(target.name, this.#placesFor(target));
    }
  }

  resolve(name: string): Resolved {
    return this.#table.resolve(name);
  }

  /** @param route a route, or one target as if it were one. Wishes for what nobody knows count for nothing */
  plan(route: Route, { dialect, session, seed, ...wishes }: Wishes, homes: Homes = null): Plan {
    const order = this.#known(wishes.order);
    const only = this.#known(wishes.only);
    const view: PlanView = {
      condition: (target) => this.condition(target),
      barred: (target) => this.#barred(target, dialect, only, homes),
      price: () => null,
    };
    // A conversation is its own chance: its first turn goes to the same target on every node.
    const made = plan(route, view, session === 0 ? seed : session);
    const pinned = session === 0 ? made.targets : this.#pinned(made.targets, session, view);
    return { ...made, targets: order.length === 0 ? pinned : wished(pinned, order) };
  }

  /** How many of the names that are wished for are neither a provider nor a target. */
  unknownWishes({ order, only }: Pick<Wishes, 'order' | 'only'>): number {
    const all = [...order, ...only];
    return all.length - this.#known(all).length;
  }

  #known(names: readonly string[]): readonly string[] {
    if (names.length === 0) return names;
    return names.map((name) => this.#table.known(name)).filter((name) => name !== null);
  }

  /** A conversation on a route: what it was pinned to on another one may not even be a target of this one. */
  sessionOf(route: Route, conversation: number): number {
    return mixed(conversation ^ textHash(route.name)) | 0 || 1;
  }

  /** Whether more than one target or key could answer: else nothing can be kept to one. */
  hasChoice({ groups }: Route): boolean {
    const [only, ...others] = groups.flat();
    if (only === undefined || others.length > 0 || 'route' in only) return true;
    return this.#placesOf(only.target).keys.length > 1;
  }

  /**
   * A conversation was answered, and what it used was told: its prompt is cached there.
   * @param session of `sessionOf`
   * @param lifeMs for how long the provider keeps it
   */
  keep({ target, key }: Trial, session: number, lifeMs: number): void {
    this.#pins.keep(session, this.#placesOf(target).print, key.print, lifeMs);
  }

  /**
   * The target that has the prompt in its cache first, the others behind it in their order. What a failover moved comes
   * back only while the old cache lives too, and only where that is worth it: to a target of the same group when it is
   * cheaper, to one that is wanted more when it is not known to be dearer (P3).
   */
  #pinned(targets: readonly Planned[], session: number, view: PlanView): readonly Planned[] {
    const pin = this.#pins.find(session);
    const [wanted] = targets;
    if (pin === null || wanted === undefined) return targets;
    const home = targets.find(({ target }) => this.#placesOf(target).print === pin.target);
    if (home === undefined || home === wanted) return targets;
    const isCached = this.#placesOf(wanted.target).print === pin.before;
    if (isCached && isWorthIt(wanted, home, view)) return targets;
    return [home, ...targets.filter((planned) => planned !== home)];
  }

  /** Whether a target could ever answer who speaks this wire: however it is doing, and whatever is wished for. */
  mayAnswer(target: Target, dialect: Dialect): boolean {
    return this.#barred(target, dialect, [], null) === null;
  }

  /** One target as a route of its own. */
  routeOf(target: Target): Route {
    return {
      name: target.name,
      settings: ROUTE_DEFAULTS,
      groups: [[{ weight: 1, target }]],
    };
  }

  /** How a target is doing: its own breaker, its provider's, and whether any of its keys is awake. */
  condition(target: Target): Condition {
    const places = this.#placesOf(target);
    const own = this.#health.condition(places.target);
    const provider = this.#health.condition(places.provider);
    const keyWaits = places.keys.map((places) => this.#keyWaitMs(places));
    const keysMs = keyWaits.length === 0 ? 0 : Math.min(...keyWaits);
    const state: BreakerState = own.state === 'closed' ? provider.state : own.state;
    return {
      state,
      waitMs: Math.max(own.waitMs, provider.waitMs, keysMs),
      ttftMs: own.ttftMs,
    };
  }

  /**
   * Asks to try a target now.
   * @param tried keys of it that this request has tried
   * @param session a hash that keeps a conversation on one key, whose cache is warm; 0 = keys take turns
   * @param homes only keys that it allows
   * @returns null when its breaker is open or all its other keys rest
   */
  enter(
    target: Target,
    tried: ReadonlySet<PoolKey>,
    session: number,
    homes: Homes = null,
  ): Trial | null {
    const places = this.#placesOf(target);
    const awake = places.keys.filter((key) => this.#mayTry(target, key, tried, homes));
    const chosen = this.#chosen(awake, session, places.print);
    if (chosen === undefined) return null;
    const providerLease = this.#health.enter(places.provider);
    if (providerLease === BARRED) return null;
    const targetLease = this.#health.enter(places.target);
    if (targetLease === BARRED) {
      this.#health.left(places.provider, providerLease);
      return null;
    }
    return { target, key: chosen.key, providerLease, targetLease };
  }

  /**
   * The default provider's target for a plain name, with its next key: as in the relay, whatever is known of either.
   * @param settled not null: the key that always has this one's requests
   * @returns null when the provider has no key
   */
  enterAnyway(target: Target, settled: number | null = null): Trial | null {
    const { provider } = target;
    const key =
      settled === null ? this.#poolKeys.next(provider) : this.#poolKeys.settled(provider, settled);
    return key === null ? null : this.enterAt(target, key);
  }

  /** The same with the one key that will do. */
  enterAt(target: Target, key: PoolKey): Trial {
    return { target, key, providerLease: FREE, targetLease: FREE };
  }

  /** Whether `enter` has a chance. */
  mayEnter(target: Target, tried: ReadonlySet<PoolKey>, homes: Homes = null): boolean {
    const places = this.#placesOf(target);
    const isOpen = [places.provider, places.target].some(
      (place) => this.#health.condition(place).waitMs > 0,
    );
    return !isOpen && places.keys.some((key) => this.#mayTry(target, key, tried, homes));
  }

  #mayTry(
    { provider }: Target,
    places: KeyPlaces,
    tried: ReadonlySet<PoolKey>,
    homes: Homes,
  ): boolean {
    if (tried.has(places.key) || this.#keyWaitMs(places) > 0) return false;
    return homes === null || homes(provider, places.key);
  }

  /** @param ttftMs until its first content; negative = not measured */
  succeeded(trial: Trial, ttftMs: number): void {
    const places = this.#placesOf(trial.target);
    this.#health.succeeded(places.provider, -1, trial.providerLease);
    this.#health.succeeded(places.target, ttftMs, trial.targetLease);
    wasTold(trial);
  }

  /** @param waitMs what the provider asked for; null = nothing */
  failed(trial: Trial, { reason, ofKey, ofProvider, ofNode }: Failed, waitMs: number | null): void {
    if (ofNode) {
      this.left(trial);
      return;
    }
    const { target, key, providerLease, targetLease } = trial;
    const places = this.#placesOf(target);
    const keyPlaces = places.keys.find((known) => known.key === key);
    if (reason === 'rate_limit' && keyPlaces !== undefined)
      this.#health.rest(keyPlaces.ofModel, waitMs ?? RATE_REST_MS);
    else if (reason === 'auth' && keyPlaces !== undefined)
      this.#health.rest(keyPlaces.ofKey, waitMs ?? this.#health.settings.refusedKeyMs);
    if (ofProvider) this.#health.failed(places.provider, providerLease);
    // It was reached, whatever it said.
    else this.#health.succeeded(places.provider, -1, providerLease);
    // What is wrong with a key or with a request says nothing of the model.
    const isTargets =
      reason === 'server_error' || reason === 'timeout' || reason === 'model_missing';
    if (isTargets && !ofKey && !ofProvider) this.#health.failed(places.target, targetLease);
    else this.#health.left(places.target, targetLease);
    wasTold(trial);
  }

  /** An attempt ended without saying anything of its target. */
  left(trial: Trial): void {
    const places = this.#placesOf(trial.target);
    this.#health.left(places.provider, trial.providerLease);
    this.#health.left(places.target, trial.targetLease);
    wasTold(trial);
  }

  #barred(target: Target, dialect: Dialect, only: readonly string[], homes: Homes): Barred | null {
    if (only.length > 0 && !only.some((name) => isNamed(target, name))) return 'not_wished';
    if (target.provider.dialect !== dialect) return 'other_wire';
    const { keys } = this.#placesOf(target);
    if (keys.length === 0) return 'no_pool_key';
    const isHome = homes === null || keys.some(({ key }) => homes(target.provider, key));
    return isHome ? null : 'other_account';
  }

  /** The key that has the prompt cached, else the one that has always this session's. */
  #chosen(keys: readonly KeyPlaces[], session: number, target: number): KeyPlaces | undefined {
    if (keys.length < 2) return keys[0];
    if (session === 0) return keys[this.#turn++ % keys.length];
    const pin = this.#pins.find(session);
    const home = pin?.target === target ? keys.find(({ key }) => key.print === pin.key) : undefined;
    if (home !== undefined) return home;
    return settledKey(keys, session, ({ key }) => key.print) ?? undefined;
  }

  #keyWaitMs({ ofModel, ofKey }: KeyPlaces): number {
    return Math.max(this.#health.condition(ofModel).waitMs, this.#health.condition(ofKey).waitMs);
  }

  #placesOf(target: Target): TargetPlaces {
    const known = this.#places.get(target.name) ?? this.#guests.get(target.name);
    if (known?.marks.every(([place, mark]) => this.#health.mark(place) === mark)) return known;
    if (this.#guests.size >= GUESTS_MAX) this.#guests.clear();
    const places = this.#placesFor(target, true);
    this.#guests.set(target.name, places);
    return places;
  }

  #placesFor({ name, provider, model }: Target, isGuest = false): TargetPlaces {
    const marks: (readonly [number, number])[] = [];
    const place = (subject: string) => {
      const at = this.#health.place(subject, isGuest);
      if (isGuest) marks.push([at, this.#health.mark(at)]);
      return at;
    };
    return {
      print: textHash(name),
      target: place(`target ${name}`),
      provider: this.#health.place(`provider ${provider.name}`),
      keys: this.#poolKeys.of(provider).map((key) => ({
        key,
        ofModel: place(`key ${provider.name} ${key.print} ${model}`),
        ofKey: this.#health.place(`key ${provider.name} ${key.print}`),
      })),
      marks,
    };
  }
}

/** Both have the prompt cached: whether going back is worth it. */
function isWorthIt(wanted: Planned, home: Planned, view: PlanView): boolean {
  const there = view.price(wanted.target);
  const here = view.price(home.target);
  if (there === null || here === null) return wanted.group !== home.group;
  return wanted.group === home.group ? there < here : there <= here;
}

/** What is told of it from here on is no probe's. */
function wasTold(trial: Trial): void {
  trial.providerLease = FREE;
  trial.targetLease = FREE;
}

function isNamed({ name, provider }: Target, wish: string): boolean {
  return wish === name || wish === provider.name;
}

/** What is wished for first, the others behind it in their order. */
function wished(targets: Plan['targets'], order: readonly string[]): Plan['targets'] {
  const rank = (target: Target) => {
    const at = order.findIndex((name) => isNamed(target, name));
    return at < 0 ? order.length : at;
  };
  return targets
    .map((planned, at) => ({ planned, at }))
    .sort((a, b) => rank(a.planned.target) - rank(b.planned.target) || a.at - b.at)
    .map(({ planned }) => planned);
}

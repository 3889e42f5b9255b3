/**
 * What the routed lane asks before and after each attempt: where does this name go, with which key, and how did it end.
 * It joins the pure plan with what is known of providers, targets and keys.
 */

import { type PoolKey, type PoolKeys, settledKey } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import { mixed, textHash } from '../providers/text-hash.ts';
import type { RequestNeeds } from '../wire/request-needs.ts';
import { expectedCost, inputTokens } from './estimate.ts';
import type { Failed } from './failover.ts';
import { BARRED, type Condition, FREE, type Health } from './health.ts';
import type { ModelTraits } from './model-traits.ts';
import {
  type Homes,
  isNamed,
  type KnownTargets,
  NO_NEEDS,
  Offers,
  type TooDear,
  type Wishes,
} from './offers.ts';
import type { Pins } from './pins.ts';
import { GUESTS_MAX, type KeyPlaces, PlaceBook } from './place-book.ts';
import { type Barred, type Plan, type Planned, plan } from './plan.ts';
import { NO_PRICES, type PriceDoor } from './price-door.ts';
import {
  type Entry,
  type Resolved,
  ROUTE_DEFAULTS,
  type Route,
  type RouteTable,
  type Target,
} from './route-table.ts';
import { AUTO } from './small-models.ts';

/** One target with one of its keys: what an attempt goes to. */
export interface Trial {
  readonly target: Target;
  readonly key: PoolKey;
  /** Whether it is the one probe of its provider, of its target: FREE once it was told how it went. */
  providerLease: number;
  targetLease: number;
  /** Another one is asked in its place, so that what comes says nothing of it. */
  isRehearsal: boolean;
}

/** A plan, and why none of it may be paid for; null where that is not what is in the way. */
export interface PricedPlan extends Plan {
  readonly tooDear: TooDear | null;
}

/** A key that was told to slow down without being told for how long. */
const RATE_REST_MS = 1_000;

export class Planner implements KnownTargets {
  readonly #table: RouteTable;
  readonly #health: Health;
  readonly #poolKeys: PoolKeys;
  readonly #pins: Pins;
  readonly #prices: PriceDoor;
  readonly #places: PlaceBook;
  /** Targets of plain names by their model, of each default provider; as many, and forgotten alike. */
  readonly #plain = new Map<Provider, Map<string, Target>>();
  #turn = 0;

  /** @param described names of further targets that the configuration describes */
  constructor(
    table: RouteTable,
    health: Health,
    poolKeys: PoolKeys,
    pins: Pins,
    described: Iterable<string> = [],
    prices: PriceDoor = NO_PRICES,
  ) {
    this.#table = table;
    this.#health = health;
    this.#poolKeys = poolKeys;
    this.#pins = pins;
    this.#prices = prices;
    this.#places = new PlaceBook(health, poolKeys);
    for (const target of table.targets) this.#places.enter(target);
    for (const name of described) {
      const target = table.target(name);
      if (target !== null) this.#places.enter(target);
    }
  }

  resolve(name: string): Resolved {
    return this.#table.resolve(name);
  }

  /** @param route a route, or one target as if it were one. Wishes for what nobody knows count for nothing */
  plan(route: Route, wishes: Wishes, homes: Homes = null): PricedPlan {
    const { session } = wishes;
    const order = this.#known(wishes.order);
    const whole = this.#planned(route, wishes, homes, true);
    // Who lacks something may be wrongly said to: where nobody else is left, its provider is the one to say so.
    const isOnlyUnfit =
      whole.targets.length === 0 && route.name !== AUTO && whole.leftOut.some(isUnfit);
    const { targets, leftOut, waitMs, settings, unsure, tooDear } = isOnlyUnfit
      ? this.#planned(route, wishes, homes, false)
      : whole;
    const pinned = session === 0 ? targets : this.#pinned(targets, route, wishes);
    const surest = unsure === null ? pinned : pinned.toSorted(surerFirst(unsure));
    if (surest === whole.targets && order.length === 0) return whole;
    return {
      targets: order.length === 0 ? surest : wished(surest, order),
      leftOut,
      waitMs,
      settings,
      tooDear,
    };
  }

  #planned(
    route: Route,
    wishes: Wishes,
    homes: Homes,
    fits: boolean,
  ): PricedPlan & { readonly unsure: ReadonlySet<Target> | null } {
    const { session, seed } = wishes;
    const only = this.#known(wishes.only);
    const warm = session === 0 ? null : this.#pins.find(session);
    const offers = new Offers(this, this.#prices, route, wishes, only, homes, warm, fits);
    // A conversation is its own chance: its first turn goes to the same target on every node.
    const made = plan(route, offers, session === 0 ? seed : session);
    const { targets, leftOut, waitMs, settings } = made;
    let unsure: Set<Target> | null = null;
    for (const { target } of targets) {
      if (!offers.isUnsure(target) && !this.#isSpent(target)) continue;
      unsure ??= new Set();
      unsure.add(target);
    }
    return { targets, leftOut, waitMs, settings, unsure, tooDear: offers.tooDear(made) };
  }

  /** What is known of a target's model. */
  traits({ provider, model }: Target): ModelTraits {
    return this.#prices.traits(provider.name, model);
  }

  /** Whether a target's model goes on with an answer that it is given the beginning of; null = nobody says. */
  continues(target: Target): boolean | null {
    return this.traits(target).continuesPrefix;
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
    const only = onlyEntry(groups);
    if (only === null || 'route' in only) return true;
    return this.#places.of(only.target).keys.length > 1;
  }

  /** Whether what a request asks for has a say in where it goes: only then is it read. */
  weighs({ name, groups }: Route): boolean {
    const only = onlyEntry(groups);
    if (name === AUTO || only === null) return true;
    return 'route' in only && this.weighs(only.route);
  }

  /**
   * A conversation was answered, and what it used was told: its prompt is cached there.
   * @param session of `sessionOf`
   * @param lifeMs for how long the provider keeps it
   * @param tokens of the prompt, as the provider counted them
   */
  keep({ target, key }: Trial, session: number, lifeMs: number, tokens: number): void {
    this.#pins.keep(session, this.#places.of(target).print, key.print, lifeMs, tokens);
  }

  /**
   * How much dearer it is to send tokens anew than to have them read from the prompt's cache, in pico-dollars.
   * @param promptTokens of the whole prompt: long ones have rates of their own
   * @returns null where the target has no price
   */
  rereadPico({ provider, model }: Target, tokens: number, promptTokens: number): number | null {
    const rates = this.#prices.rates(provider.name, model, promptTokens);
    if (rates === null) return null;
    return tokens * Math.max(0, Math.max(rates.input, rates.cacheWrite) - rates.cacheRead);
  }

  /**
   * The target that has the prompt in its cache first, the others behind it in their order. What a failover moved comes
   * back only while the old cache lives too, and only where that is worth it: to a target of the same group when it is
   * cheaper, to one that is wanted more when it is not known to be dearer (P3).
   */
  #pinned(
    targets: readonly Planned[],
    route: Route,
    { session, needs }: Wishes,
  ): readonly Planned[] {
    const pin = this.#pins.find(session);
    const [wanted] = targets;
    if (pin === null || wanted === undefined) return targets;
    const home = targets.find(({ target }) => this.#places.of(target).print === pin.target);
    if (home === undefined || home === wanted) return targets;
    // What its cache is worth is in its price there (A1).
    if (route.settings.balance === 'cost' && home.group === wanted.group) return targets;
    const isCached = this.#places.of(wanted.target).print === pin.before;
    if (isCached && this.#isWorthIt(wanted, home, needs ?? NO_NEEDS)) return targets;
    return [home, ...targets.filter((planned) => planned !== home)];
  }

  /** Both have the prompt cached: whether going back is worth it. */
  #isWorthIt(wanted: Planned, home: Planned, needs: RequestNeeds): boolean {
    const [there, here] = [wanted, home].map(({ target: { provider, model } }) => {
      const rates = this.#prices.rates(provider.name, model, inputTokens(needs));
      return rates === null ? null : expectedCost(needs, rates, inputTokens(needs), true);
    });
    if (there == null || here == null) return wanted.group !== home.group;
    return wanted.group === home.group ? there < here : there <= here;
  }

  /** Whether a target could ever answer: however it is doing, and whatever is wished for. */
  mayAnswer(target: Target): boolean {
    return this.barredByKeys(target, null) === null;
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
    const places = this.#places.of(target);
    const health = this.#health;
    const own = health.state(places.target);
    let keysMs = places.keys.length === 0 ? 0 : Number.POSITIVE_INFINITY;
    for (const key of places.keys) keysMs = Math.min(keysMs, this.#keyWaitMs(key));
    return {
      state: own === 'closed' ? health.state(places.provider) : own,
      waitMs: Math.max(health.waitMs(places.target), health.waitMs(places.provider), keysMs),
      ttftMs: health.ttftMs(places.target),
    };
  }

  /**
   * Asks to try a target now.
   * @param tried keys of it that this request has tried
   * @param session a hash that keeps a conversation on one key, whose cache is warm; 0 = keys take turns
   * @param homes only keys that it allows
   * @param settled not 0: where no conversation is known, the key that always has this one's requests
   * @returns null when its breaker is open or all its other keys rest
   */
  enter(
    target: Target,
    tried: readonly PoolKey[],
    session: number,
    homes: Homes = null,
    settled = 0,
  ): Trial | null {
    const places = this.#places.of(target);
    const awake = this.#awake(target, places.keys, tried, homes);
    const chosen = this.#chosen(this.#unspent(awake), session, places.print, settled);
    if (chosen === undefined) return null;
    const providerLease = this.#health.enter(places.provider);
    if (providerLease === BARRED) return null;
    const targetLease = this.#health.enter(places.target);
    if (targetLease === BARRED) {
      this.#health.left(places.provider, providerLease);
      return null;
    }
    return { target, key: chosen.key, providerLease, targetLease, isRehearsal: false };
  }

  /**
   * What a plain name asks for. The same object as the last time: its name is put together, hashed and checked for what
   * cannot stand in a fact once, and not with each request (1 us).
   */
  plain(provider: Provider, model: string): Target {
    let targets = this.#plain.get(provider);
    if (targets === undefined) {
      targets = new Map();
      this.#plain.set(provider, targets);
    }
    const known = targets.get(model);
    if (known !== undefined) return known;
    if (targets.size >= GUESTS_MAX) targets.clear();
    const target = { name: `${provider.name}/${model}`, provider, model };
    targets.set(model, target);
    return target;
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
    return { target, key, providerLease: FREE, targetLease: FREE, isRehearsal: false };
  }

  /** Whether `enter` has a chance. */
  mayEnter(target: Target, tried: readonly PoolKey[], homes: Homes = null): boolean {
    const places = this.#places.of(target);
    if (this.#health.waitMs(places.provider) > 0 || this.#health.waitMs(places.target) > 0)
      return false;
    for (const key of places.keys) if (this.#mayTry(target, key, tried, homes)) return true;
    return false;
  }

  /** Those of a target's keys that may be tried: mostly all of them, and then no other list is made. */
  #awake(
    target: Target,
    keys: readonly KeyPlaces[],
    tried: readonly PoolKey[],
    homes: Homes,
  ): readonly KeyPlaces[] {
    for (const key of keys)
      if (!this.#mayTry(target, key, tried, homes))
        return keys.filter((one) => this.#mayTry(target, one, tried, homes));
    return keys;
  }

  #mayTry(
    { provider }: Target,
    places: KeyPlaces,
    tried: readonly PoolKey[],
    homes: Homes,
  ): boolean {
    if (tried.includes(places.key) || this.#keyWaitMs(places) > 0) return false;
    return homes === null || homes(provider, places.key);
  }

  /**
   * Its provider says that nothing is left of a limit of its key.
   * @param ms until it is whole again: a forecast, for which others go first, and nobody is refused
   */
  spent({ target, key, isRehearsal }: Trial, ms: number): void {
    const places = this.#places.of(target).keys.find((known) => known.key === key);
    if (places !== undefined && !isRehearsal) this.#health.rest(places.spent, ms);
  }

  #unspent(keys: readonly KeyPlaces[]): readonly KeyPlaces[] {
    if (keys.length < 2 || !keys.some((key) => this.#health.waitMs(key.spent) > 0)) return keys;
    const others = keys.filter((key) => this.#health.waitMs(key.spent) === 0);
    return others.length === 0 ? keys : others;
  }

  /** All keys of it that could be asked have nothing left. */
  #isSpent(target: Target): boolean {
    const { keys } = this.#places.of(target);
    for (const key of keys) if (this.#health.waitMs(key.spent) === 0) return false;
    return keys.length > 0;
  }

  /** @param ttftMs until its first content; negative = not measured */
  succeeded(trial: Trial, ttftMs: number): void {
    if (trial.isRehearsal) {
      this.left(trial);
      return;
    }
    const places = this.#places.of(trial.target);
    this.#health.succeeded(places.provider, -1, trial.providerLease);
    this.#health.succeeded(places.target, ttftMs, trial.targetLease);
    wasTold(trial);
  }

  /** @param waitMs what the provider asked for; null = nothing */
  failed(trial: Trial, { reason, blames }: Failed, waitMs: number | null): void {
    if (blames === 'node' || trial.isRehearsal) {
      this.left(trial);
      return;
    }
    const { target, key, providerLease, targetLease } = trial;
    const places = this.#places.of(target);
    const keyPlaces = places.keys.find((known) => known.key === key);
    if (reason === 'rate_limit' && keyPlaces !== undefined)
      this.#health.rest(keyPlaces.ofModel, waitMs ?? RATE_REST_MS);
    else if (reason === 'auth' && keyPlaces !== undefined)
      this.#health.rest(keyPlaces.ofKey, waitMs ?? this.#health.settings.refusedKeyMs);
    if (blames === 'provider') this.#health.failed(places.provider, providerLease);
    // It was reached, whatever it said.
    else this.#health.succeeded(places.provider, -1, providerLease);
    // What is wrong with a key or with a request says nothing of the model.
    if (blames === 'target') {
      this.#health.failed(places.target, targetLease);
      // Whoever says how long it wants to be left alone is believed, whatever its status.
      if (waitMs !== null) this.#health.rest(places.target, waitMs);
    } else this.#health.left(places.target, targetLease);
    wasTold(trial);
  }

  /** An attempt ended without saying anything of its target. */
  left(trial: Trial): void {
    const places = this.#places.of(trial.target);
    this.#health.left(places.provider, trial.providerLease);
    this.#health.left(places.target, trial.targetLease);
    wasTold(trial);
  }

  /** Until a pool key of a provider may be asked again, in milliseconds, whatever the model; 0 = now. */
  keyRestMs({ name }: Provider, key: PoolKey): number {
    return this.#health.waitMs(this.#places.ofKey(name, key));
  }

  /** How a provider is doing by itself, its targets apart. */
  conditionOf({ name }: Provider): Condition {
    return this.#health.condition(this.#places.ofProvider(name));
  }

  /** An operator's word that a target is well: its breaker closes, and what rests of its keys for it is awake. */
  reset(target: Target): void {
    const { target: own, keys } = this.#places.of(target);
    this.#health.reset(own);
    for (const { ofModel, spent } of keys)
      for (const at of [ofModel, spent]) this.#health.reset(at);
  }

  /** The same of a provider, and of everything of it that the configuration names. */
  resetProvider(provider: Provider): void {
    this.#health.reset(this.#places.ofProvider(provider.name));
    for (const key of this.#poolKeys.of(provider))
      this.#health.reset(this.#places.ofKey(provider.name, key));
    for (const target of this.#table.targets) if (target.provider === provider) this.reset(target);
  }

  printOf(target: Target): number {
    return this.#places.of(target).print;
  }

  barredByKeys(target: Target, homes: Homes): Barred | null {
    const { keys } = this.#places.of(target);
    if (keys.length === 0) return 'no_pool_key';
    if (homes === null) return null;
    return keys.some(({ key }) => homes(target.provider, key)) ? null : 'other_account';
  }

  /** The key that has the prompt cached, else the one that has always this one's, or this session's. */
  #chosen(
    keys: readonly KeyPlaces[],
    session: number,
    target: number,
    settled: number,
  ): KeyPlaces | undefined {
    if (keys.length < 2) return keys[0];
    const pin = session === 0 ? null : this.#pins.find(session);
    const home = pin?.target === target ? keys.find(({ key }) => key.print === pin.key) : undefined;
    if (home !== undefined) return home;
    const seed = settled === 0 ? session : settled;
    if (seed === 0) return keys[this.#turn++ % keys.length];
    return settledKey(keys, seed, ({ key }) => key.print) ?? undefined;
  }

  #keyWaitMs({ ofModel, ofKey }: KeyPlaces): number {
    return Math.max(this.#health.waitMs(ofModel), this.#health.waitMs(ofKey));
  }
}

function isUnfit({ leftOut }: Planned): boolean {
  return leftOut?.startsWith('lacks_') === true;
}

/** @returns null where there are more, or none */
function onlyEntry(groups: Route['groups']): Entry | null {
  const [group] = groups;
  return groups.length === 1 && group?.length === 1 ? (group[0] ?? null) : null;
}

/** Within a group, what is known to fit, and to have something left, comes first. The sort is stable. */
function surerFirst(unsure: ReadonlySet<Target>): (a: Planned, b: Planned) => number {
  return (a, b) =>
    a.group === b.group ? Number(unsure.has(a.target)) - Number(unsure.has(b.target)) : 0;
}

/** What is told of it from here on is no probe's. */
function wasTold(trial: Trial): void {
  trial.providerLease = FREE;
  trial.targetLease = FREE;
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

/**
 * The plan: which targets a request goes to, in which order, and why each stands there or was left out. A pure function of
 * the route, what is known of its targets, and one number of chance, so that `sluice explain` and a real run agree.
 */

import type { Lack } from './estimate.ts';
import type { Condition } from './health.ts';
import type { Entry, Route, RouteSettings, Target } from './route-table.ts';

/** What the plan asks of the world; the same answers make the same plan. */
export interface PlanView {
  /** Null: nothing is known, which is taken for good. */
  condition(target: Target): Condition | null;
  /** Whether the caller may use the target at all, and the gateway has a key for it. */
  barred(target: Target): Barred | null;
  /** What the request will cost there, for `balance = "cost"`; null = unpriced, last. */
  price(target: Target): number | null;
}

export type Barred =
  | 'no_pool_key'
  | 'not_allowed'
  | 'not_wished'
  | 'other_wire'
  | 'other_account'
  | 'unpriced'
  | 'too_dear'
  | `lacks_${Lack}`;

/** One target and its place, or why it has none. */
export interface Planned {
  readonly target: Target;
  /** The names of the routes that led here, outermost first. */
  readonly through: readonly string[];
  /** Which group of the outermost route: 0 is what was wanted, the others are fallbacks. */
  readonly group: number;
  /** Null: it is tried. */
  readonly leftOut: LeftOut | null;
  /** For what is left out: milliseconds until it may be tried. */
  readonly waitMs: number;
}

type LeftOut = Barred | 'breaker_open' | 'resting';

export interface Plan {
  /** To be tried, in this order; each target once. */
  readonly targets: readonly Planned[];
  readonly leftOut: readonly Planned[];
  /** The least wait among what only time leaves out, in milliseconds; 0 when there is none. */
  readonly waitMs: number;
  readonly settings: RouteSettings;
}

/**
 * @param seed 32 bits of chance, the request's own
 */
export function plan(route: Route, view: PlanView, seed: number): Plan {
  const fixed = fixedOrder(route);
  if (fixed?.every(({ target }) => isTried(target, view)) === true)
    return { targets: fixed, leftOut: NONE, waitMs: 0, settings: route.settings };
  const placed = placedIn(route, view, seed);
  const leftOut = placed.filter((planned) => planned.leftOut !== null);
  const waits = leftOut.filter(({ waitMs }) => waitMs > 0).map(({ waitMs }) => waitMs);
  return {
    targets: placed.filter((planned) => planned.leftOut === null),
    leftOut,
    waitMs: waits.length === 0 ? 0 : Math.min(...waits),
    settings: route.settings,
  };
}

const NONE: readonly Planned[] = [];

/** Nothing is known of anybody. */
const UNKNOWN: PlanView = { condition: () => null, barred: () => null, price: () => null };

/** By route, which is made once for a configuration. */
const FIXED = new WeakMap<Route, readonly Planned[] | null>();

/**
 * All targets of a route in the order in which they always stand; null where chance, prices or speed have a say. Most routes
 * have one, and most of the time nothing of it is left out: then it is the plan.
 */
function fixedOrder(route: Route): readonly Planned[] | null {
  const known = FIXED.get(route);
  if (known !== undefined) return known;
  const made = isFixed(route, new Set()) ? placedIn(route, UNKNOWN, 0) : null;
  FIXED.set(route, made);
  return made;
}

function isFixed({ groups, settings }: Route, seen: Set<Route>): boolean {
  return groups.every(
    (entries) =>
      (entries.length < 2 || settings.balance === 'order') &&
      entries.every((entry) => {
        if ('target' in entry || seen.has(entry.route)) return true;
        seen.add(entry.route);
        return isFixed(entry.route, seen);
      }),
  );
}

function isTried(target: Target, view: PlanView): boolean {
  return view.barred(target) === null && (view.condition(target)?.waitMs ?? 0) === 0;
}

function placedIn(route: Route, view: PlanView, seed: number): readonly Planned[] {
  const chance = new Chance(seed);
  const placed: Planned[] = [];
  const seen = new Set<string | Route>();
  for (const [group, entries] of route.groups.entries())
    place(entries, route, [route.name], group, view, chance, seen, placed);
  return placed;
}

function place(
  entries: readonly Entry[],
  route: Route,
  through: readonly string[],
  group: number,
  view: PlanView,
  chance: Chance,
  seen: Set<string | Route>,
  placed: Planned[],
): void {
  for (const entry of ordered(entries, route.settings, view, chance)) {
    if ('route' in entry) {
      // Whatever is in it has its place; going through it again for each way to it takes seconds in a tangle.
      if (seen.has(entry.route)) continue;
      seen.add(entry.route);
      for (const inner of entry.route.groups)
        place(
          inner,
          entry.route,
          [...through, entry.route.name],
          group,
          view,
          chance,
          seen,
          placed,
        );
      continue;
    }
    const { target } = entry;
    if (seen.has(target.name)) continue;
    seen.add(target.name);
    placed.push(judged(target, through, group, view));
  }
}

function judged(
  target: Target,
  through: readonly string[],
  group: number,
  view: PlanView,
): Planned {
  const barred = view.barred(target);
  if (barred !== null) return { target, through, group, leftOut: barred, waitMs: 0 };
  const condition = view.condition(target);
  const waitMs = condition?.waitMs ?? 0;
  const waits = condition?.state === 'closed' ? 'resting' : 'breaker_open';
  return { target, through, group, leftOut: waitMs === 0 ? null : waits, waitMs };
}

function ordered(
  entries: readonly Entry[],
  { balance }: RouteSettings,
  view: PlanView,
  chance: Chance,
): readonly Entry[] {
  if (entries.length < 2 || balance === 'order') return entries;
  if (balance === 'cost') {
    const known = new Map<Route, number>();
    return byKey(entries, (entry) => priceOf(entry, view, known));
  }
  // An exponential of each weight's rate: the least of them comes first with exactly its share (Efraimidis, Spirakis 2006).
  if (balance === 'weight')
    return byKey(entries, ({ weight }) => -Math.log(1 - chance.next()) / weight);
  return fasterFirst(
    byKey(entries, () => chance.next()),
    view,
  );
}

/**
 * The less slow of two random choices, the others behind it as chance has them: always taking the fastest sends a whole
 * node to one target until it is the slowest. What was never measured counts as fast, so that it is measured.
 */
function fasterFirst(shuffled: readonly Entry[], view: PlanView): readonly Entry[] {
  const [first, second, ...rest] = shuffled;
  if (first === undefined || second === undefined) return shuffled;
  return ttftOf(first, view) <= ttftOf(second, view)
    ? [first, second, ...rest]
    : [second, first, ...rest];
}

function ttftOf(entry: Entry, view: PlanView): number {
  return 'route' in entry ? 0 : (view.condition(entry.target)?.ttftMs ?? 0);
}

/** Of a route inside a route: its cheapest target's. */
function priceOf(entry: Entry, view: PlanView, known: Map<Route, number>): number {
  if ('target' in entry) return view.price(entry.target) ?? Number.POSITIVE_INFINITY;
  const before = known.get(entry.route);
  if (before !== undefined) return before;
  const inside = entry.route.groups.flat();
  const price = Math.min(...inside.map((inner) => priceOf(inner, view, known)));
  known.set(entry.route, price);
  return price;
}

function byKey(entries: readonly Entry[], key: (entry: Entry) => number): readonly Entry[] {
  return entries
    .map((entry, at) => ({ entry, key: key(entry), at }))
    .sort((a, b) => (a.key === b.key ? a.at - b.at : a.key - b.key))
    .map(({ entry }) => entry);
}

/** Numbers from 0 up to 1 from one seed (mulberry32): the same seed, the same plan. */
class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}

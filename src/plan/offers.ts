/**
 * What one request is at each target: whether it may go there, fits, and what it costs. The plan's view of the world, made for
 * one plan; what is dear to know is worked out for whoever is asked about, once.
 */

import type { CallerWire } from '../dialect/wires.ts';
import type { PoolKey } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import type { Dialect } from '../rejection.ts';
import { needsOfSize, type RequestNeeds } from '../wire/request-needs.ts';
import { expectedCost, highestCost, inputTokens, inputTokensHigh, unfitness } from './estimate.ts';
import type { Condition } from './health.ts';
import type { Barred, Plan, PlanView } from './plan.ts';
import type { PriceDoor } from './price-door.ts';
import type { Route, Target } from './route-table.ts';
import { AUTO } from './small-models.ts';

/** Which targets somebody may use. */
interface Permission {
  /** @param name `provider/model` */
  allows(name: string): boolean;
}

/** What only this request asks of a plan. */
export interface Wishes {
  /** What its key may ask for; null = everything. */
  readonly permission?: Permission | null;
  /** What a target's provider speaks, so that the body can go as it came. */
  readonly dialect: Dialect;
  /** What its body is written in, where that is known: not all of a dialect's providers speak all of its wires. */
  readonly wire?: CallerWire | null;
  /** It may go to who speaks another wire too, written anew; of vectors, to who has a wire of its own, which has them. */
  readonly mayTranslate?: boolean | 'vectors';
  /** Providers or targets, in the order in which they are wanted; empty = as the route has them. */
  readonly order: readonly string[];
  /** Nothing but these; empty = no wish. */
  readonly only: readonly string[];
  /** What `sessionOf` says of its conversation; 0 = it has none that is known. */
  readonly session: number;
  /** What it asks of a model; null: nothing is known, and every model fits. */
  readonly needs: RequestNeeds | null;
  /** Pico-dollars that it may cost at most; 0 = no wish. */
  readonly maxCostPico: number;
  readonly seed: number;
}

/** Where a request may go that names what is stored somewhere; null: anywhere. */
export type Homes = ((provider: Provider, key: PoolKey) => boolean) | null;

/** What the request may cost at targets that are left out because of that, in pico-dollars. */
export interface TooDear {
  readonly limitPico: number;
  /** At the target that is wanted first. */
  readonly wantedPico: number;
  /** At the cheapest one of all. */
  readonly cheapestPico: number;
}

/** What is known of targets, whoever asks. */
export interface KnownTargets {
  condition(target: Target): Condition;
  /** Tells targets apart in pins. */
  printOf(target: Target): number;
  /** Why a target cannot be asked for want of a key; null when it can. */
  barredByKeys(target: Target, homes: Homes): Barred | null;
}

/** One request at one target. */
interface Offer {
  /** Pico-dollars; null where no price has a say, or there is none. */
  readonly highest: number | null;
  readonly barred: Barred | null;
  /** It is not known to have all that is asked for: others first. */
  readonly isUnsure: boolean;
}

/** As nearly all are: one object for them. */
const FITS: Offer = { highest: null, barred: null, isUnsure: false };

/** What a request is taken for of which nothing is known: a thousand tokens, and an answer of the usual size. */
export const NO_NEEDS: RequestNeeds = needsOfSize(4_096);

/** Providers that answer `n` times at once on their OpenAI wire; others refuse it, or nobody says. */
const TAKES_CHOICES: ReadonlySet<string> = new Set(['openai', 'azure']);

export class Offers implements PlanView {
  readonly #targets: KnownTargets;
  readonly #prices: PriceDoor;
  readonly #wishes: Wishes;
  readonly #only: readonly string[];
  readonly #homes: Homes;
  readonly #warm: { readonly target: number; readonly tokens: number } | null;
  /** What is not known counts as lacking (A3), and what has no price is out (A2). */
  readonly #isStrict: boolean;
  readonly #limitPico: number;
  readonly #fits: boolean;
  /** Else nothing that is known of prices and models has a say, and it is not looked up. */
  readonly #isWeighed: boolean;
  /** Of those that are not FITS. */
  #known: Map<Target, Offer> | null = null;

  /**
   * @param only as `Wishes` has it, without what nobody knows
   * @param warm where its prompt is cached, and how much of it
   * @param fits false: what a target lacks is no reason to leave it out
   */
  constructor(
    targets: KnownTargets,
    prices: PriceDoor,
    route: Route,
    wishes: Wishes,
    only: readonly string[],
    homes: Homes,
    warm: { readonly target: number; readonly tokens: number } | null,
    fits: boolean,
  ) {
    this.#targets = targets;
    this.#prices = prices;
    this.#wishes = wishes;
    this.#only = only;
    this.#homes = homes;
    this.#warm = warm;
    this.#isStrict = route.name === AUTO;
    this.#limitPico = leastLimit(route.settings.maxCostPico, wishes.maxCostPico);
    this.#fits = fits;
    this.#isWeighed = wishes.needs !== null || this.#limitPico > 0 || this.#isStrict;
  }

  condition(target: Target): Condition {
    return this.#targets.condition(target);
  }

  barred(target: Target): Barred | null {
    const { permission = null } = this.#wishes;
    if (permission?.allows(target.name) === false) return 'not_allowed';
    const only = this.#only;
    if (only.length > 0 && !only.some((name) => isNamed(target, name))) return 'not_wished';
    if (!this.#mayBeWritten(target) && !this.#speaksItsWire(target)) return 'other_wire';
    const byKeys = this.#targets.barredByKeys(target, this.#homes);
    return byKeys ?? (this.#isWeighed ? this.#offer(target).barred : null);
  }

  #mayBeWritten({ provider: { nativeWire } }: Target): boolean {
    const { mayTranslate = false } = this.#wishes;
    return mayTranslate === 'vectors' ? nativeWire !== null : mayTranslate;
  }

  #speaksItsWire({ provider: { dialect, wires } }: Target): boolean {
    const { wire = null } = this.#wishes;
    if (dialect !== this.#wishes.dialect) return false;
    return wire === null ? wires.length > 0 : wires.includes(wire);
  }

  price(target: Target): number | null {
    const warm = this.#warm;
    const isWarm = warm !== null && warm.target === this.#targets.printOf(target);
    const needs = this.#wishes.needs ?? NO_NEEDS;
    return expectedAt(this.#prices, target, needs, isWarm ? warm.tokens : 0);
  }

  /** Targets that are not known to have all that is asked for. */
  isUnsure(target: Target): boolean {
    return this.#known?.get(target)?.isUnsure === true;
  }

  /** Null where anything is left to try, or something else than the limit is in the way. */
  tooDear({ targets, leftOut }: Plan): TooDear | null {
    if (targets.length > 0 || this.#limitPico === 0) return null;
    const dear = leftOut.filter(({ leftOut: why }) => why === 'too_dear');
    if (dear.length === 0 || leftOut.some(({ waitMs }) => waitMs > 0)) return null;
    const costs = dear.map(({ target }) => this.#known?.get(target)?.highest ?? 0);
    return {
      limitPico: this.#limitPico,
      wantedPico: costs[0] ?? 0,
      cheapestPico: Math.min(...costs),
    };
  }

  #offer(target: Target): Offer {
    const known = this.#known?.get(target);
    if (known !== undefined) return known;
    const made = this.#made(target);
    if (made !== FITS) {
      this.#known ??= new Map();
      this.#known.set(target, made);
    }
    return made;
  }

  #made({ provider, model }: Target): Offer {
    const { needs } = this.#wishes;
    const traits = this.#prices.traits(provider.name, model);
    const unfit =
      needs === null ? null : unfitness(needs, traits, TAKES_CHOICES.has(provider.name));
    const isOut = unfit !== null && (this.#isStrict || (unfit.isSaid && this.#fits));
    // Every request needs a window: one that is not known would move a target behind the others each time.
    const isUnsure = unfit !== null && !isOut && unfit.lack !== 'context';
    if (isOut) return { highest: null, barred: `lacks_${unfit.lack}`, isUnsure };
    // Prices are looked up only where they have a say.
    if (!this.#isStrict && this.#limitPico === 0)
      return isUnsure ? { highest: null, barred: null, isUnsure } : FITS;
    const asked = needs ?? NO_NEEDS;
    const high = this.#prices.rates(provider.name, model, inputTokensHigh(asked, traits));
    const usual = this.#prices.rates(provider.name, model, inputTokens(asked));
    if (high === null || usual === null) return { highest: null, barred: 'unpriced', isUnsure };
    const highest = highestCost(asked, high, traits);
    const isDear = this.#limitPico > 0 && highest > this.#limitPico;
    return { highest, barred: isDear ? 'too_dear' : null, isUnsure };
  }
}

/** What a request is expected to cost there, in pico-dollars; null = unpriced. */
function expectedAt(
  prices: PriceDoor,
  { provider, model }: Target,
  needs: RequestNeeds,
  warmTokens: number,
): number | null {
  const rates = prices.rates(provider.name, model, inputTokens(needs));
  if (rates === null) return null;
  // Anthropic caches what is marked, and nothing else (docs.anthropic.com/en/docs/build-with-claude/prompt-caching).
  const caches = provider.dialect !== 'anthropic' || needs.marksCache;
  return expectedCost(needs, rates, warmTokens, caches);
}

/** Of two limits, of which 0 is none. */
function leastLimit(one: number, other: number): number {
  return one === 0 || other === 0 ? Math.max(one, other) : Math.min(one, other);
}

/** Whether a wish for a provider or a target means this one. */
export function isNamed({ name, provider }: Target, wish: string): boolean {
  return wish === name || wish === provider.name;
}

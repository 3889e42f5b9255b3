/**
 * Where a request goes, and why: what `sluice explain` prints and the admin API tells. It is planned by the planner that plans
 * requests, so that what is explained is what runs. No provider is asked.
 */

import { candidatesOf } from '../budget/alternatives.ts';
import type { Config } from '../config/config-document.ts';
import { Refusal } from '../dialect/losses.ts';
import type { ReadAsked } from '../dialect/translate.ts';
import { type TargetWire, writtenWire } from '../dialect/wires.ts';
import { highestCost, inputTokensHigh } from '../plan/estimate.ts';
import type { Plans } from '../plan/open-planner.ts';
import type { Planned } from '../plan/plan.ts';
import type { Planner, PricedPlan } from '../plan/planner.ts';
import type { PriceDoor } from '../plan/price-door.ts';
import type { Route, StreamSafety, Target } from '../plan/route-table.ts';
import { rateText, usdText } from '../prices/money.ts';
import type { PriceBook } from '../prices/price-book.ts';
import type { PoolKeys } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import { REJECTIONS, type RejectionCode } from '../rejection.ts';
import { loadJsonScanner } from '../wire/json-scanner.ts';
import { NamedTexts } from '../wire/named-texts.ts';
import { needsOf, needsOfSize, type RequestNeeds } from '../wire/request-needs.ts';
import { RequestOutline } from '../wire/request-outline.ts';
import { REQUEST_STATE, SEALED, TOOL_TYPE } from '../wire/state-places.ts';
import { askedIn, readAs } from './asked-there.ts';
import { ExplainedKey, type Holder, type KnownBudgets } from './explained-key.ts';
import { type KnownPurses, limitLines } from './explained-limits.ts';

/** A gateway's configuration, ready to plan. */
export interface Explaining<Kind extends Planner = Planner> {
  readonly config: Config;
  readonly providers: readonly Provider[];
  readonly keys: PoolKeys;
  readonly book: PriceBook;
  readonly plans: Plans<Kind>;
  readonly purses: KnownPurses;
  readonly budgets: KnownBudgets;
}

/** What is to be explained. */
export interface ExplainWish {
  readonly model: string;
  readonly dialect: 'openai' | 'anthropic';
  readonly seed: number;
  /** A request's body; null: nothing is known of it. */
  readonly body: Buffer | null;
  /** Where it is sent; absent or null: its body tells. */
  readonly path?: string | null;
  /** Nothing may be lost on the way to another wire, whatever the route and the policy say. */
  readonly isStrict?: boolean;
  /** 0 = off. */
  readonly maxCostPico: number;
  /** Null: for nobody in particular. */
  readonly holder: Holder | null;
}

export interface ExplainedTarget {
  readonly planned: Planned;
  /** Where it is asked: `https://api.openai.com:443`. */
  readonly origin: string;
  /** What its price is, in words. */
  readonly price: string;
  /** The most that the request can cost there, in USD; null: that is not known. */
  readonly mostUsd: string | null;
  /** What becomes of a request that is written anew for it; null: it goes as it came. */
  readonly translation: string | null;
}

export interface Explained {
  readonly kind: 'route' | 'target' | 'plain' | 'unknown';
  /** Null where there is no plan. */
  readonly route: Route | null;
  /** Null: it would be served. */
  readonly refused: {
    readonly status: number;
    readonly code: RejectionCode;
    readonly says: string;
  } | null;
  /** In the order in which they are tried, what is left out behind them. */
  readonly targets: readonly ExplainedTarget[];
  /** What else holds, a sentence each. */
  readonly notes: readonly string[];
  readonly budgets: readonly string[];
  readonly limits: readonly string[];
}

/**
 * @param ready is given the names of all targets before they are planned: who has to be asked how they are doing asks then
 * @throws Error with one line when the body is no JSON
 */
export async function explained<Kind extends Planner>(
  gateway: Explaining<Kind>,
  wish: ExplainWish,
  ready: (planner: Kind, names: readonly string[]) => Promise<void> = async () => {},
): Promise<Explained> {
  const { config, providers, plans } = gateway;
  const { model, dialect, body } = wish;
  const { planner } = plans;
  const needs = body === null ? null : needsIn(body, dialect);
  const key = keyOf(gateway, wish);
  const nothing = { route: null, targets: [], notes: [], budgets: [], limits: [] };
  const resolved = planner.resolve(model);
  if (resolved.kind === 'unknown') {
    const says = `nearest are ${resolved.nearest.join(', ')}`;
    return { ...nothing, kind: 'unknown', refused: refusalFor('unknown_model', says) };
  }
  if (resolved.kind === 'plain') {
    const name = defaultOf(dialect);
    const provider = providers.find((row) => row.name === name);
    const target = provider === undefined ? [] : [planner.plain(provider, model)];
    return {
      ...nothing,
      kind: 'plain',
      refused: lacksKey(name, gateway) ? refusalFor('no_pool_key', `${name} has none`) : null,
      notes: [`no route and no provider in front: ${name}/${model}, the body as it came`],
      ...(await pursesOf(gateway, key, body, target)),
    };
  }
  const route = resolved.kind === 'route' ? resolved.route : planner.routeOf(resolved.target);
  const asked = askedIn(dialect, body, wish.path ?? null);
  const wishes = {
    dialect,
    mayTranslate: asked.wire === 'openai-embeddings' ? ('vectors' as const) : true,
    order: [],
    only: [],
    session: 0,
    needs,
    maxCostPico: wish.maxCostPico,
    seed: wish.seed,
    permission: key?.policy.models ?? null,
  };
  const unknowing = planner.plan(route, wishes);
  await ready(
    planner,
    [...unknowing.targets, ...unknowing.leftOut].map((planned) => planned.target.name),
  );
  const made = planner.plan(route, wishes);
  const read = body === null ? null : readAs(asked, body);
  const isStrict = wish.isStrict === true || route.settings.isStrict || key?.policy.isStrict;
  const targets = [...made.targets, ...made.leftOut].map((planned): ExplainedTarget => {
    const { provider, model } = planned.target;
    const wire = writtenWire(asked.wire, provider);
    const cost = costAt(planned.target, needs, plans.prices);
    return {
      planned,
      origin: originOf(provider.authority),
      ...cost,
      translation: wire === null ? null : lossesAt(provider, model, wire, read, !isStrict),
    };
  });
  return {
    kind: resolved.kind,
    route,
    refused: made.targets.length > 0 ? null : refusalFor(refusalOf(made), 'nothing is left to try'),
    targets,
    notes: [
      ...routeNotes(route),
      ...(body === null ? [] : [...boundBy(body), ...keptOf(body, config.routing.replayMaxBytes)]),
    ],
    ...(await pursesOf(
      gateway,
      key,
      body,
      made.targets.map((planned) => planned.target),
    )),
  };
}

function keyOf<Kind extends Planner>(
  { config, keys, book, plans, budgets }: Explaining<Kind>,
  { holder }: ExplainWish,
): ExplainedKey | null {
  if (holder === null) return null;
  const { table, prices } = plans;
  const canonical = (name: string): string => table.target(name)?.name ?? name;
  const candidates = candidatesOf(table.targets, (provider) => keys.of(provider).length > 0);
  return new ExplainedKey(config, book, prices, canonical, candidates, holder, budgets);
}

async function pursesOf<Kind extends Planner>(
  { purses }: Explaining<Kind>,
  key: ExplainedKey | null,
  body: Buffer | null,
  targets: readonly Target[],
): Promise<Pick<Explained, 'budgets' | 'limits'>> {
  if (key === null) return { budgets: [], limits: [] };
  const asked = targets.map(({ name, provider }) => ({ name, provider: provider.name }));
  return {
    budgets: key.lines(loadJsonScanner(), body, targets),
    limits: await limitLines(key.policy.limits, asked, purses),
  };
}

function routeNotes({ settings }: Route): readonly string[] {
  const { firstContentTimeoutMs, deadlineMs, fallbackOn, retries, streamSafety } = settings;
  const safety = STREAM_SAFETY[streamSafety];
  return [
    `the next one answers on ${fallbackOn.join(', ')}; ${retries} more ${retries === 1 ? 'try' : 'tries'} of one before a fallback`,
    `first content of a stream within ${limit(firstContentTimeoutMs)}, all attempts within ${limit(deadlineMs)}`,
    ...(safety === '' ? [] : [safety]),
  ];
}

const STREAM_SAFETY: Readonly<Record<StreamSafety, string>> = {
  relay: '',
  hold: 'a stream is held to its end before the caller sees its first byte',
  resume: 'a text that breaks behind its first word goes on at the next target that can',
};

/** What is kept of a body for another target: above the bound nobody else can be asked (F12). */
function keptOf({ length }: Buffer, maxBytes: number): readonly string[] {
  return maxBytes === 0 || length <= maxBytes
    ? []
    : [
        `the body has ${length} bytes, more than replay_max_bytes: it goes to the first target alone`,
      ];
}

/**
 * What becomes of a request that is written anew for a target of another wire.
 * @param read null: it is not known
 * @param loses false: nothing may be lost on the way
 */
function lossesAt(
  provider: Provider,
  model: string,
  wire: TargetWire,
  read: ReadAsked | Refusal | null,
  loses: boolean,
): string {
  if (read === null) return 'translated';
  const asked = { provider: provider.name, model, asksForUsage: true };
  const written = read instanceof Refusal ? read : read.writtenFor(wire, asked);
  if (written instanceof Refusal) return `passed over: ${written.message}`;
  const lost = [...written.dropped, ...written.adjusted];
  if (lost.length === 0) return 'translated';
  const names = lost.join(', ');
  return loses ? `translated without ${names}` : `passed over: strict, and it would lose ${names}`;
}

const SEALS: ReadonlySet<string> = new Set(Object.values(SEALED));

/** What of a body keeps it at one account, whatever the plan says. */
function boundBy(body: Buffer): readonly string[] {
  const named = new Set<string>();
  let isSealed = false;
  const texts = new NamedTexts(REQUEST_STATE, {
    onText(place, text) {
      if (SEALS.has(place)) isSealed = true;
      else if (place !== TOOL_TYPE && text !== '') named.add(place);
    },
  });
  texts.push(body);
  const lines = [...named].map(
    (place) =>
      `the body names a ${place}: it goes to the account that made it and to no other one; 404 state_not_found where that was not for this tenant`,
  );
  const sealed =
    'the body holds what only the account that made it can open: it stays with the first target and its key, in a plan of several wires with the first one of its maker, and others get the conversation without it';
  return isSealed ? [...lines, sealed] : lines;
}

/** As the routed lane tells it. */
function refusalOf({ tooDear, leftOut }: PricedPlan): RejectionCode {
  if (tooDear !== null) return 'cost_limit';
  const isOnly = (why: string): boolean => leftOut.every((planned) => planned.leftOut === why);
  if (isOnly('unpriced')) return 'unpriced_model';
  return isOnly('no_pool_key') ? 'no_pool_key' : 'no_target';
}

function refusalFor(code: RejectionCode, says: string): Explained['refused'] {
  return { status: REJECTIONS[code].status, code, says };
}

/** @throws Error with one line */
function needsIn(body: Buffer, dialect: 'openai' | 'anthropic'): RequestNeeds {
  const outline = RequestOutline.of(loadJsonScanner(), body);
  if (outline === null) throw new SyntaxError('The body is not JSON.');
  return needsOf(outline, dialect === 'anthropic');
}

function costAt(
  { provider, model }: Target,
  needs: RequestNeeds | null,
  prices: PriceDoor,
): Pick<ExplainedTarget, 'price' | 'mostUsd'> {
  const asked = needs ?? needsOfSize(0);
  const traits = prices.traits(provider.name, model);
  const rates = prices.rates(provider.name, model, inputTokensHigh(asked, traits));
  if (rates === null) return { price: 'unpriced', mostUsd: null };
  if (needs !== null) {
    const most = usdText(highestCost(asked, rates, traits));
    return { price: `at most $${most}`, mostUsd: most };
  }
  const price = `$${rateText(rates.input)} in, $${rateText(rates.output)} out for a million tokens`;
  return { price, mostUsd: null };
}

function lacksKey<Kind extends Planner>(
  name: string,
  { providers, config: { poolKeys } }: Explaining<Kind>,
): boolean {
  const needsKey = providers.some((row) => row.name === name && row.authScheme !== 'none');
  return needsKey && !poolKeys.has(name);
}

/** Whom a name goes to that says nothing of it. */
function defaultOf(dialect: string): string {
  return dialect === 'anthropic' ? 'anthropic' : 'openai';
}

function originOf({ host, port, tls }: Provider['authority']): string {
  return `${tls ? 'https' : 'http'}://${host}:${port}`;
}

function limit(ms: number): string {
  return ms === 0 ? 'any time' : `${ms / 1_000} s`;
}

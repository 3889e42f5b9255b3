/** What a routed request begins with, when its model is known: its first target and key, or why it goes nowhere. */

import type { Routed } from '../admit/admission.ts';
import type { Maker } from '../dialect/conversation.ts';
import { makerAt } from '../dialect/seals.ts';
import { type AskedWire, writtenWire } from '../dialect/wires.ts';
import type { Homes } from '../plan/offers.ts';
import type { Plan, Planned } from '../plan/plan.ts';
import type { Planner, Trial } from '../plan/planner.ts';
import type { PrefixWatch } from '../plan/prefix-watch.ts';
import type { Resolved, Route } from '../plan/route-table.ts';
import { notAllowed } from '../policy/policy-refusals.ts';
import type { Provider } from '../providers/providers.ts';
import type { Rejection } from '../rejection.ts';
import type { WorkerMetrics } from '../settle/metrics.ts';
import { STATE_ELSEWHERE, type StateClaim } from '../stored/state-claim.ts';
import { tenantSeed } from '../stored/state-table.ts';
import { fieldValue } from '../wire/fields.ts';
import type { JsonScanner } from '../wire/json-scanner.ts';
import type { Asked } from './attempt-terms.ts';
import type { Rehearsal, Rehearsed } from './rehearsal.ts';
import { NOTHING_READ, type RequestReading, readRequest } from './request-reading.ts';
import { callerWire, RequestTranslation, type Translation } from './request-translation.ts';
import type { RoutedBody } from './routed-body.ts';
import { noPoolKey, noTarget, notPaidFor, unknownModel, untranslated } from './routed-refusals.ts';
import { RoutedWalk, type WalkContext } from './routed-walk.ts';
import { type CountContext, type CountedTokens, countedAt, isCount } from './token-count.ts';
import { neverKept } from './unkept-answers.ts';

/** What beginning takes, for all requests of a worker. */
export interface StartContext extends WalkContext, CountContext {
  readonly metrics: WorkerMetrics;
  readonly scanner: JsonScanner;
  readonly prefixes: PrefixWatch;
  /** Null where no faults are played. */
  readonly rehearsal: Rehearsal | null;
}

/** One request as it is when its model is known. */
export interface Starting {
  readonly asked: Asked;
  readonly routed: Routed;
  readonly body: RoutedBody;
  /** What it names of what is stored. */
  readonly claim: StateClaim | null;
  /** Else its body goes on behind what is here. */
  readonly isWhole: boolean;
}

/** Where a request begins. */
export interface RoutedStart {
  readonly isWhole: boolean;
  readonly trial: Trial;
  /** Null for a plain name: nothing is wished for but the default provider. */
  readonly route: Route | null;
  /** Only of a name that has a plan. */
  readonly walk: RoutedWalk | null;
  readonly plan: Plan | null;
  readonly reading: RequestReading;
  readonly rehearsed: Rehearsed | null;
  /** Where a target may speak another wire than the caller; null: none does. */
  readonly translation: Translation | null;
}

/** @returns what is answered here, where nobody is asked */
export function routedStart(
  context: StartContext,
  starting: Starting,
): RoutedStart | CountedTokens | Rejection {
  const { routed, body, claim, isWhole } = starting;
  const { planner } = context;
  const name = body.model ?? '';
  const resolved = resolvedName(planner, routed, name);
  const fault = body.faultOf(isWhole, resolved.kind === 'plain') ?? claim?.fault ?? null;
  if (fault !== null) return unkept(starting, resolved, fault) ?? fault;
  if (resolved.kind === 'unknown') return unknownModel(name, resolved.nearest);
  const refused = refusalOf(routed, name, resolved);
  if (refused !== null) return refused;
  if (resolved.kind === 'plain') return plainStart(planner, starting, name);
  const route = resolved.kind === 'route' ? resolved.route : planner.routeOf(resolved.target);
  return namedStart(context, starting, route);
}

function unkept(
  { routed, body, isWhole }: Starting,
  resolved: Resolved,
  { code }: Rejection,
): Rejection | null {
  if (!isWhole || code !== 'state_not_found') return null;
  return neverKept(resolved, routed.suffix, body.bytes(null));
}

/** A plain name whose cost is limited, or that another model may take the place of, is looked at like any other: the default provider's model. */
export function resolvedName(planner: Planner, routed: Routed, name: string): Resolved {
  const resolved = planner.resolve(name);
  if (resolved.kind !== 'plain') return resolved;
  if (routed.wishes.maxCostPico === 0 && routed.policy.onExceeded === null) return resolved;
  return { kind: 'target', target: planner.plain(routed.provider, name) };
}

/**
 * Where a request goes on for which its budgets have no room (`on_exceeded`).
 * @param name a route, or `provider/model`
 * @returns null where its key may not ask for that, or nothing of it can be tried
 */
export function startInstead(
  context: StartContext,
  starting: Starting,
  name: string,
): RoutedStart | null {
  const resolved = context.planner.resolve(name);
  if (resolved.kind !== 'route' && resolved.kind !== 'target') return null;
  if (refusalOf(starting.routed, name, resolved) !== null) return null;
  const route =
    resolved.kind === 'route' ? resolved.route : context.planner.routeOf(resolved.target);
  const start = namedStart(context, starting, route);
  return 'trial' in start ? start : null;
}

/** The permission is on the name that was asked for, and on every target: the plan leaves out the others. */
function refusalOf(
  { policy: { models }, provider }: Routed,
  asked: string,
  resolved: Resolved,
): Rejection | null {
  if (models === null) return null;
  const name =
    resolved.kind === 'plain'
      ? `${provider.name}/${asked}`
      : resolved.kind === 'target'
        ? resolved.target.name
        : asked;
  return models.allows(name) ? null : notAllowed(name, models);
}

/** Nothing is wished for but the default provider: one attempt, as in the relay, and nothing is kept. */
export function plainStart(
  planner: Planner,
  { routed: { provider, keepsState, identity }, claim, isWhole }: Starting,
  name: string,
): RoutedStart | Rejection {
  const target = planner.plain(provider, name);
  const home = claim?.homes?.find((one) => one.provider.index === provider.index);
  const settled = keepsState ? tenantSeed(identity.tenantWords) : null;
  const trial =
    home === undefined ? planner.enterAnyway(target, settled) : planner.enterAt(target, home.key);
  if (trial === null) return noPoolKey([provider.name]);
  return {
    isWhole,
    trial,
    route: null,
    walk: null,
    plan: null,
    reading: NOTHING_READ,
    rehearsed: null,
    translation: null,
  };
}

function namedStart(
  context: StartContext,
  starting: Starting,
  route: Route,
): RoutedStart | CountedTokens | Rejection {
  const { asked, routed, body, claim, isWhole } = starting;
  const { planner, metrics, rehearsal } = context;
  const { wishes } = routed;
  const isBound = claim !== null && claim.homes !== null;
  const homes: Homes = isBound ? claim.mayGoTo.bind(claim) : null;
  const reading = readRequest(
    route,
    routed,
    asked.fields,
    isWhole ? body.bytes(null) : null,
    Math.max(asked.framing.contentLength, body.keptBytes),
    context.scanner,
    planner,
    context.prefixes,
  );
  const { session, needs } = reading;
  // Written anew it has to be there whole.
  const caller = isWhole ? callerWire(routed.suffix) : null;
  const mayTranslate = caller === 'openai-embeddings' ? ('vectors' as const) : caller !== null;
  const permission = routed.policy.models;
  const { dialect, order, only, maxCostPico, seed } = wishes;
  const isCallers = routed.wire !== 'openai-text' && routed.wire !== 'gemini';
  // Written out: copies of objects by spreading cost 0.1 us each.
  const asks = {
    permission,
    dialect,
    wire: isCallers ? routed.wire : null,
    mayTranslate,
    order,
    only,
    session,
    needs,
    maxCostPico,
    seed,
  };
  const made = planner.plan(route, asks, homes);
  if (made.targets.length === 0 && isWhole && isCount(routed.suffix)) {
    const { targets } = planner.plan(route, { ...asks, mayTranslate: true }, homes);
    const counted = countedAt(context, body.bytes(null), targets);
    if (counted !== null && !('target' in counted)) return untranslated(counted);
    if (counted !== null)
      return askedToCount(context, starting, route, reading, targets, counted) ?? counted;
  }
  const rehearsed =
    rehearsal === null || !routed.policy.mayRehearse ? null : rehearsal.asked(asked.fields);
  if (rehearsed !== null && rehearsed.dropped > 0) metrics.wishesDropped(rehearsed.dropped);
  if (wishes.order.length + wishes.only.length + wishes.dropped > 0)
    metrics.wishesDropped(wishes.dropped + planner.unknownWishes(wishes));
  const mayRepeat = isWhole && body.keep();
  if (isWhole && !mayRepeat) metrics.replaySkipped();
  const isMixed =
    caller !== null &&
    made.targets.some(({ target }) => writtenWire(caller, target.provider) !== null);
  const opens = opening(claim, isMixed);
  const targets = opens === null ? made.targets : firstOfEach(made.targets, opens);
  const walk = new RoutedWalk(context);
  // As in the relay: what one of its answers seals or stores, only that one's account can open.
  const settled = routed.keepsState ? tenantSeed(routed.identity.tenantWords) : 0;
  walk.begin(targets, route.settings.retries, mayRepeat, session, homes, settled);
  if (opens !== null) walk.keepsKeyOf((provider) => opens(provider) !== null);
  const translation = isMixed
    ? new RequestTranslation(caller, body, isStrict(asked.fields, route, routed))
    : null;
  if (translation !== null) walk.onlyWhere((target) => translation.suits(target));
  const trial = walk.next();
  if (trial !== null)
    return { isWhole, trial, route, walk, plan: made, reading, rehearsed, translation };
  const isElsewhere = made.leftOut.some(({ leftOut }) => leftOut === 'other_account');
  const isHomeLeft = made.leftOut.some(({ leftOut }) => leftOut !== 'other_account');
  if (isElsewhere && !isHomeLeft && targets.length === 0) return STATE_ELSEWHERE;
  const isForEver = made.leftOut.every(({ waitMs }) => waitMs === 0);
  if (translation?.refusal != null && isForEver) return untranslated(translation.refusal);
  if (!isWhole && isForEver && couldBeWritten(made, callerWire(routed.suffix)))
    return body.notWhole;
  return notPaidFor(made) ?? noTarget(made);
}

/** The target counts itself. @returns null where it cannot be asked */
function askedToCount(
  context: StartContext,
  { body, isWhole }: Starting,
  route: Route,
  reading: RequestReading,
  targets: readonly Planned[],
  { target, question }: CountedTokens,
): RoutedStart | null {
  if (question === null || !body.keep()) return null;
  const walk = new RoutedWalk(context);
  const only = targets.filter((planned) => planned.target === target);
  walk.begin(only, 0, false, reading.session, null, 0);
  const trial = walk.next();
  if (trial === null) return null;
  const translation = {
    caller: 'anthropic-messages',
    writtenFor: () => question,
    cleanedFor: () => null,
  } as const;
  return { isWhole, trial, route, walk, plan: null, reading, rehearsed: null, translation };
}

/** What would be lost on the way to another wire is a reason not to go there. */
function isStrict(fields: readonly string[], { settings }: Route, { policy }: Routed): boolean {
  return settings.isStrict || policy.isStrict || fieldValue(fields, 'x-sluice-strict') === 'true';
}

/** Somebody could be asked if the body were there whole, to be written anew. @param asked null: it goes as it comes */
function couldBeWritten({ leftOut }: Plan, asked: AskedWire | null): boolean {
  if (asked === null) return false;
  return leftOut.some(({ leftOut: why, target }) => {
    // Vectors are made on own wires alone.
    const isAsked = asked !== 'openai-embeddings' || target.provider.nativeWire !== null;
    return why === 'other_wire' && isAsked;
  });
}

/** Whose seals of a request a provider can open; null: none of them. */
type Opens = (provider: Provider) => Maker | null;

/**
 * Who could be the one that sealed what a request holds. Which account of its maker it was is not known: another target, or
 * another key, is not asked whether it was the one.
 * @param isMixed whoever cannot open it gets the conversation without it; else all get it as it came
 * @returns null where nothing is sealed
 */
function opening(claim: StateClaim | null, isMixed: boolean): Opens | null {
  if (claim === null || claim.sealedBy.size === 0) return null;
  const [first = null] = claim.sealedBy;
  if (!isMixed) return () => first;
  return (provider) => {
    const maker = makerAt(provider);
    return claim.sealedBy.has(maker) ? maker : null;
  };
}

/** All that open nothing, and of those that open a maker's seals the first. */
function firstOfEach(planned: readonly Planned[], opens: Opens): readonly Planned[] {
  const firsts = new Set<Maker>();
  return planned.filter(({ target }) => {
    const maker = opens(target.provider);
    if (maker === null) return true;
    const isFirst = !firsts.has(maker);
    firsts.add(maker);
    return isFirst;
  });
}

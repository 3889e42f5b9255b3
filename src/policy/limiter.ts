/**
 * Limits on what one key's requests may take: requests and tokens a minute and requests in flight, of six purses. Asked at a
 * request's last byte; answered by a grant, which is given back once, when the attempt has ended.
 */

import type { KeyClass } from '../keys/key-class.ts';
import type { Dialect, Rejection } from '../rejection.ts';
import { limitLines, type MinuteState } from './limit-fields.ts';
import { type ClassShare, exceeds, reached } from './limit-refusals.ts';
import {
  COMMON_SCOPES,
  type LimitScope,
  type Limits,
  type LimitsConfig,
  type LimitUnit,
  limitsSomething,
} from './limit-settings.ts';
import { type LimitTable, MINUTE_US, monotonicUs, NO_ROW } from './limit-table.ts';
import { isSpellingOf, spellingsOf } from './model-spelling.ts';

/** What is told of limits; the metrics are one. */
export interface LimitCounts {
  /** @param enforced false: it would have been refused (`mode = "warn"`) */
  limitReached(scope: LimitScope, unit: LimitUnit, enforced: boolean): void;
  limitRowDropped(): void;
  /** What all keys share had room, and its class's share of that had not. */
  classShed(keyClass: KeyClass): void;
}

/** One purse that a request takes from. */
interface Purse {
  readonly scope: LimitScope;
  /** As the table has it: scope and owner. */
  readonly name: string;
  /** Of a model: as its provider knows it. Else empty. */
  readonly model: string;
  readonly row: number;
  readonly limits: Limits;
  readonly enforced: boolean;
}

/** A purse for who looks. */
export interface PurseView {
  /** As the table has it. */
  readonly name: string;
  /** For people: whose it is. */
  readonly label: string;
  readonly limits: Limits;
  readonly enforced: boolean;
  /** What of it the key's class may take: above 0, 1 = all. */
  readonly part: number;
}

/** What a request is expected to take. */
interface Expected {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** Nobody can say when a request ends. */
const IN_FLIGHT_WAIT_US = 1_000_000;

/** Names of models whose purses a worker keeps at hand; callers write what they like. */
const KNOWN_MODELS = 1_024;

const NO_PURSES: readonly Purse[] = [];
const NO_NAMES: readonly string[] = [];

/** Purses of one configuration. */
export class Limiter {
  readonly #table: LimitTable;
  readonly #counts: LimitCounts;
  readonly #clock: () => number;
  readonly #classes = new Map<string, Purse>();
  readonly #providers = new Map<string, Purse>();
  /** By `provider/model`, as it is spelled first. */
  readonly #models = new Map<string, Purse>();
  /** The purses of a model in a request's spelling, and with its provider's behind them. */
  readonly #ofModel = new Map<string, readonly Purse[]>();
  readonly #ofTarget = new Map<string, readonly Purse[]>();
  readonly #gateway: Purse | null;
  readonly #shares: ReadonlyMap<KeyClass, number>;
  readonly hasTargets: boolean;
  readonly hasModels: boolean;

  constructor(
    table: LimitTable,
    config: LimitsConfig,
    counts: LimitCounts,
    clock: () => number = monotonicUs,
  ) {
    this.#table = table;
    this.#counts = counts;
    this.#clock = clock;
    this.#shares = config.shares;
    this.#gateway = this.#named('gateway', '', config.gateway);
    for (const [name, limits] of config.models) {
      const [provider, model] = split(name);
      const spelled = `${provider}/${spellingsOf(model)[0]}`;
      const made = this.#named('model', spelled, limits, model);
      if (made !== null) this.#models.set(spelled, made);
    }
    for (const [name, limits] of config.providers) {
      const made = this.#named('provider', name, limits);
      if (made !== null) this.#providers.set(name, made);
    }
    for (const [name, limits] of config.classes) {
      const made = this.#named('class', name, limits);
      if (made !== null) this.#classes.set(name, made);
    }
    this.hasTargets = config.models.size + config.providers.size > 0;
    this.hasModels = config.models.size > 0;
  }

  /**
   * @param isConfigured the configuration names whose purse it is, which then has its place whoever passes by
   * @returns null where nothing is limited, or where there is no room for another name
   */
  purse(
    scope: LimitScope,
    name: string,
    limits: Limits,
    enforced: boolean,
    isConfigured = false,
    model = '',
  ): Purse | null {
    if (!limitsSomething(limits)) return null;
    const named = `${scope} ${name}`;
    const row = this.#table.place(named, isConfigured);
    if (row !== NO_ROW) return { scope, name: named, model, row, limits, enforced };
    this.#counts.limitRowDropped();
    return null;
  }

  #named(scope: LimitScope, name: string, limits: Limits, model = ''): Purse | null {
    return this.purse(scope, name, limits, true, true, model);
  }

  /** What a key takes from, beside what its targets have. Null: nothing limits it. */
  of(keyClass: KeyClass, own: readonly (Purse | null)[]): KeyLimits | null {
    const ofClass = this.#classes.get(keyClass) ?? null;
    const purses = [...own, ofClass, this.#gateway].filter((purse) => purse !== null);
    if (purses.length === 0 && !this.hasTargets) return null;
    const part = { keyClass, share: this.shareOf(keyClass) };
    return new KeyLimits(this, this.#table, this.#counts, this.#clock, purses, part);
  }

  /** What of the common purses may be taken when this class takes more: above 0, 1 = all. */
  shareOf(keyClass: KeyClass): number {
    return this.#shares.get(keyClass) ?? 1;
  }

  /**
   * The purses of what a request goes to.
   * @param models `provider/model`, in any spelling
   */
  targets(provider: string, models: readonly string[]): readonly Purse[] {
    const [only] = models;
    if (only === undefined || models.length > 1) return this.#targets(provider, models);
    const known = this.#ofTarget.get(only);
    if (known !== undefined) return known;
    const purses = this.#targets(provider, models);
    if (this.#ofTarget.size >= KNOWN_MODELS) this.#ofTarget.clear();
    this.#ofTarget.set(only, purses);
    return purses;
  }

  #targets(provider: string, models: readonly string[]): readonly Purse[] {
    const ofProvider = this.#providers.get(provider);
    const purses = this.hasModels ? models.flatMap((model) => this.#spelled(model)) : NO_PURSES;
    const all = ofProvider === undefined ? purses : [...purses, ofProvider];
    return models.length > 1 ? [...new Set(all)] : all;
  }

  #spelled(name: string): readonly Purse[] {
    const known = this.#ofModel.get(name);
    if (known !== undefined) return known;
    const [provider, model] = split(name);
    const purses = spellingsOf(model).flatMap(
      (spelled) => this.#models.get(`${provider}/${spelled}`) ?? NO_PURSES,
    );
    if (this.#ofModel.size >= KNOWN_MODELS) this.#ofModel.clear();
    this.#ofModel.set(name, purses);
    return purses;
  }
}

/** No provider's name has a slash. */
function split(name: string): readonly [provider: string, model: string] {
  const at = name.indexOf('/');
  return [name.slice(0, at), name.slice(at + 1)];
}

/** What limits one key. */
export class KeyLimits {
  readonly #limiter: Limiter;
  readonly #table: LimitTable;
  readonly #counts: LimitCounts;
  readonly #clock: () => number;
  readonly #purses: readonly Purse[];
  readonly #part: ClassShare;
  #lastTargets: readonly Purse[] = NO_PURSES;
  #lastPurses: readonly Purse[];

  constructor(
    limiter: Limiter,
    table: LimitTable,
    counts: LimitCounts,
    clock: () => number,
    purses: readonly Purse[],
    part: ClassShare,
  ) {
    this.#part = part;
    this.#limiter = limiter;
    this.#table = table;
    this.#counts = counts;
    this.#clock = clock;
    this.#purses = purses;
    this.#lastPurses = purses;
  }

  /**
   * Takes what a request needs from every purse, or nothing from any.
   * @param provider whom it goes to. @param model `provider/model`; null where it is not known
   * @param isFirst false: a further attempt of a request that has been counted, which costs its targets a request only
   * @param further models that its provider may answer with instead: it takes from theirs too
   */
  admit(
    provider: string,
    model: string | null,
    expected: Expected,
    isFirst: boolean,
    further: readonly string[] = NO_NAMES,
  ): LimitGrant | Rejection {
    const models = model === null ? further : further.length === 0 ? [model] : [model, ...further];
    const purses = this.#limiter.hasTargets
      ? this.#with(this.#limiter.targets(provider, models))
      : this.#purses;
    const nowUs = this.#clock();
    const grant = new LimitGrant(
      this.#table,
      this.#clock,
      purses,
      expected,
      isFirst,
      models,
      this.#part.share,
    );
    grant.demand();
    return this.#refusal(purses, nowUs, expected, grant) ?? grant;
  }

  /** Its own purses and those of what it asks for: put together once for each target that it has asked for last. */
  #with(targets: readonly Purse[]): readonly Purse[] {
    if (targets === this.#lastTargets) return this.#lastPurses;
    this.#lastTargets = targets;
    this.#lastPurses = [...this.#purses, ...targets];
    return this.#lastPurses;
  }

  /**
   * The purses that a request takes from.
   * @param model `provider/model`
   */
  purses(provider: string, model: string): readonly PurseView[] {
    const targets = this.#limiter.hasTargets ? this.#limiter.targets(provider, [model]) : NO_PURSES;
    return [...this.#purses, ...targets].map(({ scope, name, limits, enforced }) => ({
      name,
      label: scope === 'key' || scope === 'tenant' || scope === 'gateway' ? scope : name,
      limits,
      enforced,
      part: COMMON_SCOPES.has(scope) ? this.#part.share : 1,
    }));
  }

  /** A model has a limit of its own: which ones a request names has to be known. */
  get hasModels(): boolean {
    return this.#limiter.hasModels;
  }

  /** Looks first: a refusal takes from no purse. The longest wait is the true one. */
  #refusal(
    purses: readonly Purse[],
    nowUs: number,
    expected: Expected,
    grant: LimitGrant,
  ): Rejection | null {
    let tight: Purse | null = null;
    let tightUnit: LimitUnit = 'requests';
    let waitUs = 0;
    for (const unit of MINUTE_UNITS) {
      for (let at = 0; at < purses.length; at++) {
        const purse = purses[at];
        const costUs = purse === undefined ? 0 : grant.costUs(at, purse, unit);
        if (purse === undefined || costUs === 0) continue;
        const { tpm } = purse.limits;
        if (unit === 'tokens' && expected.inputTokens > tpm) {
          this.#counts.limitReached(purse.scope, unit, purse.enforced);
          if (purse.enforced) return exceeds(purse, expected.inputTokens);
          continue;
        }
        const waits = this.#table.waitUs(purse.row, unit, nowUs, costUs, grant.fullUs(purse));
        if (waits === 0) continue;
        this.#counts.limitReached(purse.scope, unit, purse.enforced);
        if (!purse.enforced) grant.leaveOut(at, unit);
        if (!purse.enforced || waits <= waitUs) continue;
        [tight, tightUnit, waitUs] = [purse, unit, waits];
      }
      if (tight !== null) return this.#reached(tight, tightUnit, waitUs, nowUs, grant);
    }
    const lost = grant.take(nowUs);
    if (lost === null) {
      for (const [at, unit] of grant.lateMisses ?? NO_MISSES)
        this.#counts.limitReached(purses[at]?.scope ?? 'key', unit, false);
      this.#countUnenforced(purses);
      return null;
    }
    this.#counts.limitReached(lost.purse.scope, lost.unit, true);
    return this.#reached(lost.purse, lost.unit, lost.waitUs, nowUs, grant);
  }

  #countUnenforced(purses: readonly Purse[]): void {
    for (const { scope, row, limits, enforced } of purses) {
      const { maxInFlight } = limits;
      if (!enforced && maxInFlight > 0 && this.#table.inFlight(row) > maxInFlight)
        this.#counts.limitReached(scope, 'in_flight', false);
    }
  }

  #reached(
    purse: Purse,
    unit: LimitUnit,
    waitUs: number,
    nowUs: number,
    grant: LimitGrant,
  ): Rejection {
    const { keyClass, share } = this.#part;
    if (share === 1 || !COMMON_SCOPES.has(purse.scope)) return reached(purse, unit, waitUs);
    if (grant.fitsWhole(purse, unit, nowUs)) this.#counts.classShed(keyClass);
    return reached(purse, unit, waitUs, this.#part);
  }
}

/** Requests are told, and taken, before tokens. */
const MINUTE_UNITS = ['requests', 'tokens'] as const;
const NO_MISSES: readonly (readonly [at: number, unit: LimitUnit])[] = [];

const NOTHING_YET = (): number => 0;

/** What one attempt has taken. */
export class LimitGrant {
  readonly #table: LimitTable;
  readonly #clock: () => number;
  readonly #purses: readonly Purse[];
  readonly #expected: Expected;
  readonly #isFirst: boolean;
  /** Its class's, of the common purses. */
  readonly #part: number;
  /** `provider/model`, in the request's spelling. */
  readonly #models: readonly string[];
  #isOver = false;
  /** Where it would have been refused: what was not taken is not given back. Made for the first such purse and unit. */
  #notTaken: Set<string> | null = null;
  /** Of these, where another worker was faster than the look that found room: places of purses and units. */
  lateMisses: typeof NO_MISSES | null = null;
  /** Of each purse that limits tokens, as `LimitTable.giveBack` has them. */
  readonly #takenUntil: number[];
  readonly #givenBack: number[];
  /** This node's share of each purse's limits, requests and tokens in turn; null: it shares none. What was taken by it is given back by it. */
  readonly #shares: readonly number[] | null;

  constructor(
    table: LimitTable,
    clock: () => number,
    purses: readonly Purse[],
    expected: Expected,
    isFirst: boolean,
    models: readonly string[],
    part: number,
  ) {
    this.#part = part;
    this.#models = models;
    this.#table = table;
    this.#clock = clock;
    this.#purses = purses;
    this.#expected = expected;
    this.#isFirst = isFirst;
    // With their room from the start: an array that is written behind its end makes room for 17.
    this.#takenUntil = purses.map(NOTHING_YET);
    this.#givenBack = purses.map(NOTHING_YET);
    this.#shares = table.isShared
      ? purses.flatMap(({ row }) => [table.share(row, 'requests'), table.share(row, 'tokens')])
      : null;
  }

  /** Tells how much is asked for, so that the nodes of a fleet share limits by it. */
  demand(): void {
    if (this.#shares === null) return;
    for (const { row, limits } of this.#purses)
      this.#table.asked(row, this.#isFirst ? 1 : 0, this.#reserved(limits.tpm));
  }

  /** What is taken of a minute's worth, as the time in which it is replenished; 0: nothing. @param at of the purse */
  costUs(at: number, purse: Purse, unit: 'requests' | 'tokens'): number {
    const { rpm, tpm } = purse.limits;
    if (unit === 'tokens')
      return tpm === 0 ? 0 : (this.#reserved(tpm) * MINUTE_US) / (tpm * this.#share(at, unit));
    const isCounted = this.#isFirst || purse.scope === 'model' || purse.scope === 'provider';
    return rpm === 0 || !isCounted ? 0 : MINUTE_US / (rpm * this.#share(at, unit));
  }

  #share(at: number, unit: 'requests' | 'tokens'): number {
    return this.#shares?.[at * 2 + (unit === 'requests' ? 0 : 1)] ?? 1;
  }

  /** What of a minute's worth its class may take of a purse, as time: others keep the rest of a common one to themselves. */
  fullUs({ scope }: Purse): number {
    return this.#part === 1 || !COMMON_SCOPES.has(scope) ? MINUTE_US : MINUTE_US * this.#part;
  }

  /** Whether a purse would let it through, if its class had all of it. */
  fitsWhole(purse: Purse, unit: LimitUnit, nowUs: number): boolean {
    const at = this.#purses.indexOf(purse);
    if (unit === 'in_flight')
      return this.#table.inFlight(purse.row) < this.#placesOf(at, purse, MINUTE_US);
    return this.#table.waitUs(purse.row, unit, nowUs, this.costUs(at, purse, unit)) === 0;
  }

  /** At least one: a node that is asked serves somebody. */
  #placesOf(at: number, purse: Purse, fullUs = this.fullUs(purse)): number {
    const { limits, enforced } = purse;
    if (!enforced) return 0;
    const share = this.#share(at, 'requests') * (fullUs / MINUTE_US);
    // A third of nine, in millionths, is not quite three.
    return Math.max(1, Math.floor(limits.maxInFlight * share + 0.01));
  }

  /**
   * Output is a guess until it is there: no more of the minute than a quarter is kept for it, so that a small limit is no
   * refusal of everything; what comes beyond is taken when it is known.
   */
  #reserved(tpm: number): number {
    const { inputTokens, outputTokens } = this.#expected;
    return Math.min(tpm, inputTokens + Math.min(outputTokens, Math.floor(tpm / 4)));
  }

  /** @returns where another worker was faster, everything given back then; null: it is all taken */
  take(
    nowUs: number,
  ): { readonly purse: Purse; readonly unit: LimitUnit; readonly waitUs: number } | null {
    for (const unit of MINUTE_UNITS) {
      for (let at = 0; at < this.#purses.length; at++) {
        const purse = this.#purses[at];
        const costUs = purse === undefined ? 0 : this.costUs(at, purse, unit);
        if (purse === undefined || costUs === 0 || !this.#isTaken(at, unit)) continue;
        const waitUs = this.#table.take(purse.row, unit, nowUs, costUs, this.fullUs(purse));
        if (waitUs === 0) {
          if (unit === 'tokens') this.#remember(at, purse.row);
          continue;
        }
        if (!purse.enforced) {
          this.leaveOut(at, unit);
          const isTold = unit === 'tokens' && this.#expected.inputTokens > purse.limits.tpm;
          if (!isTold) this.lateMisses = [...(this.lateMisses ?? NO_MISSES), [at, unit]];
          continue;
        }
        if (unit === 'tokens') this.#giveBack('requests', this.#purses.length, nowUs);
        this.#giveBack(unit, at, nowUs);
        return { purse, unit, waitUs };
      }
    }
    for (let at = 0; at < this.#purses.length; at++) {
      const purse = this.#purses[at];
      if (purse === undefined || purse.limits.maxInFlight === 0) continue;
      const { row } = purse;
      if (this.#table.enter(row, this.#placesOf(at, purse))) continue;
      for (const entered of this.#purses.slice(0, at))
        if (entered.limits.maxInFlight > 0) this.#table.leave(entered.row);
      this.#giveBack('requests', this.#purses.length, nowUs);
      this.#giveBack('tokens', this.#purses.length, nowUs);
      return { purse, unit: 'in_flight', waitUs: IN_FLIGHT_WAIT_US };
    }
    return null;
  }

  /** It would have been refused there, and is not (`mode = "warn"`): nothing is taken. */
  leaveOut(at: number, unit: LimitUnit): void {
    this.#notTaken ??= new Set();
    this.#notTaken.add(`${at} ${unit}`);
  }

  #remember(at: number, row: number): void {
    this.#takenUntil[at] = this.#table.takenUntilUs;
    this.#givenBack[at] = this.#table.givenBackUs(row);
  }

  #isTaken(at: number, unit: 'requests' | 'tokens'): boolean {
    return this.#notTaken?.has(`${at} ${unit}`) !== true;
  }

  #giveBack(unit: 'requests' | 'tokens', count: number, nowUs: number): void {
    for (const [at, purse] of this.#purses.slice(0, count).entries()) {
      const costUs = this.costUs(at, purse, unit);
      if (costUs > 0 && this.#isTaken(at, unit))
        this.#table.correct(purse.row, unit, nowUs, -costUs);
    }
  }

  /**
   * The attempt has ended. Further calls do nothing.
   * @param tokens what it used; 0 where nothing is billed
   * @param served the model that answered, without its provider; null: not known
   */
  settle(tokens: number, served: string | null = null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const nowUs = this.#clock();
    const isOneOf = served !== null && this.#models.length > 1 && this.#names(served);
    for (let at = 0; at < this.#purses.length; at++) {
      const purse = this.#purses[at];
      if (purse === undefined) continue;
      const { scope, model, row, limits } = purse;
      const { tpm, maxInFlight } = limits;
      if (maxInFlight > 0) this.#table.leave(row);
      if (tpm === 0 || !this.#isTaken(at, 'tokens')) continue;
      // Of several that could have answered, those that did not have used nothing.
      const isSpared = isOneOf && scope === 'model' && !isSpellingOf(served, model);
      const used = isSpared ? 0 : tokens;
      const pace = tpm * this.#share(at, 'tokens');
      const differenceUs = ((used - this.#reserved(tpm)) * MINUTE_US) / pace;
      if (differenceUs > 0) this.#table.correct(row, 'tokens', nowUs, differenceUs);
      else if (differenceUs < 0)
        this.#table.giveBack(
          row,
          nowUs,
          -differenceUs,
          this.#takenUntil[at] ?? 0,
          this.#givenBack[at] ?? 0,
        );
    }
  }

  /** Nothing is done for it after all, and what is done instead is counted by itself: it was no request. Further calls do nothing. */
  withdraw(): void {
    if (this.#isOver) return;
    this.#giveBack('requests', this.#purses.length, this.#clock());
    this.settle(0);
  }

  #names(served: string): boolean {
    return this.#models.some((name) => isSpellingOf(served, split(name)[1]));
  }

  /** Field lines that tell the purses that are nearest to their end. */
  lines(dialect: Dialect): string {
    const nowUs = this.#clock();
    return limitLines(dialect, this.#tightest('requests', nowUs), this.#tightest('tokens', nowUs));
  }

  #tightest(unit: 'requests' | 'tokens', nowUs: number): MinuteState | null {
    let tightest: MinuteState | null = null;
    for (const purse of this.#purses) {
      const { row, limits, enforced } = purse;
      const whole = unit === 'requests' ? limits.rpm : limits.tpm;
      if (whole === 0 || !enforced) continue;
      const fullUs = this.fullUs(purse);
      const limit = fullUs === MINUTE_US ? whole : Math.floor((whole * fullUs) / MINUTE_US);
      const resetUs = this.#table.fullInUs(row, unit, nowUs);
      const left = Math.floor(((fullUs - resetUs) * whole) / MINUTE_US + 1e-6);
      const state = { limit, remaining: Math.max(0, left), resetUs };
      if (tightest === null || state.remaining < tightest.remaining) tightest = state;
    }
    return tightest;
  }
}

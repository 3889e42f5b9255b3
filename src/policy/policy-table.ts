/**
 * What holds for one virtual key, made flat: a request looks it up once.
 *
 * Decision: not every pair of a key and a tenant is written out at load, because nobody says which key is whose. What the
 * file says is checked whole at load; a token's policy is put together when a worker first meets it, and kept beside its
 * identity, which lives as long as the worker knows the token. Those of equal key, tenant and class are one object.
 */

import type { OwnBudget, SpendingContext } from '../budget/spending.ts';
import { KeySpending } from '../budget/spending.ts';
import { CACHE_TTL_SECS, type CacheTerms } from '../cache/cache-settings.ts';
import type { GuardSet } from '../guard/guard-session.ts';
import type { KeyClass } from '../keys/key-class.ts';
import type { KeyIdentity } from '../keys/virtual-key.ts';
import type { KeyLimits, Limiter } from './limiter.ts';
import { ModelPermission } from './model-permission.ts';
import {
  budgetOf,
  classOf,
  type Layer,
  layersOf,
  limitsOf,
  modeOf,
  type PolicyConfig,
  REFUSE,
  saidFirst,
  tenantLayers,
  tenantLimitsOf,
} from './policy-settings.ts';
import { KeyRepeats, type RepeatContext } from './repeats.ts';

/** What holds for a key, a tenant and a class. */
export interface EffectivePolicy {
  /** The most specific policy's name; null when none holds. */
  readonly name: string | null;
  readonly keyClass: KeyClass;
  /** Unix time in milliseconds; infinite: never. */
  readonly expiresMs: number;
  /** Null: every model. */
  readonly models: ModelPermission | null;
  /** Faults may be played in place of targets. */
  readonly mayRehearse: boolean;
  /** What a translation would lose is a reason to pass a target over. */
  readonly isStrict: boolean;
  /** Null: nothing is limited. */
  readonly limits: KeyLimits | null;
  /** Null: nobody asks what it costs. */
  readonly spending: KeySpending | null;
  /** What serves it where its budgets have no room; null: nothing. */
  readonly onExceeded: string | null;
  /** Null: it may send the same as often as it likes. */
  readonly repeats: KeyRepeats | null;
  /** Null: nobody reads what it sends and gets. */
  readonly guards: GuardSet | null;
  /** Null: nothing is told again, and nothing is kept. */
  readonly cache: CacheTerms | null;
  /** How much of the node may be taken when it takes more: above 0, 1 = all (`[limits.shares]`). */
  readonly share: number;
}

/** Whether every model that a request names has to be known, not only the one that it asks for. */
export function countsEveryModel({
  models,
  limits,
  spending,
}: Pick<EffectivePolicy, 'models' | 'limits' | 'spending'>): boolean {
  return models !== null || limits?.hasModels === true || spending !== null;
}

/** Keys whose policy is found by their ids alone: those that ask again and again. */
const RECENT_MAX = 1_024;

interface Recent {
  readonly identity: KeyIdentity;
  readonly policy: EffectivePolicy;
}

/** Distinct ones of a worker; more are put together again each time a token is met first. 10 MB at most. */
const INTERNED_MAX = 65_536;

export class PolicyTable {
  readonly #config: PolicyConfig;
  readonly #canonical: (name: string) => string;
  readonly #limiter: Limiter;
  readonly #spending: SpendingContext | null;
  readonly #repeats: RepeatContext | null;
  readonly #guards: (names: readonly string[]) => GuardSet | null;
  readonly #known = new WeakMap<KeyIdentity, EffectivePolicy>();
  /** In front of them: a look into a weak map was 0.6 of 100 us of a request. */
  readonly #recent: (Recent | undefined)[] = new Array(RECENT_MAX).fill(undefined);
  readonly #interned = new Map<string, EffectivePolicy>();
  /** One for each list of names: whoever keeps something by it finds it again. */
  readonly #permissions = new Map<readonly string[], ModelPermission>();

  /**
   * @param canonical an entry of `models` with its provider's own name in place of an alias
   * @param limiter of the same configuration
   * @param spending null: there are no budgets
   * @param guards those of these names, together; null for none
   * @param repeats null: no body is looked at for whether it came before
   */
  constructor(
    config: PolicyConfig,
    canonical: (name: string) => string,
    limiter: Limiter,
    spending: SpendingContext | null = null,
    repeats: RepeatContext | null = null,
    guards: (names: readonly string[]) => GuardSet | null = () => null,
  ) {
    this.#guards = guards;
    this.#repeats = repeats;
    this.#spending = spending;
    this.#config = config;
    this.#canonical = canonical;
    this.#limiter = limiter;
  }

  of(identity: KeyIdentity): EffectivePolicy {
    const { tenantWords, keyWords } = identity;
    const low = keyWords === null ? tenantWords.low : keyWords.low ^ tenantWords.low;
    const place = (low ^ (low >>> 10) ^ (low >>> 20)) & (RECENT_MAX - 1);
    const recent = this.#recent[place];
    if (recent !== undefined && recent.identity === identity) return recent.policy;
    const policy = this.#known.get(identity) ?? this.#met(identity);
    this.#recent[place] = { identity, policy };
    return policy;
  }

  #met(identity: KeyIdentity): EffectivePolicy {
    const { keyText, tenantText, keyClass } = identity;
    const { keys, tenants } = this.#config;
    const key = keyText !== null && keys.has(keyText) ? keyText : null;
    const tenant = tenants.has(tenantText) ? tenantText : null;
    const name = `${key ?? ''}/${tenant ?? ''}/${keyClass}`;
    const made = this.#interned.get(name) ?? this.#put(key, tenant, keyClass);
    if (this.#interned.size < INTERNED_MAX) this.#interned.set(name, made);
    const limits = this.#limitsOf(identity, key, tenant, made.keyClass);
    const spending = this.#spendingOf(identity, key, tenant, made.keyClass);
    const repeats = this.#repeatsOf(identity, key, tenant, made.keyClass);
    const own =
      limits === null && spending === null && repeats === null
        ? made
        : { ...made, limits, spending, repeats };
    this.#known.set(identity, own);
    return own;
  }

  /** Each key has a purse of its own, whatever policy it shares with others. One without an id is its tenant's at its place. */
  #limitsOf(
    { tenantText, keyText, vpcText }: KeyIdentity,
    key: string | null,
    tenant: string | null,
    keyClass: KeyClass,
  ): KeyLimits | null {
    const own = limitsOf(layersOf(this.#config, key, null, keyClass));
    const all = tenantLimitsOf(this.#config, tenant ?? '');
    const name = keyText === null ? `${tenantText} vpc ${vpcText}` : `${tenantText} ${keyText}`;
    return this.#limiter.of(keyClass, [
      this.#limiter.purse('key', name, own.limits, own.enforced, key !== null),
      this.#limiter.purse('tenant', tenantText, all.limits, all.enforced, tenant !== null),
    ]);
  }

  /** As with limits: each key has budgets of its own, its tenant's are over all of them. */
  #spendingOf(
    { tenantText, keyText, vpcText }: KeyIdentity,
    key: string | null,
    tenant: string | null,
    keyClass: KeyClass,
  ): KeySpending | null {
    const context = this.#spending;
    if (context === null) return null;
    const own = layersOf(this.#config, key, null, keyClass);
    const all = tenantLayers(this.#config, tenant ?? '');
    const each = layersOf(this.#config, key, tenant, keyClass);
    const isEnforced = (layers: typeof own) => modeOf(layers) === 'enforce';
    const budgets: readonly OwnBudget[] = [
      {
        scope: 'key',
        name: keyText === null ? `${tenantText}/vpc${vpcText}` : `${tenantText}/${keyText}`,
        limits: budgetOf(own),
        enforced: isEnforced(own),
        stops: saidFirst(own, 'hardStop')?.value === true,
      },
      {
        scope: 'tenant',
        name: tenantText,
        limits: budgetOf(all),
        enforced: isEnforced(all),
        stops: saidFirst(all, 'hardStop')?.value === true,
      },
    ];
    const hasBudget = budgets.some(({ limits }) => limits.day + limits.month > 0);
    const isOff = modeOf(each) === 'off';
    const maxCostNano = isOff ? 0 : (saidFirst(each, 'maxCostPerRequest')?.value ?? 0);
    const said = saidFirst(each, 'unpriced')?.value ?? null;
    const capsOutput = saidFirst(each, 'capOutput')?.value ?? false;
    const limitsMoney = hasBudget || maxCostNano > 0;
    if (!limitsMoney && !capsOutput && (said === null || said === 'tokens')) return null;
    const enforced = isEnforced(each);
    // A limit on money that does not see some of it is none.
    const unpriced = said ?? (enforced && limitsMoney ? 'deny' : 'tokens');
    const estimate = saidFirst(each, 'budgetEstimate')?.value ?? 'likely';
    const models = saidFirst(each, 'models');
    const permission = models === null ? null : this.#permission(models.value);
    const rules = {
      keyClass,
      maxCostNano,
      enforced,
      unpriced,
      isStrict: estimate === 'strict',
      capsOutput,
      candidates:
        permission === null
          ? context.candidates
          : context.candidates.filter(({ name }) => permission.allows(name)),
    };
    return new KeySpending(context, rules, budgets);
  }

  /** Whatever says it, a class or a tenant too: it counts for each key by itself. */
  #repeatsOf(
    { tenantText, keyText, vpcText }: KeyIdentity,
    key: string | null,
    tenant: string | null,
    keyClass: KeyClass,
  ): KeyRepeats | null {
    const layers = layersOf(this.#config, key, tenant, keyClass);
    const perMinute = saidFirst(layers, 'identicalRpm')?.value ?? 0;
    const mode = modeOf(layers);
    if (this.#repeats === null || perMinute === 0 || mode === 'off') return null;
    const name = keyText === null ? `${tenantText} vpc ${vpcText}` : `${tenantText} ${keyText}`;
    return new KeyRepeats(this.#repeats, name, perMinute, keyClass, mode === 'enforce');
  }

  #put(key: string | null, tenant: string | null, minted: KeyClass): EffectivePolicy {
    const keyClass = classOf(this.#config, key, minted);
    const layers = layersOf(this.#config, key, tenant, keyClass);
    const models = saidFirst(layers, 'models');
    const instead = saidFirst(layers, 'onExceeded')?.value ?? null;
    return {
      name: layers[0]?.policy ?? null,
      keyClass,
      expiresMs:
        (key === null ? null : this.#config.keys.get(key)?.expiresMs) ?? Number.POSITIVE_INFINITY,
      models: models === null ? null : this.#permission(models.value),
      mayRehearse: saidFirst(layers, 'rehearse')?.value ?? false,
      isStrict: saidFirst(layers, 'strict')?.value ?? false,
      limits: null,
      spending: null,
      onExceeded: instead === REFUSE ? null : instead,
      repeats: null,
      guards: this.#guards(saidFirst(layers, 'guards')?.value ?? []),
      cache: cacheOf(layers, instead),
      share: this.#limiter.shareOf(keyClass),
    };
  }

  #permission(entries: readonly string[]): ModelPermission | null {
    if (entries.length === 0) return null;
    const known = this.#permissions.get(entries);
    if (known !== undefined) return known;
    const made = new ModelPermission(entries.map(this.#canonical));
    this.#permissions.set(entries, made);
    return made;
  }
}

function cacheOf(layers: readonly Layer[], instead: string | null): CacheTerms | null {
  if (saidFirst(layers, 'cache')?.value !== 'exact') return null;
  const models = saidFirst(layers, 'models')?.value ?? [];
  const isStrict = saidFirst(layers, 'strict')?.value ?? false;
  const guards = saidFirst(layers, 'guards')?.value ?? [];
  return {
    match: saidFirst(layers, 'cacheMatch')?.value ?? 'bytes',
    strategy: saidFirst(layers, 'hashStrategy')?.value ?? 'full_request',
    scope: saidFirst(layers, 'cacheScope')?.value ?? 'tenant',
    ttlMs: 1_000 * (saidFirst(layers, 'cacheTtlSecs')?.value ?? CACHE_TTL_SECS),
    permission: JSON.stringify([[...models].sort(), isStrict, instead, guards]),
    limitsModels: models.length > 0,
  };
}

/**
 * What holds for one virtual key, made flat: a request looks it up once.
 *
 * Decision: not every pair of a key and a tenant is written out at load, because nobody says which key is whose. What the
 * file says is checked whole at load; a token's policy is put together when a worker first meets it, and kept beside its
 * identity, which lives as long as the worker knows the token. Those of equal key, tenant and class are one object.
 */

import type { KeyClass } from '../keys/key-class.ts';
import type { KeyIdentity } from '../keys/virtual-key.ts';
import { ModelPermission } from './model-permission.ts';
import { classOf, layersOf, type PolicyConfig, saidFirst } from './policy-settings.ts';

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
}

/** Distinct ones of a worker; more are put together again each time a token is met first. 10 MB at most. */
const INTERNED_MAX = 65_536;

const nothingSaid = (keyClass: KeyClass): EffectivePolicy => ({
  name: null,
  keyClass,
  expiresMs: Number.POSITIVE_INFINITY,
  models: null,
  mayRehearse: false,
});
const NOTHING_SAID: Readonly<Record<KeyClass, EffectivePolicy>> = {
  developer: nothingSaid('developer'),
  application: nothingSaid('application'),
  agent: nothingSaid('agent'),
};

export class PolicyTable {
  readonly #config: PolicyConfig;
  readonly #canonical: (name: string) => string;
  readonly #isEmpty: boolean;
  readonly #known = new WeakMap<KeyIdentity, EffectivePolicy>();
  readonly #interned = new Map<string, EffectivePolicy>();
  /** One for each list of names: whoever keeps something by it finds it again. */
  readonly #permissions = new Map<readonly string[], ModelPermission>();

  /** @param canonical an entry of `models` with its provider's own name in place of an alias */
  constructor(config: PolicyConfig, canonical: (name: string) => string) {
    this.#config = config;
    this.#canonical = canonical;
    const { policies, keys } = config;
    this.#isEmpty = policies.size === 0 && keys.size === 0;
  }

  of(identity: KeyIdentity): EffectivePolicy {
    if (this.#isEmpty) return NOTHING_SAID[identity.keyClass];
    return this.#known.get(identity) ?? this.#met(identity);
  }

  #met(identity: KeyIdentity): EffectivePolicy {
    const { keyText, tenantText, keyClass } = identity;
    const { keys, tenants } = this.#config;
    const key = keyText !== null && keys.has(keyText) ? keyText : null;
    const tenant = tenants.has(tenantText) ? tenantText : null;
    const name = `${key ?? ''}/${tenant ?? ''}/${keyClass}`;
    const made = this.#interned.get(name) ?? this.#put(key, tenant, keyClass);
    if (this.#interned.size < INTERNED_MAX) this.#interned.set(name, made);
    this.#known.set(identity, made);
    return made;
  }

  #put(key: string | null, tenant: string | null, minted: KeyClass): EffectivePolicy {
    const keyClass = classOf(this.#config, key, minted);
    const layers = layersOf(this.#config, key, tenant, keyClass);
    const models = saidFirst(layers, 'models');
    return {
      name: layers[0]?.policy ?? null,
      keyClass,
      expiresMs:
        (key === null ? null : this.#config.keys.get(key)?.expiresMs) ?? Number.POSITIVE_INFINITY,
      models: models === null ? null : this.#permission(models.value),
      mayRehearse: saidFirst(layers, 'rehearse')?.value ?? false,
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

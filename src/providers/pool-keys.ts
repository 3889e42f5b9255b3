import { createHash } from 'node:crypto';
import { Secret } from '../secret.ts';
import { isCredentialField } from '../wire/credential-fields.ts';
import { KeyPattern } from '../wire/key-watch.ts';
import { SecretTraces } from '../wire/secret-traces.ts';
import type { AuthScheme, Provider } from './providers.ts';
import { mixed } from './text-hash.ts';

/** The field that carries a provider's key, in the provider's own scheme. */
const FIELD_OF: Readonly<Record<AuthScheme, string | null>> = {
  bearer: 'authorization',
  'x-api-key': 'x-api-key',
  'api-key': 'api-key',
  'x-goog-api-key': 'x-goog-api-key',
  none: null,
};

/** Where Google's API speaks OpenAI's wire, and takes its key as that does (ai.google.dev/gemini-api/docs/openai). */
const GOOGLE_OPENAI = '/v1beta/openai/';

/** One provider's pool key, ready to be put on the wire. Prints without the key. */
export class PoolKey {
  /** Its usual one. Null for a provider that takes no key: nothing is put on the wire then. */
  readonly field: string | null;
  /** Other keys of the provider take turns with it. */
  readonly hasOthers: boolean;
  /** 32 bits of a hash of the key: tells keys apart, and gives none of them away. */
  readonly print: number;
  readonly #secret: Secret;
  readonly #prefix: string;
  readonly #isGoogles: boolean;
  /** To watch for it in answers; null when there is none, or it could be a word. */
  readonly pattern: KeyPattern | null;
  #traces: SecretTraces | null = null;

  constructor(scheme: AuthScheme, secret: Secret, hasOthers = false) {
    this.hasOthers = hasOthers;
    this.field = FIELD_OF[scheme];
    this.#prefix = scheme === 'bearer' ? 'Bearer ' : '';
    this.#isGoogles = scheme === 'x-goog-api-key';
    this.#secret = secret;
    this.pattern = this.field === null ? null : KeyPattern.of(secret.reveal());
    this.print = createHash('sha256').update(secret.reveal()).digest().readInt32LE(0);
  }

  /** The field that carries it to this target, path and query; null for a provider that takes no key. */
  fieldTo(target: string): string | null {
    return this.#isBearerTo(target) ? FIELD_OF.bearer : this.field;
  }

  /** The field's value to this target. Call it only where it is put on the wire. */
  revealTo(target: string): string {
    const prefix = this.#isBearerTo(target) ? 'Bearer ' : this.#prefix;
    return prefix + this.#secret.reveal();
  }

  #isBearerTo(target: string): boolean {
    return this.#isGoogles && target.startsWith(GOOGLE_OPENAI);
  }

  /** To take it out of what a provider says about it. Made when that is needed first. */
  get traces(): SecretTraces {
    this.#traces ??= new SecretTraces(this.#secret.reveal());
    return this.#traces;
  }

  /** Whether the key, or 16 characters of it, stands in a text: for what is a success. */
  isIn(text: string): boolean {
    if (this.field === null) return false;
    return this.pattern?.isIn(text) ?? text.includes(this.#secret.reveal());
  }

  /** Whether the key or what it can be recognised by stands in a text, in any spelling: for what is no success. */
  isTracedIn(text: string): boolean {
    return this.field !== null && this.traces.isIn(text);
  }
}

/** What a provider that takes no key has for one. */
const NO_KEY = new PoolKey('none', new Secret(''));

/**
 * Whether a response's head would hand the pool key to the client: an upstream that repeats what it was sent is not
 * unheard of. Heads of successes are searched for what nobody but the key's provider can write, which costs next to nothing.
 * @param head as the client would get it
 * @param fields what it is made of: flat list, names in any case
 */
export function leaksKey(
  status: number,
  head: string,
  fields: readonly string[],
  key: PoolKey,
): boolean {
  for (let at = 0; at < fields.length; at += 2) {
    if (isCredentialField(fields[at] ?? '')) return true;
  }
  return status < 300 ? key.isIn(head) : key.isTracedIn(head);
}

/**
 * The fields of a response without those that leak.
 * @param fields flat list, names in any case
 */
export function withoutKey(fields: readonly string[], key: PoolKey): readonly string[] {
  return fields.filter((_, at) => !isLeak(fields, at - (at % 2), key));
}

function isLeak(fields: readonly string[], at: number, key: PoolKey): boolean {
  return isCredentialField(fields[at] ?? '') || key.isTracedIn(`${fields[at]}: ${fields[at + 1]}`);
}

/** The pool keys of every provider; those of one take turns. */
export class PoolKeys {
  /** By the provider's index. */
  readonly #keys: readonly (readonly PoolKey[])[];
  readonly #turns: number[];

  /**
   * @param keys by provider name
   * @param first where the first turn starts, so that workers do not all begin with the same key
   */
  constructor(
    providers: readonly Provider[],
    keys: ReadonlyMap<string, readonly Secret[]>,
    first: number,
  ) {
    const byIndex: (readonly PoolKey[])[] = [];
    this.#turns = [];
    for (const { name, authScheme, keyless, index } of providers) {
      const own = (keys.get(name) ?? []).map(
        (secret, _at, all) => new PoolKey(authScheme, secret, all.length > 1),
      );
      byIndex[index] = keyless && own.length === 0 ? [NO_KEY] : own;
      this.#turns[index] = first;
    }
    this.#keys = byIndex;
  }

  /** All of a provider's, in the order of the configuration. */
  of(provider: Provider): readonly PoolKey[] {
    return this.#keys[provider.index] ?? [];
  }

  /**
   * The key that always has the same `seed`'s requests: two nodes without contact choose the same one.
   * @returns null when the provider has none
   */
  settled(provider: Provider, seed: number): PoolKey | null {
    return settledKey(this.of(provider), seed, (key) => key.print);
  }

  /** @returns null when the provider has none */
  next(provider: Provider): PoolKey | null {
    const keys = this.#keys[provider.index] ?? [];
    const turn = this.#turns[provider.index] ?? 0;
    this.#turns[provider.index] = turn + 1;
    return keys[turn % keys.length] ?? null;
  }
}

/**
 * Highest random weight (Thaler, Ravishankar 1998): of keys that come and go, a seed keeps the one it has.
 * @param print of a key, as `PoolKey` has it
 * @returns null when there are none
 */
export function settledKey<Key>(
  keys: readonly Key[],
  seed: number,
  print: (key: Key) => number,
): Key | null {
  let best: Key | null = null;
  let highest = -1;
  for (const key of keys) {
    const weight = mixed(seed ^ print(key));
    if (weight <= highest) continue;
    highest = weight;
    best = key;
  }
  return best;
}

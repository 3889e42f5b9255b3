/**
 * What a managed key may reach. A pool key is shared by all tenants, so only what cannot open one tenant's stored data
 * to another is let through (contracts: what a managed request may reach).
 */

import type { EndpointMetering } from '../providers/endpoint-metering.ts';
import type { Provider } from '../providers/providers.ts';

/** Found out about one managed request's path and method. */
type EndpointVerdict =
  | EndpointMetering
  | 'unknown'
  | 'wrong-method-post'
  | 'wrong-method-get'
  /** A response that the provider has stored: whose it is decides. */
  | 'stored'
  | 'wrong-method-stored';

/** What may be POSTed to, exactly so behind a prefix of the provider's API. */
const BUILT_IN: readonly (readonly [path: string, metering: EndpointMetering])[] = [
  ['/chat/completions', 'completions'],
  ['/completions', 'completions'],
  ['/responses', 'answers'],
  ['/messages', 'answers'],
  ['/messages/count_tokens', 'free'],
  ['/embeddings', 'reports'],
  ['/responses/input_tokens', 'free'],
  ['/responses/compact', 'answers'],
];

/** Stands for one segment of the caller's choice, or the part of one: Azure's deployments, Gemini's models. */
const NAME = /\{name\}/g;

// Plain characters only, and no dot segment: servers disagree about everything else (they fold case, cut at `;`, merge
// slashes, decode once or twice), and the path that was checked must be the path that is served.
const SEGMENT = '((?!\\.{1,2}(?:/|$))[A-Za-z0-9._:@~-]+)';

// Ids of Hugging Face, OpenRouter and Fireworks hold slashes (`accounts/fireworks/models/x`), which SDKs send as %2F
// with the colon as %3A. These are the only escapes: decoded or not, they lead to the list of models and nowhere else.
const ID_PART = '(?!\\.{1,2}(?:/|%2[Ff]|$))(?:[A-Za-z0-9._:@~-]|%3[Aa]|%40)+';
const ID_PARTS_MAX = 4;
const MODELS = new RegExp(
  `^/models(?:/${ID_PART}(?:(?:/|%2[Ff])${ID_PART}){0,${ID_PARTS_MAX - 1}})?$`,
);

/** A response that is stored (platform.openai.com/docs/api-reference/responses), and what may be done with it. */
const STORED = /^\/responses\/([A-Za-z0-9_-]{1,256})(\/cancel|\/input_items)?$/;

/** What answers to a POST may leave at the provider, to be named by later requests. */
const KEEPS =
  /\/(?:responses|responses\/compact|conversations|files|containers|batches|vector_stores)\/?$/;

/** What is posted there holds texts alone. */
const TEXT_ONLY = /\/(?:embeddings|(?<!chat\/)completions)\/?$/;

/** What may pass of what a provider has stored, by an endpoint's path as it is forwarded. */
export interface StateUse {
  /** The body may name it. */
  readonly names: boolean;
  /** The answer may. */
  readonly keeps: boolean;
  /** The path behind `API_PREFIX`. */
  readonly suffix: string;
}

/** Where the default providers' APIs begin, and so the paths that name no provider. */
const API_PREFIX = '/v1';

function stateUse(path: string): StateUse {
  return {
    names: !TEXT_ONLY.test(path),
    keeps: KEEPS.test(path),
    suffix: path.slice(API_PREFIX.length),
  };
}

/** Of one path, read at the boot: two patterns with each request were 0.2 us. */
interface Posted {
  readonly path: string;
  readonly metering: EndpointMetering;
  readonly state: StateUse;
}

/** A path of something that is stored, its parts. */
export interface StoredPath {
  readonly id: string;
  /** The path behind the provider's API prefix. */
  readonly suffix: string;
}

/** The endpoints of one provider. */
class ProviderEndpoints {
  /** Every path that may be POSTed to, whole. */
  readonly #paths = new Map<string, Posted>();
  /** Behind them comes a suffix of `#suffixes`, or a model. */
  readonly #named: readonly RegExp[];
  readonly #plain: readonly string[];
  readonly #suffixes: ReadonlyMap<string, EndpointMetering>;
  /** Whole paths of the provider's own wire that hold a name. */
  readonly #native: readonly (readonly [path: RegExp, metering: EndpointMetering])[];

  readonly #lists: readonly RegExp[];

  /**
   * @param own whole paths of the provider's own wire
   * @param slashed a slash behind an endpoint is the same endpoint
   */
  constructor(
    prefixes: readonly string[],
    endpoints: ReadonlyMap<string, EndpointMetering>,
    { native, lists }: Pick<Provider, 'native' | 'lists'>,
    slashed: boolean,
  ) {
    const suffixes = new Map(endpoints);
    if (slashed) for (const [path, metering] of endpoints) suffixes.set(`${path}/`, metering);
    this.#suffixes = suffixes;
    this.#plain = prefixes.filter((prefix) => prefix.search(NAME) === -1);
    this.#named = prefixes
      .filter((prefix) => prefix.search(NAME) !== -1)
      .map((prefix) => new RegExp(`^${named(prefix)}(?=/)`));
    this.#native = native
      .filter(([path]) => path.search(NAME) !== -1)
      .map(([path, metering]) => [new RegExp(`^${named(path)}$`), metering]);
    this.#lists = lists.map((path) => new RegExp(`^${named(path)}$`));
    for (const [path, metering] of native) this.#put(path, metering);
    for (const prefix of this.#plain) {
      for (const [suffix, metering] of suffixes) this.#put(prefix + suffix, metering);
    }
  }

  #put(path: string, metering: EndpointMetering): void {
    this.#paths.set(path, { path, metering, state: stateUse(path) });
  }

  spelled(path: string): string {
    return this.#paths.get(path)?.path ?? path;
  }

  /** Read at the boot for the paths that are whole, which are nearly all. */
  stateOf(path: string): StateUse {
    return this.#paths.get(path)?.state ?? stateUse(path);
  }

  /** Undefined for what may not be POSTed to. */
  posted(path: string): EndpointMetering | undefined {
    const known = this.#paths.get(path);
    if (known !== undefined) return known.metering;
    for (const [pattern, metering] of this.#native) if (pattern.test(path)) return metering;
    for (const prefix of this.#named) {
      const found = prefix.exec(path);
      if (found !== null) return this.#suffixes.get(path.slice(found[0].length));
    }
    return undefined;
  }

  stored(path: string): StoredPath | null {
    for (const prefix of this.#plain) {
      if (!path.startsWith(prefix)) continue;
      const suffix = path.slice(prefix.length);
      const id = STORED.exec(suffix)?.[1];
      if (id !== undefined) return { id, suffix };
    }
    return null;
  }

  /** What stands in a path where a `{name}` is. */
  nameIn(path: string): string | null {
    for (const pattern of this.#named) {
      const found = pattern.exec(path);
      if (found !== null) return found[1] ?? null;
    }
    for (const [pattern] of this.#native) {
      const found = pattern.exec(path);
      if (found !== null) return found[1] ?? null;
    }
    return null;
  }

  hasModel(path: string): boolean {
    return (
      this.#lists.some((pattern) => pattern.test(path)) ||
      this.#plain.some(
        (prefix) => path.startsWith(prefix) && MODELS.test(path.slice(prefix.length)),
      ) ||
      this.#named.some((prefix) => {
        const found = prefix.exec(path);
        return found !== null && MODELS.test(path.slice(found[0].length));
      })
    );
  }
}

/** A path's pattern, its `{name}` filled in. */
function named(path: string): string {
  return escaped(path).replaceAll('\\{name\\}', SEGMENT);
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** The endpoints that a managed key may reach, built once at boot. */
export class ManagedEndpoints {
  /** By the provider's index. */
  readonly #providers: readonly ProviderEndpoints[];

  /**
   * @param addedSuffixes further endpoints behind every prefix, from the configuration
   * @param addedPrefixes further prefixes of every provider, from the configuration; `{name}` stands for one segment
   */
  constructor(
    providers: readonly Provider[],
    addedSuffixes: readonly string[],
    addedPrefixes: readonly string[],
  ) {
    const suffixes = new Map([
      ...BUILT_IN,
      ...addedSuffixes.map((suffix) => [suffix, 'reports'] as const),
    ]);
    const byIndex: ProviderEndpoints[] = [];
    // Frameworks that serve models at home redirect to the path with a slash (FastAPI's `redirect_slashes`), and clients
    // follow; of the built-in providers none does.
    for (const provider of providers) {
      const all = [...provider.prefixes, ...addedPrefixes];
      byIndex[provider.index] = new ProviderEndpoints(all, suffixes, provider, !provider.builtIn);
    }
    this.#providers = byIndex;
  }

  /** What is stored under a path that was judged so; null for every other one. */
  stored(path: string, provider: Provider): StoredPath | null {
    return this.#providers[provider.index]?.stored(path) ?? null;
  }

  /**
   * A path as one string for all requests to it, where it is whole and may be posted to: who compares it with the last one, or
   * looks it up, is done at once.
   */
  spelled(path: string, provider: Provider): string {
    return this.#providers[provider.index]?.spelled(path) ?? path;
  }

  /** What a request to a path that may be posted to, and its answer, may name of what is stored. @param path as it is forwarded */
  stateOf(path: string, provider: Provider): StateUse {
    return this.#providers[provider.index]?.stateOf(path) ?? stateUse(path);
  }

  /** The model that a path names, or what else stands in such a place; null: none, and the body says it. */
  nameIn(path: string, provider: Provider): string | null {
    return this.#providers[provider.index]?.nameIn(path) ?? null;
  }

  /** @param path the forwarded path, raw, without query */
  judge(method: string, path: string, provider: Provider): EndpointVerdict {
    const endpoints = this.#providers[provider.index];
    if (endpoints === undefined) return 'unknown';
    const metering = endpoints.posted(path);
    if (metering !== undefined) return method === 'POST' ? metering : 'wrong-method-post';
    const stored = endpoints.stored(path);
    if (stored !== null) return mayBeDone(method, stored.suffix) ? 'stored' : 'wrong-method-stored';
    if (!endpoints.hasModel(path)) return 'unknown';
    return method === 'GET' || method === 'HEAD' ? 'free' : 'wrong-method-get';
  }
}

function mayBeDone(method: string, suffix: string): boolean {
  if (suffix.endsWith('/cancel')) return method === 'POST';
  if (method === 'GET' || method === 'HEAD') return true;
  return method === 'DELETE' && !suffix.endsWith('/input_items');
}

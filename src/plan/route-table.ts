/**
 * Names that callers may put into `model`, as the configuration has them: aliases of providers, routes, and
 * `provider/model`. Made once for each configuration; what is wrong in it is told there, never to a caller.
 */

import type { Provider } from '../providers/providers.ts';
import { FAILOVER_DEFAULT, type FailoverReason } from './failover.ts';

/** How the entries of one group are ordered. */
export type Balance = 'order' | 'weight' | 'latency' | 'cost';

/** What happens to a stream that breaks behind its first content. */
export type StreamSafety = 'relay' | 'hold' | 'resume';

/** What keeps a conversation where its prompt is cached: what tells of it, a field's value, or nothing. */
export type RouteAffinity = 'auto' | 'off' | `header:${string}`;

/** An entry of a group as the file has it. */
interface EntrySettings {
  /** A target (`provider/model`) or another route. */
  readonly to: string;
  /** Only for `weight`; 1 when nothing is said. */
  readonly weight: number;
}

/** A `[routes.NAME]` table, defaults filled in. */
export interface RouteSettings {
  readonly targets: readonly EntrySettings[];
  readonly fallbacks: readonly string[];
  readonly balance: Balance;
  readonly fallbackOn: readonly FailoverReason[];
  /** Further tries of a target before the next one. */
  readonly retries: number;
  /** 0 = off. */
  readonly firstContentTimeoutMs: number;
  /** Between two events of content, where another target can still go on; 0 = off. */
  readonly stallTimeoutMs: number;
  /** Over all attempts, until commit; 0 = off. */
  readonly deadlineMs: number;
  readonly streamSafety: StreamSafety;
  readonly affinity: RouteAffinity;
  /** Pico-dollars: a target at which the request may cost more is left out; 0 = no limit. */
  readonly maxCostPico: number;
  /** A target of another wire at which something of the request would be lost is passed over. */
  readonly isStrict: boolean;
}

export const ROUTE_DEFAULTS: RouteSettings = {
  targets: [],
  fallbacks: [],
  balance: 'order',
  fallbackOn: FAILOVER_DEFAULT,
  retries: 1,
  firstContentTimeoutMs: 30_000,
  stallTimeoutMs: 60_000,
  deadlineMs: 0,
  streamSafety: 'relay',
  affinity: 'auto',
  maxCostPico: 0,
  isStrict: false,
};

/** One provider and one of its models. */
export interface Target {
  /** `provider/model`, as it is spelled in facts, fields and metrics. */
  readonly name: string;
  readonly provider: Provider;
  readonly model: string;
}

export type Entry = { readonly weight: number } & (
  | { readonly target: Target }
  | { readonly route: Route }
);

/** A route, its names resolved. */
export interface Route {
  readonly name: string;
  readonly settings: RouteSettings;
  /** The targets that are wanted, then each fallback as a group of one. */
  readonly groups: readonly (readonly Entry[])[];
}

/** What a name in `model` means. */
export type Resolved =
  | { readonly kind: 'route'; readonly route: Route }
  /** `model` is rewritten to the part behind the provider. */
  | { readonly kind: 'target'; readonly target: Target }
  /** A name without a slash that is no route: the default provider's, and the body goes as it came. */
  | { readonly kind: 'plain' }
  | { readonly kind: 'unknown'; readonly nearest: readonly string[] };

/** Routes inside routes, the outermost counted: deeper is a mistake, and every level costs a look. */
const ROUTE_DEPTH_MAX = 8;

/** A fault of the configuration: which key, and a sentence on what is wrong. */
interface RouteProblem {
  readonly path: readonly (string | number)[];
  readonly found: string;
  readonly expected: string;
}

/** Aliases that exist without being written. */
export const BUILT_IN_ALIASES: ReadonlyMap<string, string> = new Map([
  ['claude', 'anthropic'],
  ['google', 'gemini'],
  ['grok', 'xai'],
]);

/** How many names a caller who mistyped one is told. */
const NEAREST_SHOWN = 3;

export class RouteTable {
  readonly #providers: ReadonlyMap<string, Provider>;
  readonly #aliases: ReadonlyMap<string, string>;
  readonly #routes: ReadonlyMap<string, Route>;

  /** @throws Error when the settings have a problem that `routeProblems` would have told */
  constructor(
    providers: readonly Provider[],
    aliases: ReadonlyMap<string, string>,
    settings: ReadonlyMap<string, RouteSettings>,
  ) {
    this.#providers = new Map(providers.map((provider) => [provider.name, provider]));
    this.#aliases = new Map([...BUILT_IN_ALIASES, ...aliases]);
    const routes = new Map<string, Route>();
    // In the order of the configuration, whichever lead through others.
    this.#routes = new Map(
      [...settings.keys()].map((name) => [name, this.#build(name, settings, routes)]),
    );
  }

  get routes(): readonly Route[] {
    return [...this.#routes.values()];
  }

  /** Every target that a route names, each once. */
  get targets(): readonly Target[] {
    const entries = this.routes.flatMap(({ groups }) => groups.flat());
    const named = entries.flatMap((entry) => ('target' in entry ? [entry.target] : []));
    return [...new Map(named.map((target) => [target.name, target])).values()];
  }

  /** @param name what stands in a request's `model` */
  resolve(name: string): Resolved {
    const route = this.#routes.get(name);
    if (route !== undefined) return { kind: 'route', route };
    const target = this.target(name);
    if (target !== null) return { kind: 'target', target };
    if (!name.includes('/')) return { kind: 'plain' };
    return { kind: 'unknown', nearest: this.#nearest(name) };
  }

  /** @returns a provider, or a target, as it is called here; null for what is neither: an alias is one of a provider */
  known(name: string): string | null {
    const provider = this.#providers.get(this.#aliases.get(name) ?? name);
    return provider?.name ?? this.target(name)?.name ?? null;
  }

  /** Splits at the first slash, where the left part is a provider or an alias of one. */
  target(name: string): Target | null {
    const slash = name.indexOf('/');
    if (slash < 1 || slash === name.length - 1) return null;
    const left = name.slice(0, slash);
    const provider = this.#providers.get(this.#aliases.get(left) ?? left);
    if (provider === undefined) return null;
    const model = name.slice(slash + 1);
    return { name: `${provider.name}/${model}`, provider, model };
  }

  #build(
    name: string,
    settings: ReadonlyMap<string, RouteSettings>,
    routes: Map<string, Route>,
  ): Route {
    const known = routes.get(name);
    if (known !== undefined) return known;
    const own = settings.get(name);
    if (own === undefined) throw new Error(`There is no route ${name}.`);
    const entry = ({ to, weight }: EntrySettings): Entry => {
      if (settings.has(to) && to !== name)
        return { weight, route: this.#build(to, settings, routes) };
      const target = this.target(to);
      if (target === null) throw new Error(`Route ${name} names ${to}, which is nothing.`);
      return { weight, target };
    };
    const route: Route = {
      name,
      settings: own,
      groups: [own.targets.map(entry), ...own.fallbacks.map((to) => [entry({ to, weight: 1 })])],
    };
    routes.set(name, route);
    return route;
  }

  #nearest(name: string): readonly string[] {
    const names = [...this.#routes.keys(), ...this.#providers.keys()];
    const left = name.slice(0, name.indexOf('/'));
    return names
      .map((known) => ({ known, far: distance(known, left) }))
      .sort((a, b) => a.far - b.far)
      .slice(0, NEAREST_SHOWN)
      .map(({ known }) => known);
  }
}

/**
 * What is wrong with a configuration's routes: names that are nothing, loops (told whole), chains that are too deep.
 * @param providerNames of the table that the same configuration makes
 */
export function routeProblems(
  providerNames: readonly string[],
  aliases: ReadonlyMap<string, string>,
  settings: ReadonlyMap<string, RouteSettings>,
): readonly RouteProblem[] {
  const problems: RouteProblem[] = [];
  for (const [alias, provider] of aliases) {
    if (providerNames.includes(provider)) continue;
    problems.push({
      path: ['provider_aliases', alias],
      found: `the unknown provider "${provider}"`,
      expected: `one of ${providerNames.join(', ')}`,
    });
  }
  const isTarget = targetTest(providerNames, aliases);
  for (const [name, { targets, fallbacks }] of settings) {
    for (const { key, to } of [
      ...targets.map((entry) => ({ key: 'targets', to: entry.to })),
      ...fallbacks.map((to) => ({ key: 'fallbacks', to })),
    ]) {
      // A route may be named like a real model: its own name inside of it means the model.
      if ((settings.has(to) && to !== name) || isTarget(to)) continue;
      problems.push({
        path: ['routes', name, key],
        found: to === name ? `the route itself, "${to}"` : `"${to}"`,
        expected: 'a route, or provider/model with a provider of this configuration or its alias',
      });
    }
    const chain = deepest(name, settings, [], new Map());
    if (chain.loops) {
      problems.push({
        path: ['routes', name],
        found: `a loop: ${chain.names.join(' -> ')}`,
        expected: 'routes that end at targets',
      });
    } else if (chain.names.length > ROUTE_DEPTH_MAX) {
      problems.push({
        path: ['routes', name],
        found: `a chain of ${chain.names.length} routes: ${chain.names.join(' -> ')}`,
        expected: `at most ${ROUTE_DEPTH_MAX} routes inside each other`,
      });
    }
  }
  return problems;
}

/** What is wrong with the names of models that a configuration describes. */
export function modelProblems(
  providerNames: readonly string[],
  aliases: ReadonlyMap<string, string>,
  names: Iterable<string>,
): readonly RouteProblem[] {
  const isTarget = targetTest(providerNames, aliases);
  return [...names]
    .filter((name) => !isTarget(name))
    .map((name) => ({
      path: ['models', name],
      found: `the name ${JSON.stringify(name)}`,
      expected: 'provider/model with a provider of this configuration or its alias',
    }));
}

function targetTest(
  providerNames: readonly string[],
  aliases: ReadonlyMap<string, string>,
): (name: string) => boolean {
  const nameOf = targetNames(providerNames, aliases);
  return (name) => nameOf(name) !== null;
}

/** @returns what says the name of a target with its provider's own name for an alias; null for what is no target */
export function targetNames(
  providerNames: readonly string[],
  aliases: ReadonlyMap<string, string>,
): (name: string) => string | null {
  const all = new Map([...BUILT_IN_ALIASES, ...aliases]);
  return (name) => {
    const slash = name.indexOf('/');
    if (slash < 1 || slash === name.length - 1) return null;
    const left = name.slice(0, slash);
    const provider = all.get(left) ?? left;
    return providerNames.includes(provider) ? provider + name.slice(slash) : null;
  };
}

interface Chain {
  readonly names: readonly string[];
  readonly loops: boolean;
}

/**
 * The longest chain of routes from `name` on, or the first one that comes back.
 * @param known what lies behind a route at a depth, of one start: routes that lead to each other in many ways would take
 *   for ever else (eight in each of eight layers are 16 million ways). A loop that is missed for it, because it does
 *   not lead through the start, is found where it is the start.
 */
function deepest(
  name: string,
  settings: ReadonlyMap<string, RouteSettings>,
  above: readonly string[],
  known: Map<string, Chain>,
): Chain {
  const here = [...above, name];
  if (above.includes(name)) return { names: here, loops: true };
  const place = `${here.length} ${name}`;
  const before = known.get(place);
  if (before !== undefined) return before;
  let longest: Chain = { names: here, loops: false };
  // Nothing is deeper than that without being told already.
  if (here.length > ROUTE_DEPTH_MAX + 1) return longest;
  const { targets = [], fallbacks = [] } = settings.get(name) ?? {};
  for (const to of [...targets.map((entry) => entry.to), ...fallbacks]) {
    if (!settings.has(to) || to === name) continue;
    const chain = deepest(to, settings, here, known);
    if (chain.loops) return chain;
    if (chain.names.length > longest.names.length) longest = chain;
  }
  known.set(place, longest);
  return longest;
}

/** Levenshtein's; names are short. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

import type { PoolKeys } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import { type AskableName, askableNames } from './askable-names.ts';
import type { Health } from './health.ts';
import type { ModelTraits } from './model-traits.ts';
import type { Pins } from './pins.ts';
import type { Planner } from './planner.ts';
import { type PriceDoor, withTraits } from './price-door.ts';
import { type Route, type RouteSettings, RouteTable, type Target } from './route-table.ts';
import { AUTO, withAuto } from './small-models.ts';

/** What a configuration says of names. */
interface Said {
  readonly aliases: ReadonlyMap<string, string>;
  readonly routes: ReadonlyMap<string, RouteSettings>;
  readonly models: ReadonlyMap<string, ModelTraits>;
}

/** What somebody may ask for. */
interface Permitted {
  readonly names: Iterable<string>;
  allows(name: string): boolean;
}

/** One configuration's plans and names. */
export interface Plans<Kind extends Planner = Planner> {
  readonly planner: Kind;
  readonly table: RouteTable;
  /** What the configuration names; `auto`, where nobody wrote it, has others. */
  readonly targets: readonly Target[];
  /** Prices and what is known of models, the configuration's word first. */
  readonly prices: PriceDoor;
  /**
   * What is to be listed for callers whose wire these targets answer on: nothing where the configuration writes no name
   * that they can ask for, because then the default provider's own list is the true one.
   * @param permission of whom it is for: then it is never the provider's own list, and has the names that it writes out
   */
  names(
    mayAnswer: (target: Target) => boolean,
    permission?: Permitted | null,
  ): readonly AskableName[];
}

/**
 * @param poolKeys the turns of which are the planner's
 * @throws Error when the settings have a problem that `routeProblems` would have told
 */
export function openPlanner<Kind extends Planner>(
  { aliases, routes, models }: Said,
  providers: readonly Provider[],
  poolKeys: PoolKeys,
  health: Health,
  pins: Pins,
  book: PriceDoor,
  planner: new (...made: ConstructorParameters<typeof Planner>) => Kind,
): Plans<Kind> {
  const written = new RouteTable(providers, aliases, routes);
  const table = new RouteTable(providers, aliases, withAuto(routes, providers, poolKeys));
  const traits = [...models].flatMap(([name, said]) => {
    const target = table.target(name);
    return target === null ? [] : [[target.name, said] as const];
  });
  const prices = withTraits(book, new Map(traits));
  return {
    table,
    targets: written.targets,
    prices,
    planner: new planner(table, health, poolKeys, pins, models.keys(), prices),
    names: (answers, permission = null) => {
      const mayAnswer = (target: Target): boolean =>
        permission?.allows(target.name) !== false && answers(target);
      if (permission === null && askableNames(written, models.keys(), mayAnswer).length === 0)
        return [];
      // Of somebody's own server, and of one that takes no key, nobody knows which models it has.
      const vendors = providers.filter(
        (provider) => provider.builtIn && poolKeys.of(provider).some(({ field }) => field !== null),
      );
      const priced = vendors.flatMap(({ name }) =>
        prices.models(name).map((model) => `${name}/${model}`),
      );
      const known = [...models.keys(), ...priced, ...(permission?.names ?? [])];
      const names = askableNames(table, known, mayAnswer).filter(
        ({ name }) => permission?.allows(name) !== false,
      );
      const auto = table.resolve(AUTO);
      // It never goes to what has no price (A2).
      const hasAuto =
        auto.kind === 'route' &&
        targetsOf(auto.route).some(
          (target) => mayAnswer(target) && prices.rates(target.provider.name, target.model, 0),
        );
      return hasAuto ? names : names.filter(({ name }) => name !== AUTO);
    },
  };
}

function targetsOf({ groups }: Route): readonly Target[] {
  return groups
    .flat()
    .flatMap((entry) => ('route' in entry ? targetsOf(entry.route) : [entry.target]));
}

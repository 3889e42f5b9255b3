import type { Entry, Route, RouteTable, Target } from './route-table.ts';

/** A name that may stand in `model`, and that somebody would answer to. */
export interface AskableName {
  readonly name: string;
  /** Null for a route, which may lead to several. */
  readonly target: Target | null;
}

/**
 * The names that are written down and lead somewhere, each once: routes in the order of the configuration, then
 * `provider/model`. Plain names, which go to a default provider as they come, are nobody's list.
 * @param known models by `provider/model` or an alias of the provider; the door for whoever else knows of some
 * @param mayAnswer whether there is a key for a target
 */
export function askableNames(
  table: RouteTable,
  known: Iterable<string>,
  mayAnswer: (target: Target) => boolean,
): readonly AskableName[] {
  const targets = new Map<string, Target>();
  for (const name of known) {
    const target = table.target(name);
    if (target !== null && mayAnswer(target)) targets.set(target.name, target);
  }
  const isOpen = new Map<Route, boolean>();
  const entryAnswers = (entry: Entry): boolean => {
    if ('route' in entry) return routeAnswers(entry.route);
    if (!mayAnswer(entry.target)) return false;
    targets.set(entry.target.name, entry.target);
    return true;
  };
  // Each route once, however many lead through it: a tangle of eight levels would take for ever.
  const routeAnswers = (route: Route): boolean => {
    const judged = isOpen.get(route);
    if (judged !== undefined) return judged;
    const answers = route.groups.flat().filter(entryAnswers).length > 0;
    isOpen.set(route, answers);
    return answers;
  };
  const routes = table.routes.filter(routeAnswers).map(({ name }) => name);
  return [
    ...routes.map((name) => ({ name, target: null })),
    // A route may be named like a target: it is what the name means then.
    ...[...targets.values()]
      .filter(({ name }) => !routes.includes(name))
      .map((target) => ({ name: target.name, target })),
  ];
}

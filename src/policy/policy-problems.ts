import { type RouteSettings, targetNames } from '../plan/route-table.ts';
import { AUTO } from '../plan/small-models.ts';
import { ModelPermission } from './model-permission.ts';
import { spellingsOf } from './model-spelling.ts';
import { type PolicyConfig, REFUSE } from './policy-settings.ts';

/** A fault of the configuration: which key, and a sentence on what is wrong. */
interface PolicyProblem {
  readonly path: readonly (string | number)[];
  /** Absent: the value that stands there. */
  readonly found?: string;
  readonly expected: string;
}

/** Names that the policies of a configuration may use. */
interface KnownNames {
  readonly providers: readonly string[];
  readonly aliases: ReadonlyMap<string, string>;
  readonly routes: ReadonlyMap<string, RouteSettings>;
  readonly guards: readonly string[];
}

const ID = /^(?:0|[1-9][0-9]{0,19})$/;
const U64_MAX = 2n ** 64n - 1n;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** What is wrong between policies, keys, tenants, classes and routes: names that are nothing. */
export function policyProblems(
  { policies, keys, tenants, classes, limits }: PolicyConfig,
  known: KnownNames,
): readonly PolicyProblem[] {
  const problems: PolicyProblem[] = [];
  const policy = (path: readonly string[], name: string | null): void => {
    if (name === null || policies.has(name)) return;
    problems.push({ path, expected: oneOf(policies) });
  };
  for (const [table, rows] of [
    ['keys', keys],
    ['tenants', tenants],
  ] as const) {
    for (const [id, row] of rows) {
      if (!ID.test(id) || BigInt(id) > U64_MAX) {
        const expected = `an id as it was minted: a decimal number from 0 to ${U64_MAX}`;
        problems.push({ path: [table, id], found: 'an id that is none', expected });
      }
      policy([table, id, 'policy'], row.policy);
    }
  }
  for (const [keyClass, name] of classes) policy(['classes', keyClass], name);
  const nameOf = targetNames(known.providers, known.aliases);
  for (const [name, { models, onExceeded, guards }] of policies) {
    if (!NAME.test(name)) {
      const expected = 'a name of letters, digits, ".", "_" and "-", at most 64';
      problems.push({ path: ['policies', name], found: 'such a name', expected });
    }
    problems.push(...modelProblems(name, models ?? [], known));
    for (const [at, guard] of (guards ?? []).entries()) {
      if (known.guards.includes(guard)) continue;
      const expected = `one of ${known.guards.join(', ')}`;
      problems.push({ path: ['policies', name, 'guards', at], expected });
    }
    if (onExceeded === null || onExceeded === REFUSE || onExceeded === AUTO) continue;
    if (known.routes.has(onExceeded) || nameOf(onExceeded) !== null) continue;
    const expected = `"${REFUSE}", a route, or provider/model with a provider of this configuration or its alias`;
    problems.push({ path: ['policies', name, 'on_exceeded'], expected });
  }
  const spelled = new Map<string, string>();
  for (const name of limits.models.keys()) {
    if (nameOf(name) === name) {
      const [first = name] = spellingsOf(name);
      const other = spelled.get(first);
      spelled.set(first, name);
      if (other === undefined) continue;
      const expected = `one row for a model, whatever its case: "${other}" is there already`;
      problems.push({ path: ['limits', 'models', name], found: 'another one', expected });
      continue;
    }
    const expected = nameOf(name) ?? 'provider/model with a provider of this configuration';
    problems.push({ path: ['limits', 'models', name], found: 'such a name', expected });
  }
  for (const name of limits.providers.keys()) {
    if (known.providers.includes(name)) continue;
    const expected = `one of ${known.providers.join(', ')}`;
    problems.push({ path: ['limits', 'providers', name], found: 'such a name', expected });
  }
  return problems;
}

function oneOf(policies: PolicyConfig['policies']): string {
  if (policies.size === 0) return 'a policy, and there is no [policies.NAME]';
  return `one of ${[...policies.keys()].join(', ')}`;
}

function modelProblems(
  policy: string,
  models: readonly string[],
  { providers, aliases, routes }: KnownNames,
): readonly PolicyProblem[] {
  const nameOf = targetNames(providers, aliases);
  const permission = new ModelPermission(models.map((name) => nameOf(name) ?? name));
  return models.flatMap((name, at): readonly PolicyProblem[] => {
    const path = ['policies', policy, 'models', at];
    if (routes.has(name)) {
      const targets = targetsOf(name, routes, new Set());
      if (targets.some((to) => permission.allows(nameOf(to) ?? to))) return [];
      return [
        {
          path,
          found: `the route "${name}", and none of its targets`,
          expected: `one of them beside it: ${targets.join(', ')}`,
        },
      ];
    }
    // It is a route without being written.
    if (name === AUTO) return [];
    if (nameOf(name) !== null && !name.slice(0, -1).includes('*')) return [];
    const expected =
      'a route, provider/model, or provider/beginning* with a provider of this configuration or its alias';
    return [{ path, found: JSON.stringify(name), expected }];
  });
}

/** The targets that a route leads to, through others too; each route once, because a loop is another problem. */
function targetsOf(
  name: string,
  routes: ReadonlyMap<string, RouteSettings>,
  seen: Set<string>,
): readonly string[] {
  seen.add(name);
  const { targets = [], fallbacks = [] } = routes.get(name) ?? {};
  return [...targets.map(({ to }) => to), ...fallbacks].flatMap((to) => {
    if (!routes.has(to) || to === name) return [to];
    return seen.has(to) ? [] : targetsOf(to, routes, seen);
  });
}

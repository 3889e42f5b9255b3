import { fieldWishes } from '../../src/admit/wishes.ts';
import { BREAKER_DEFAULTS, createHealthTable, Health } from '../../src/plan/health.ts';
import { createPinTable, Pins } from '../../src/plan/pins.ts';
import type { Plan } from '../../src/plan/plan.ts';
import { Planner } from '../../src/plan/planner.ts';
import { ROUTE_DEFAULTS, type RouteSettings, RouteTable } from '../../src/plan/route-table.ts';
import { PoolKeys } from '../../src/providers/pool-keys.ts';
import { providerTable } from '../../src/providers/providers.ts';
import { Secret } from '../../src/secret.ts';

const START = 1_000_000;
const PROVIDERS = providerTable([]);

/** A planner over one route, `chat`, on a clock that moves when it is told to. */
export class PlannedScene {
  readonly health: Health;
  readonly planner: Planner;
  #now = START;

  /** @param keys by provider; those without are left out of every plan */
  constructor(route: Partial<RouteSettings>, keys: Readonly<Record<string, readonly string[]>>) {
    const clock = (): number => this.#now;
    this.health = new Health(createHealthTable(START), BREAKER_DEFAULTS, clock);
    const table = new RouteTable(
      PROVIDERS,
      new Map(),
      new Map([['chat', { ...ROUTE_DEFAULTS, ...route }]]),
    );
    const secrets = Object.entries(keys).map(
      ([name, own]) => [name, own.map((key) => new Secret(key))] as const,
    );
    const poolKeys = new PoolKeys(PROVIDERS, new Map(secrets), 0);
    const pins = new Pins(createPinTable(START), clock);
    this.planner = new Planner(table, this.health, poolKeys, pins);
  }

  pass(ms: number): void {
    this.#now += ms;
  }

  plan(): Plan {
    const resolved = this.planner.resolve('chat');
    if (resolved.kind !== 'route') throw new Error('chat is no route');
    return this.planner.plan(resolved.route, { ...fieldWishes([], '42', 'openai'), needs: null });
  }
}

/** Targets of a route, each as likely as the others. */
export function entries(...names: readonly string[]): RouteSettings['targets'] {
  return names.map((to) => ({ to, weight: 1 }));
}

import { type ConfigDocument, configFromDocument } from '../config/config-document.ts';
import { type BreakerState, Health } from '../plan/health.ts';
import { Pins } from '../plan/pins.ts';
import { Planner } from '../plan/planner.ts';
import { RouteTable, type Target } from '../plan/route-table.ts';
import { PoolKeys } from '../providers/pool-keys.ts';
import { providerTable } from '../providers/providers.ts';

/** How a target is doing, as an operator is told. */
export interface TargetState {
  readonly name: string;
  readonly state: BreakerState;
  /** Until it may be tried, in milliseconds; 0 = now. */
  readonly wait_ms: number;
  /** To its first content, in milliseconds; 0 = unknown. */
  readonly ttft_ms: number;
}

/** Names in one question: what a route can hold. */
const NAMES_MAX = 256;

/** The main thread's look at how targets are doing, in the memory that the workers write. */
export class RoutingView {
  readonly #health: Health;
  readonly #pins: Pins;
  #document: ConfigDocument | null = null;
  #table: RouteTable | null = null;
  #planner: Planner | null = null;

  /** @param health what `createHealthTable` made. @param pins what `createPinTable` made */
  constructor(health: SharedArrayBuffer, pins: SharedArrayBuffer) {
    this.#health = new Health(health);
    this.#pins = new Pins(pins);
  }

  /**
   * @param names targets, or nothing for all that the configuration names
   * @returns those of them that are targets
   */
  states(document: ConfigDocument, names: readonly string[] = []): readonly TargetState[] {
    const { table, planner } = this.#read(document);
    const asked = names.slice(0, NAMES_MAX).flatMap((name) => table.target(name) ?? []);
    return (names.length === 0 ? table.targets : asked).map((target) => stateOf(planner, target));
  }

  /** Made anew when the configuration is another one. */
  #read(document: ConfigDocument): { readonly table: RouteTable; readonly planner: Planner } {
    if (this.#document !== document || this.#table === null || this.#planner === null) {
      const { routing, poolKeys, providers: overrides } = configFromDocument(document);
      const providers = providerTable(overrides);
      const table = new RouteTable(providers, routing.aliases, routing.routes);
      const keys = new PoolKeys(providers, poolKeys, 0);
      this.#planner = new Planner(table, this.#health, keys, this.#pins, routing.models.keys());
      this.#table = table;
      this.#document = document;
    }
    return { table: this.#table, planner: this.#planner };
  }
}

function stateOf(planner: Planner, target: Target): TargetState {
  const { state, waitMs, ttftMs } = planner.condition(target);
  return { name: target.name, state, wait_ms: waitMs, ttft_ms: ttftMs };
}

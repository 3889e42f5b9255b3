import { type ConfigDocument, configFromDocument } from '../config/config-document.ts';
import { type BreakerState, Health } from '../plan/health.ts';
import { openPlanner, type Plans } from '../plan/open-planner.ts';
import { Pins } from '../plan/pins.ts';
import { Planner } from '../plan/planner.ts';
import { NO_PRICES } from '../plan/price-door.ts';
import type { Target } from '../plan/route-table.ts';
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
  #plans: Plans | null = null;

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
    const { table, targets, planner } = this.#read(document);
    const asked = names.slice(0, NAMES_MAX).flatMap((name) => table.target(name) ?? []);
    return (names.length === 0 ? targets : asked).map((target) => stateOf(planner, target));
  }

  /** Made anew when the configuration is another one. */
  #read(document: ConfigDocument): Plans {
    if (this.#document === document && this.#plans !== null) return this.#plans;
    const { routing, poolKeys, providers: overrides } = configFromDocument(document);
    const providers = providerTable(overrides);
    const keys = new PoolKeys(providers, poolKeys, 0);
    const plans = openPlanner(
      routing,
      providers,
      keys,
      this.#health,
      this.#pins,
      NO_PRICES,
      Planner,
    );
    this.#plans = plans;
    this.#document = document;
    return plans;
  }
}

function stateOf(planner: Planner, target: Target): TargetState {
  const { state, waitMs, ttftMs } = planner.condition(target);
  return { name: target.name, state, wait_ms: waitMs, ttft_ms: ttftMs };
}

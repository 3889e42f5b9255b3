/**
 * Where the node's share of a budget comes from. Two sources stand behind this interface: one node has all of every budget
 * (`WholeBudgets`); the nodes of a fleet have what they were granted. The main thread asks a source, workers never do: they see
 * what came of it in the table (`budget-table.ts`, `granted`).
 *
 * What is agreed:
 * - Money is whole nano-dollars (1e-9 USD), numbers up to 2^53.
 * - A node reserves only within `spent + reserved <= min(limit, granted)` of a row. So a source that grants no more in sum than
 *   the limit makes the bound hold whatever the network does.
 * - `granted` begins at 0 with each window, and is what the node has for the whole window, spent part included: it grows by
 *   slices, and falls when some is handed back.
 * - The keeper shows a source every row that anybody used, every `LOOK_MS`, and at once when a request did not fit its grant.
 */

import type { BudgetScope, BudgetWindow } from './budget-settings.ts';

/** One budget in one window, as it stands on this node. */
export interface BudgetRow {
  readonly scope: BudgetScope;
  /** Of a key: `tenant/key`; of a tenant: its id. Decimal, so that it can stand in a key of a bucket. */
  readonly name: string;
  readonly window: BudgetWindow;
  /** Which one: `2026-11-28`, `2026-11`. */
  readonly label: string;
  /** As the configuration has it, on the node that met it last. */
  readonly limit: number;
  readonly granted: number;
  readonly spent: number;
  readonly reserved: number;
  /** The largest reservation since the last look that did not fit the grant, though it might fit the limit; 0 = none. */
  readonly wanted: number;
}

/** What a source tells the table. */
export interface Grants {
  /**
   * What the node has of a row from now on. Handing back is a grant that is smaller: call it first and tell the others then, and
   * only ever down to what it returns.
   * @param elsewhere what other nodes are known to have been granted, for people who ask how a budget stands
   * @returns what is granted then: never less than what is spent and reserved; 0 where the window is over
   */
  grant(row: BudgetRow, granted: number, elsewhere: number): number;
  /** Whether more can be granted within milliseconds: then a request waits for it. */
  reachable(isReachable: boolean): void;
}

/** Gets grants for this node. All of it runs on the main thread; nothing of it may throw. */
export interface GrantSource {
  /** False: a row has nothing until `grant` was called. True: it has its whole limit, and `grant` is never called. */
  readonly isWhole: boolean;
  /** Called once, before any worker runs. */
  start(grants: Grants): void;
  /** Every `LOOK_MS` for a row that is in use, and at once (within a message) with `wanted` above 0. */
  look(row: BudgetRow): void;
  /** The window of a row is over: what is left of its grant is worth nothing. */
  ended(row: BudgetRow): void;
  /** What is not spent is handed back, as far as that is possible within the time. */
  stop(limitMs: number): Promise<void>;
}

/** How often rows are looked at, in milliseconds: also what a killed process loses of settled money at most, and half of the rest. */
export const LOOK_MS = 100;

/** One node without NATS: what a budget has is its own. */
export class WholeBudgets implements GrantSource {
  readonly isWhole = true;

  start(): void {}

  look(): void {}

  ended(): void {}

  async stop(): Promise<void> {}
}

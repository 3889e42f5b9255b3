import { createBudgetTable } from '../../src/budget/budget-table.ts';
import { loadConfig } from '../../src/config/config.ts';
import { AskedPast } from '../../src/console/asked-past.ts';
import type { GatewayView } from '../../src/console/gateway-view.ts';
import type { Answer, Caller, Operation } from '../../src/console/operation.ts';
import { createDenyTable } from '../../src/deny/deny-table.ts';
import { createHealthTable } from '../../src/plan/health.ts';
import { createPinTable } from '../../src/plan/pins.ts';
import { createLimitTable } from '../../src/policy/limit-table.ts';

/** The past of a view, as operations are given it. */
export function pastOf(view: GatewayView): AskedPast {
  return new AskedPast(view, { write: () => {} });
}

/** May everything, and sees everybody. */
export const OWNER: Caller = { name: 'olive', role: 'owner', tenants: null };

/** Sees what is of some tenants. */
export function viewerOf(...tenants: readonly string[]): Caller {
  return { name: 'vera', role: 'viewer', tenants: new Set(tenants) };
}

/** One call of an operation, checked as the router does. */
export async function called(
  operations: readonly Operation[],
  id: string,
  {
    path = {},
    query = {},
    body = null,
    ifMatch = null,
    caller = OWNER,
  }: {
    readonly path?: Readonly<Record<string, string>>;
    readonly query?: Readonly<Record<string, string>>;
    readonly body?: unknown;
    readonly ifMatch?: string | null;
    readonly caller?: Caller;
  } = {},
): Promise<Answer> {
  const operation = operations.find((row) => row.id === id);
  if (operation === undefined) throw new Error(`there is no operation ${id}`);
  const { pathShape, queryShape, bodyShape, answers, run } = operation;
  const answer = await run({
    caller,
    path: pathShape.parse(path),
    query: queryShape.parse(query),
    body: bodyShape === null ? null : bodyShape.parse(body ?? undefined),
    ifMatch,
  });
  const shape = answers[answer.status];
  if (shape === undefined) throw new Error(`${id} does not say that it answers ${answer.status}`);
  // What it answers is of the shape that it says, and has nothing beyond it.
  if (answer.type === undefined && shape.schema !== undefined) shape.schema.parse(answer.body);
  return answer;
}

/** What operations look at, of a configuration in a file. */
export function gatewayView(
  path: string,
  {
    now = Date.now,
    env = {},
  }: { readonly now?: () => number; readonly env?: Readonly<Record<string, string>> } = {},
): GatewayView {
  const source = { path, env };
  const { document } = loadConfig(source);
  return {
    source,
    running: () => document,
    now,
    memory: {
      health: createHealthTable(),
      pins: createPinTable(),
      limits: createLimitTable(1),
      budgets: createBudgetTable(1, true),
      deny: createDenyTable(1_024),
    },
  };
}

import { join } from 'node:path';
import type { z } from 'zod';
import { BudgetCalendar, labelOf, windowOf } from '../../budget/budget-calendar.ts';
import { readJournal } from '../../budget/budget-journal.ts';
import { nanoUsd } from '../../budget/budget-refusals.ts';
import {
  BUDGET_WINDOWS,
  type BudgetScope,
  type BudgetWindow,
} from '../../budget/budget-settings.ts';
import { BudgetTable, NO_ROW as NO_BUDGET_ROW, rowName } from '../../budget/budget-table.ts';
import { DEFAULT_CLASS, KEY_CLASSES, type KeyClass } from '../../keys/key-class.ts';
import { TimeZone } from '../../ledger/time-zone.ts';
import { type Limits, limitsSomething } from '../../policy/limit-settings.ts';
import { LimitTable, MINUTE_US, monotonicUs, NO_ROW } from '../../policy/limit-table.ts';
import { spellingsOf } from '../../policy/model-spelling.ts';
import {
  budgetOf,
  classOf,
  layersOf,
  limitsOf,
  type PolicyConfig,
  saidFirst,
  tenantLayers,
  tenantLimitsOf,
} from '../../policy/policy-settings.ts';
import type { AskedPast } from '../asked-past.ts';
import type { GatewayView } from '../gateway-view.ts';
import { holds, listAnswer } from '../lists.ts';
import { type Caller, type Operation, operation } from '../operation.ts';
import { Problem } from '../problem.ts';
import { BUDGET, BUDGETS_PAGE, LIMIT, LIMITS_PAGE, LIST_QUERY, NO_PATH } from '../shapes.ts';
import { instantText } from '../usage-wish.ts';

type Budget = z.output<typeof BUDGET>;
type Limit = z.output<typeof LIMIT>;

const DAY_MS = 86_400_000;

/** Keys that the ledger has of the last day and that are looked at: the dearest. Those that are written down come beside them. */
export const MET_MAX = 2_000;

/** Of a window that has begun just now nobody can say what it will come to. */
const PROJECTED_FROM = 0.05;

/** Of what is left, far below one. */
const ROUNDING = 1e-6;

/** A key that may have a budget or a limit, and whose it is. */
interface Holder {
  readonly tenant: string;
  /** Null: a key without an id. */
  readonly key: string | null;
  readonly keyClass: KeyClass;
}

/** How much is left of budgets and limits, on this node. */
export function purseOperations(view: GatewayView, past: AskedPast): readonly Operation[] {
  const budgets = new BudgetTable(view.memory.budgets, null);
  const limits = new LimitTable(view.memory.limits, 0);
  const base = {
    method: 'GET',
    role: 'viewer',
    pathShape: NO_PATH,
    queryShape: LIST_QUERY,
    bodyShape: null,
    problems: ['malformed', 'unavailable'],
    writes: false,
  } as const;
  return [
    operation({
      ...base,
      id: 'budgets',
      path: '/budgets',
      summary:
        'Budgets of keys and tenants in the day and month that run, nearest to their end first.',
      tag: 'budgets',
      answers: { 200: { says: 'A page of budgets.', schema: BUDGETS_PAGE, types: ['text/csv'] } },
      run: async ({ caller, query }) => {
        const rows = budgetRows(view, budgets, await metKeys(view, past, caller), caller)
          .filter(({ id, name }) => holds(query.q, id, name))
          .toSorted((a, b) => shareOf(b) - shareOf(a));
        return listAnswer(BUDGET, rows, query);
      },
    }),
    operation({
      ...base,
      id: 'limits',
      path: '/limits',
      summary:
        'Limits of what was used in the last day, or is written down, nearest to their end first.',
      tag: 'limits',
      answers: { 200: { says: 'A page of limits.', schema: LIMITS_PAGE, types: ['text/csv'] } },
      run: async ({ caller, query }) => {
        const rows = limitRows(view, limits, await metKeys(view, past, caller), caller)
          .filter(({ scope, id }) => holds(query.q, scope, id))
          .toSorted((a, b) => leftShare(a) - leftShare(b));
        return listAnswer(LIMIT, rows, query);
      },
    }),
  ];
}

/** Keys that are written down with their tenant, and those that were used. */
async function metKeys(
  view: GatewayView,
  past: AskedPast,
  caller: Caller,
): Promise<readonly Holder[]> {
  const { keys } = view.running().policy;
  const met = new Map<string, Holder>();
  for (const [key, { tenant, keyClass }] of keys)
    if (tenant !== null)
      met.set(`${tenant}/${key}`, { tenant, key, keyClass: keyClass ?? DEFAULT_CLASS });
  for (const { by } of await usedKeys(view, past, caller)) {
    const [tenant = '', key = '', minted = ''] = by;
    const keyClass = KEY_CLASSES.find((name) => name === minted) ?? DEFAULT_CLASS;
    met.set(`${tenant}/${key}`, { tenant, key: key === '' ? null : key, keyClass });
  }
  return [...met.values()];
}

async function usedKeys(view: GatewayView, past: AskedPast, caller: Caller) {
  const nowMs = view.now();
  try {
    const span = { fromMs: nowMs - DAY_MS, toMs: nowMs };
    // Of theirs alone: another tenant's keys, however dear, take none of these places.
    const used = await past.by(caller, ['tenant', 'key', 'class'], span);
    return used.slice(0, MET_MAX);
  } catch (error) {
    // Without a ledger, what is written down is told.
    if (error instanceof Problem) return [];
    throw error;
  }
}

/** Whose budgets: as the table and the journal name them. */
interface Purse {
  readonly scope: BudgetScope;
  readonly name: string;
  readonly id: string;
  readonly tenant: string;
}

function budgetRows(
  view: GatewayView,
  table: BudgetTable,
  met: readonly Holder[],
  { tenants }: Caller,
): readonly Budget[] {
  const { policy, budgets, dataDir } = view.running();
  const nowMs = view.now();
  const windows = new BudgetCalendar(budgets.timeZone).at(nowMs);
  const begins = begun(new TimeZone(budgets.timeZone), nowMs);
  const purses = new Map<string, Purse>();
  const put = (purse: Purse): void => void purses.set(`${purse.scope} ${purse.name}`, purse);
  for (const { tenant, key } of met) {
    if (key !== null) put({ scope: 'key', name: `${tenant}/${key}`, id: key, tenant });
    put({ scope: 'tenant', name: tenant, id: tenant, tenant });
  }
  for (const tenant of policy.tenants.keys())
    put({ scope: 'tenant', name: tenant, id: tenant, tenant });
  const kept = dataDir === null ? null : readJournal(join(dataDir, 'budgets'));
  const spent = new Map<string, { readonly spent: number; readonly limit: number }>();
  for (const { scope, name, label, ...row } of kept?.rows ?? []) {
    const own = labelOf(label);
    const window = windowOf(own);
    if (own < windows[window]) continue;
    const [tenant = '', id = tenant] = name.split('/');
    put({ scope, name, id, tenant });
    spent.set(`${scope} ${name} ${window}`, row);
  }
  const classes = new Map(met.map(({ tenant, key, keyClass }) => [`${tenant}/${key}`, keyClass]));
  return [...purses.values()]
    .filter(({ tenant }) => tenants === null || tenants.has(tenant))
    .flatMap((purse) => {
      const { scope, name, id } = purse;
      const said = saidOf(policy, purse, classes.get(name) ?? DEFAULT_CLASS);
      return BUDGET_WINDOWS.flatMap((window) => {
        const row = rowOf(table, `${scope} ${name} ${window}`, windows[window]);
        const before = spent.get(`${scope} ${name} ${window}`);
        const limit = said.limits[window] || row?.limit || before?.limit || 0;
        if (limit === 0) return [];
        const used = row === null ? (before?.spent ?? 0) : row.spent + row.elsewhere;
        const reserved = row?.reserved ?? 0;
        const endsMs = window === 'day' ? windows.dayEndsMs : windows.monthEndsMs;
        const share = (nowMs - begins[window]) / (endsMs - begins[window]);
        const shown: Budget = {
          scope,
          id,
          name: nameOf(policy, purse),
          window,
          mode: said.mode,
          limit_usd: nanoUsd(limit),
          spent_usd: nanoUsd(used),
          reserved_usd: nanoUsd(reserved),
          left_usd: nanoUsd(Math.max(0, limit - used - reserved)),
          begins: instantText(begins[window]),
          renews: instantText(endsMs),
          projected_usd: share < PROJECTED_FROM ? null : nanoUsd(Math.round(used / share)),
        };
        return [shown];
      });
    });
}

/** What policies say of a purse; of a key whose class nobody knows, as of the usual one. */
function saidOf(policy: PolicyConfig, { scope, id }: Purse, minted: KeyClass) {
  const layers =
    scope === 'tenant'
      ? tenantLayers(policy, id)
      : layersOf(policy, id, null, classOf(policy, id, minted));
  return { limits: budgetOf(layers), mode: saidFirst(layers, 'mode')?.value ?? 'enforce' };
}

/** Another tenant may have a key of the same id; what that is called is theirs. */
function nameOf({ keys, tenants }: PolicyConfig, { scope, id, tenant }: Purse): string | null {
  if (scope === 'tenant') return tenants.get(id)?.name ?? null;
  const key = keys.get(id);
  return key === undefined || (key.tenant !== null && key.tenant !== tenant) ? null : key.name;
}

function rowOf(table: BudgetTable, name: string, label: number) {
  const print = rowName(name);
  const row = table.find(print);
  const state = row === NO_BUDGET_ROW ? null : table.peek(print, row);
  return state !== null && state.label >= label ? state : null;
}

/** When the windows that run have begun, in milliseconds. */
function begun(zone: TimeZone, nowMs: number): Readonly<Record<BudgetWindow, number>> {
  const noon = Date.parse(`${zone.dayOf(nowMs).slice(0, 'yyyy-mm'.length)}-01T12:00:00Z`);
  return {
    day: zone.dayStartMs(nowMs),
    month: zone.dayStartMs(noon - zone.offsetMs(noon)),
  };
}

function shareOf({ limit_usd: limit, left_usd: left }: Budget): number {
  return 1 - Number(left) / Number(limit);
}

/** A limit's owner, as the table of limits names it. */
interface LimitPurse {
  readonly scope: Limit['scope'];
  readonly id: string;
  readonly row: string;
  readonly limits: Limits;
}

function limitRows(
  view: GatewayView,
  table: LimitTable,
  met: readonly Holder[],
  { tenants }: Caller,
): readonly Limit[] {
  const { policy } = view.running();
  const purses: LimitPurse[] = tenants === null ? [...commonPurses(policy)] : [];
  const seen = new Set([...policy.tenants.keys(), ...met.map(({ tenant }) => tenant)]);
  for (const tenant of seen) {
    if (tenants?.has(tenant) === false) continue;
    const { limits } = tenantLimitsOf(policy, tenant);
    purses.push({ scope: 'tenant', id: tenant, row: `tenant ${tenant}`, limits });
  }
  for (const { tenant, key, keyClass } of met) {
    if (key === null || tenants?.has(tenant) === false) continue;
    const { limits } = limitsOf(layersOf(policy, key, null, classOf(policy, key, keyClass)));
    purses.push({ scope: 'key', id: key, row: `key ${tenant} ${key}`, limits });
  }
  const nowUs = monotonicUs();
  return purses.flatMap((purse) => shownLimits(table, purse, nowUs));
}

/** What no single key or tenant has. */
function* commonPurses({ limits }: PolicyConfig): Iterable<LimitPurse> {
  yield { scope: 'gateway', id: '', row: 'gateway ', limits: limits.gateway };
  for (const [id, of] of limits.classes)
    yield { scope: 'class', id, row: `class ${id}`, limits: of };
  for (const [id, of] of limits.providers)
    yield { scope: 'provider', id, row: `provider ${id}`, limits: of };
  for (const [id, of] of limits.models) {
    const slash = id.indexOf('/');
    const spelled = `${id.slice(0, slash)}/${spellingsOf(id.slice(slash + 1))[0]}`;
    yield { scope: 'model', id, row: `model ${spelled}`, limits: of };
  }
}

function shownLimits(
  table: LimitTable,
  { scope, id, row: name, limits }: LimitPurse,
  nowUs: number,
): readonly Limit[] {
  if (!limitsSomething(limits)) return [];
  const row = table.find(name);
  const minute = (unit: 'requests' | 'tokens', whole: number): readonly Limit[] => {
    if (whole === 0) return [];
    const full = row === NO_ROW ? 0 : table.fullInUs(row, unit, nowUs);
    const share = row === NO_ROW ? 1 : table.share(row, unit);
    const left = Math.max(0, Math.floor(whole * share * (1 - full / MINUTE_US) + ROUNDING));
    return [{ scope, id, unit, limit: whole, left, full_in_ms: Math.ceil(full / 1_000) }];
  };
  const { rpm, tpm, maxInFlight } = limits;
  const inFlight = row === NO_ROW ? 0 : table.inFlight(row);
  const left = Math.max(0, maxInFlight - inFlight);
  return [
    ...minute('requests', rpm),
    ...minute('tokens', tpm),
    ...(maxInFlight === 0
      ? []
      : [{ scope, id, unit: 'in_flight' as const, limit: maxInFlight, left, full_in_ms: 0 }]),
  ];
}

function leftShare({ left, limit }: Limit): number {
  return limit === 0 ? 1 : left / limit;
}

import type { z } from 'zod';
import type { UsageRow } from '../../ledger/usage-report.ts';
import type { Condition } from '../../plan/health.ts';
import type { Target } from '../../plan/route-table.ts';
import type { Provider } from '../../providers/providers.ts';
import { ALL_SEEN, type AskedPast } from '../asked-past.ts';
import type { GatewayView } from '../gateway-view.ts';
import { csvAnswer } from '../lists.ts';
import type { Live, LivePlans } from '../live-plans.ts';
import { type Operation, operation } from '../operation.ts';
import { Problem } from '../problem.ts';
import {
  NAME_PATH,
  NO_PATH,
  NO_QUERY,
  PROVIDER,
  PROVIDERS_PAGE,
  PROVIDERS_QUERY,
  REASON_WISH,
} from '../shapes.ts';

type Row = z.output<typeof PROVIDER>;
type Attempts = Pick<Row, 'statuses' | 'attempts' | 'mean_ms'>;

const DAY_MS = 86_400_000;

/** A key of fewer characters would be half told by four of them. */
const SHOWN_KEY_MIN = 12;

const NO_ATTEMPTS: Attempts = { statuses: {}, attempts: 0, mean_ms: null };

/** How providers are doing, and an operator's word that one is well again. */
export function providerOperations(
  view: GatewayView,
  live: LivePlans,
  past: AskedPast,
): readonly Operation[] {
  const reset = {
    method: 'POST',
    tag: 'providers',
    role: 'operator',
    isNodeWide: true,
    pathShape: NAME_PATH,
    queryShape: NO_QUERY,
    bodyShape: REASON_WISH,
    answers: { 204: { says: 'It is asked again from now on.' } },
    problems: ['not_found'],
    writes: true,
  } as const;
  return [
    operation({
      id: 'providers',
      method: 'GET',
      path: '/providers',
      summary: 'Providers that have a key, a target or requests: how each is doing on this node.',
      tag: 'providers',
      role: 'viewer',
      isNodeWide: true,
      pathShape: NO_PATH,
      queryShape: PROVIDERS_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'All of them.', schema: PROVIDERS_PAGE, types: ['text/csv'] } },
      problems: ['unavailable'],
      writes: false,
      run: async ({ query: { format } }) => {
        const { attempts, away } = await lastDay(past, view.now());
        const { now } = live;
        const rows = now.providers
          .map((provider) => rowOf(now, provider, attempts.get(provider.name) ?? NO_ATTEMPTS))
          .filter((row) => row.keys.length + row.targets.length + row.attempts > 0);
        return format === 'csv'
          ? csvAnswer(PROVIDER, rows)
          : { status: 200, body: { rows, attempts_unknown: away } };
      },
    }),
    operation({
      ...reset,
      id: 'resetProvider',
      path: '/providers/{name}/reset',
      summary:
        'Closes the breakers of a provider and of its targets, and ends the rests of its keys.',
      run: ({ path: { name } }) => {
        const { providers, plans } = live.now;
        const provider = providers.find((row) => row.name === name);
        if (provider === undefined) throw new Problem('not_found', 'There is no such provider.');
        const before = plans.planner.conditionOf(provider);
        plans.planner.resetProvider(provider);
        return { status: 204, audited: { before: stateShown(before) } };
      },
    }),
    operation({
      ...reset,
      id: 'resetTarget',
      path: '/targets/{name}/reset',
      summary: 'Closes the breaker of one target, and ends the rests of its keys for it.',
      run: ({ path: { name } }) => {
        const { plans } = live.now;
        const target = plans.table.target(name);
        if (target === null) throw new Problem('not_found', 'There is no such target.');
        const before = plans.planner.condition(target);
        plans.planner.reset(target);
        return { status: 204, audited: { before: stateShown(before) } };
      },
    }),
  ];
}

interface LastDay {
  readonly attempts: ReadonlyMap<string, Attempts>;
  /** Why they are not known; null: they are. */
  readonly away: string | null;
}

/** Attempts of the last day by provider. */
async function lastDay(past: AskedPast, nowMs: number): Promise<LastDay> {
  try {
    const span = { fromMs: nowMs - DAY_MS, toMs: nowMs };
    const rows = await past.by(ALL_SEEN, ['provider', 'status'], span);
    return { attempts: attemptsOf(rows), away: null };
  } catch (error) {
    // How a provider is doing is told all the same.
    if (error instanceof Problem) return { attempts: new Map(), away: error.message };
    throw error;
  }
}

function attemptsOf(rows: readonly UsageRow[]): ReadonlyMap<string, Attempts> {
  const found = new Map<string, { statuses: Record<string, number>; facts: number; ms: number }>();
  for (const { by, usage } of rows) {
    const [name = '', status = ''] = by;
    const of = found.get(name) ?? { statuses: {}, facts: 0, ms: 0 };
    of.statuses[status] = usage.facts;
    of.facts += usage.facts;
    of.ms += usage.duration_ms;
    found.set(name, of);
  }
  return new Map(
    [...found].map(([name, { statuses, facts, ms }]) => [
      name,
      { statuses, attempts: facts, mean_ms: facts === 0 ? null : Math.round(ms / facts) },
    ]),
  );
}

function rowOf({ config, keys, plans }: Live, provider: Provider, attempts: Attempts): Row {
  const { name, authority, authScheme, dialect, nativeWire } = provider;
  const { planner } = plans;
  const secrets = config.poolKeys.get(name) ?? [];
  const own = keys.of(provider);
  return {
    name,
    origin: originOf(authority),
    wire: nativeWire?.wire ?? dialect,
    auth: authScheme,
    keys: secrets.flatMap((secret, at) => {
      const key = own[at];
      if (key === undefined) return [];
      return [{ last4: last4Of(secret.reveal()), rests_ms: planner.keyRestMs(provider, key) }];
    }),
    ...stateShown(planner.conditionOf(provider)),
    targets: plans.targets
      .filter((target) => target.provider.name === name)
      .map((target) => targetShown(target, planner.condition(target))),
    ...attempts,
  };
}

function targetShown(
  { name }: Target,
  { state, waitMs, ttftMs }: Condition,
): Row['targets'][number] {
  return { name, state, wait_ms: waitMs, ttft_ms: ttftMs };
}

function stateShown({ state, waitMs }: Condition): Pick<Row, 'state' | 'wait_ms'> {
  return { state, wait_ms: waitMs };
}

/** Of a key by which people tell it from its neighbours. */
function last4Of(key: string): string {
  return key.length < SHOWN_KEY_MIN ? '****' : key.slice(-4);
}

/** Where a provider is asked. */
export function originOf({ host, port, tls }: Provider['authority']): string {
  return `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

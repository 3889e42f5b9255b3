import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SETTINGS } from '../../src/config/config-schema.ts';
import { exposition } from '../../src/settle/exposition.ts';
import { MetricsLayout } from '../../src/settle/metrics.ts';
import { VERSION } from '../../src/version.ts';
import { ROOT, textOf } from '../support/source-tree.ts';

interface Panel {
  readonly title: string;
  readonly datasource: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number };
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const DASHBOARD = JSON.parse(textOf('deploy/observe/dashboard.json')) as {
  readonly panels: readonly Panel[];
};
const COMPOSE = textOf('deploy/compose.yaml');

const layout = new MetricsLayout(['openai']);
/** The page that Prometheus reads, with everything that it can hold. */
const PAGE = exposition(layout, layout.allocate(1), 1, {
  version: VERSION,
  workerRestarts: 0,
  logLinesDropped: 0,
  console: { calls: 0, readers: 0 },
  usageFactsSpilled: 0,
  usageFactsLost: 0,
  denySetSize: 0,
  denySetAgeSeconds: 0,
  natsConnected: true,
  grants: { isReachable: true, writes: 1, conflicts: 0 },
  fleetNodes: 1,
  storedState: 0,
  storedStateDropped: 0,
  guards: {
    failures: new Map([['late', 0]]),
    lost: new Map([['late', 0]]),
    logged: 0,
    notLogged: 0,
  },
  budgets: {
    rows: 0,
    reservedNano: 0,
    warnings: new Map([[50, 0]]),
    isJournalFailing: false,
    locksGivenUp: 0,
  },
  limitLocksGivenUp: 0,
  ledger: { added: 0, lost: 0, backlogBytes: 0, isKeeping: true, sent: 0, refused: 0 },
  targets: [{ name: 'openai/one', state: 'open' }],
  reloads: { ok: 0, failed: 0 },
  cache: { bytes: 0, answers: 0, answersEvicted: 0, isRedisUp: true, redisFaults: () => 0 },
  overlay: { counting: 0, refused: 0 },
});

/** Series names, each with the labels that it has. */
const SERIES = new Map(
  [...PAGE.matchAll(/^(ai_\w+)(?:\{(.*)\})? /gm)].map(([, name = '', labels = '']) => [
    name,
    [...labels.matchAll(/(\w+)="/g)].map((match) => match[1] ?? ''),
  ]),
);

/** What Prometheus itself puts on every series. */
const ADDED = ['instance', 'job'];

const EXPRESSIONS = [
  ...DASHBOARD.panels.flatMap(({ title, targets }) =>
    targets.map(({ expr, legendFormat }) => ({
      where: title,
      expr,
      shown: [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map((match) => match[1] ?? ''),
    })),
  ),
  ...[...textOf('deploy/observe/alerts.yaml').matchAll(/expr: (.+)\n/g)].map(([, expr = '']) => ({
    where: 'alerts',
    expr,
    shown: [],
  })),
];

describe('deploy/observe', () => {
  test('dashboard and alerts ask for series that the gateway has, by labels that these have', () => {
    const wrong = EXPRESSIONS.flatMap(({ where, expr, shown }) => {
      const names = [...expr.matchAll(/\bai_\w+/g)].map(([name]) => name);
      const missing = names.filter((name) => !SERIES.has(name));
      const labels = new Set([...ADDED, ...names.flatMap((name) => SERIES.get(name) ?? [])]);
      const grouped = [...expr.matchAll(/\bby \(([\w, ]+)\)/g)].flatMap(([, list = '']) =>
        list.split(', '),
      );
      const selected = [...expr.matchAll(/(\w+)="/g)].map((match) => match[1] ?? '');
      const foreign = [...grouped, ...selected, ...shown].filter((label) => !labels.has(label));
      return [...missing, ...foreign].map((name) => `${where}: ${name}`);
    });
    expect(wrong).toEqual([]);
    expect(EXPRESSIONS.length).toBeGreaterThan(20);
    expect(SERIES.size).toBeGreaterThan(20);
  });

  test('what is refused, waits or is lost at a bound is on a panel and in an alert', () => {
    const bounds = [
      'ai_usage_facts_lost_total',
      'ai_usage_facts_spilled_total',
      'ai_upstream_waiting',
      'ai_upstream_turned_away_total',
      'ai_pool_key_rejections_total',
      'ai_bills_unread_total',
      'ai_limit_rows_dropped_total',
      'ai_budget_rows_dropped_total',
      'ai_budget_grants_reachable',
      'ai_fleet_nodes',
      'ai_ledger_backlog_bytes',
      'ai_ledger_facts_lost_total',
      'ai_ledger_refused_total',
      'ai_overlay_entries',
      'ai_stored_state_dropped_total',
      'ai_guard_judge_failures_total',
      'ai_guard_module_ends_total',
      'ai_exchange_log_dropped_total',
    ];
    const alerts = textOf('deploy/observe/alerts.yaml');
    const panels = DASHBOARD.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    const unseen = bounds.filter(
      (name) => !alerts.includes(name) || !panels.some((expr) => expr.includes(name)),
    );
    expect(unseen).toEqual([]);
    const alerted = [...alerts.matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
    expect(new Set(alerted).size).toBe(alerted.length);
    const places = DASHBOARD.panels.map(({ gridPos: { x, y } }) => `${x} ${y}`);
    expect(new Set(places).size).toBe(places.length);
  });

  test('every panel reads from the source that is provisioned', () => {
    const uid = /uid: (\S+)/.exec(textOf('deploy/observe/datasource.yaml'))?.[1];
    expect(DASHBOARD.panels.filter(({ datasource }) => datasource.uid !== uid)).toEqual([]);
  });

  test('what compose.yaml mounts, reads and sets is there', () => {
    const mounted = [...COMPOSE.matchAll(/- \.\/(\S+?):\//g)].map((match) => match[1] ?? '');
    expect(mounted.length).toBeGreaterThan(4);
    for (const path of mounted) expect(existsSync(join(ROOT, 'deploy', path)), path).toBe(true);
    const keys = [...COMPOSE.matchAll(/^ +AI_(\w+):/gm)].map((match) =>
      (match[1] ?? '').toLowerCase(),
    );
    expect(keys.length).toBeGreaterThan(2);
    expect(keys.filter((key) => !Object.hasOwn(SETTINGS.shape, key))).toEqual([]);
    expect(COMPOSE).toContain(`image: sluice:${VERSION}\n`);
  });
});

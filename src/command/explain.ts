import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readJournal } from '../budget/budget-journal.ts';
import type { Config } from '../config/config-document.ts';
import { ASKED_PATHS, askedAt } from '../explain/asked-there.ts';
import { holderOf, type KnownBudgets } from '../explain/explained-key.ts';
import type { KnownPurses } from '../explain/explained-limits.ts';
import { type Explained, type ExplainedTarget, explained } from '../explain/explained-plan.ts';
import { DEFAULT_CLASS } from '../keys/key-class.ts';
import { bookPrices } from '../plan/book-prices.ts';
import { type Condition, createHealthTable, Health } from '../plan/health.ts';
import { openPlanner } from '../plan/open-planner.ts';
import { createPinTable, Pins } from '../plan/pins.ts';
import { Planner } from '../plan/planner.ts';
import type { Target } from '../plan/route-table.ts';
import { decimalOf } from '../prices/money.ts';
import { PriceBook, shippedBook } from '../prices/price-book.ts';
import { PoolKeys } from '../providers/pool-keys.ts';
import { providerTable } from '../providers/providers.ts';
import { purseStatesOf, targetStatesOf, type Unknown } from './running-gateway.ts';

/** Text of `sluice explain --help`. */
export const EXPLAIN_HELP = `sluice explain MODEL [--wire openai|anthropic] [--body FILE] [--path PATH] [--max-cost USD] [--seed N]
               [--strict] [--key ID [--tenant ID] [--class CLASS]] [--config FILE]

Says where a request for MODEL goes with this configuration: each target in the order in which it is tried, and why one is
left out. No provider is asked. What breakers and resting keys leave out is told by the gateway that runs with this
configuration, if one answers at its metrics_listen; else the plan says that nothing is known of them.

  --body FILE       a request's body: what it asks of a model, and may cost at each
  --path PATH       where it is sent, /v1/embeddings for one: else its body says what it asks, a chat, a response, a message,
                    a count of tokens or vectors
  --strict          as x-sluice-strict says it: what would lose something is passed over
  --max-cost USD    as x-sluice-max-cost says it
  --key ID          for a key of this id: what it may ask for, how its budgets stand by the journal in data_dir, and with --body
                    whether each target has room in them; the class is the one that it was minted with (application)
  --wire     the wire that the caller speaks (default: openai)
  --seed N   the chance that weight and latency are drawn with: the same number, the same plan (default: 1)`;

interface ExplainArguments {
  readonly model: string;
  readonly dialect: 'openai' | 'anthropic';
  readonly seed: number;
  readonly body: string | null;
  readonly path: string | null;
  readonly isStrict: boolean;
  readonly maxCostPico: number;
  readonly config: string | null;
  readonly key: string | null;
  readonly tenant: string | null;
  readonly keyClass: string;
}

/** @throws Error with one line that says what to do */
export function explainArguments(argv: readonly string[]): ExplainArguments {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: {
      wire: { type: 'string', default: 'openai' },
      seed: { type: 'string', default: '1' },
      config: { type: 'string' },
      body: { type: 'string' },
      path: { type: 'string' },
      strict: { type: 'boolean', default: false },
      'max-cost': { type: 'string', default: '0' },
      key: { type: 'string' },
      tenant: { type: 'string' },
      class: { type: 'string', default: DEFAULT_CLASS },
    },
    allowPositionals: true,
  });
  const [model, ...rest] = positionals;
  if (model === undefined || rest.length > 0)
    throw new Error(
      'explain takes one model, as a request would name it. sluice explain --help says more.',
    );
  const { wire } = values;
  if (wire !== 'openai' && wire !== 'anthropic')
    throw new Error(`--wire is "${wire}"; expected openai or anthropic`);
  if (!/^\d{1,9}$/.test(values.seed))
    throw new Error(`--seed is "${values.seed}"; expected a whole number of at most nine digits`);
  const maxCostPico = decimalOf(values['max-cost'], 12);
  if (maxCostPico === null)
    throw new Error(`--max-cost is "${values['max-cost']}"; expected USD as a decimal text`);
  const { config = null, body = null, path = null, key = null, tenant = null } = values;
  if (path !== null && askedAt(path) === null)
    throw new Error(`--path is "${path}"; expected one of ${ASKED_PATHS.join(', ')}`);
  return {
    model,
    dialect: wire,
    seed: Number(values.seed),
    config,
    body,
    path,
    isStrict: values.strict,
    maxCostPico,
    key,
    tenant,
    keyClass: values.class,
  };
}

/**
 * `sluice explain`.
 * @returns the exit code: 1 where a request would be refused
 */
export async function explain(
  {
    model,
    dialect,
    seed,
    body: file,
    path,
    isStrict,
    maxCostPico,
    key,
    tenant,
    keyClass,
  }: ExplainArguments,
  config: Config,
): Promise<number> {
  const body = file === null ? null : readFileSync(file);
  const providers = providerTable(config.providers);
  const { routing } = config;
  const health = new Health(createHealthTable(), routing.breaker);
  const keys = new PoolKeys(providers, config.poolKeys, 0);
  const pins = new Pins(createPinTable());
  const book = new PriceBook(shippedBook(), config.pricing);
  const plans = openPlanner(routing, providers, keys, health, pins, bookPrices(book), ToldPlanner);
  const holder = key === null ? null : holderOf(config, key, tenant, keyClass);
  const purses = runningPurses(config);
  const budgets = holder === null ? NOBODYS : journalBudgets(config);
  let unknown: Unknown | null = 'nobody';
  const told = await explained(
    { config, providers, keys, book, plans, purses, budgets },
    { model, dialect, seed, body, path, isStrict, maxCostPico, holder },
    async (planner, names) => {
      const states = await targetStatesOf(config, names);
      unknown = typeof states === 'string' ? states : null;
      if (typeof states !== 'string') planner.states = states;
    },
  ).catch((error: unknown) => {
    if (file === null || !(error instanceof SyntaxError)) throw error;
    throw new Error(`${file} is not JSON; expected the body of a request`);
  });
  process.stdout.write(`${linesOf(told, unknown, config).join('\n')}\n`);
  return told.refused === null || told.kind === 'plain' ? 0 : 1;
}

function linesOf(told: Explained, unknown: Unknown | null, config: Config): readonly string[] {
  const { kind, route, refused, targets, notes, budgets, limits } = told;
  const why = refused === null ? [] : [`${refused.status} ${refused.code}: ${refused.says}`];
  const [title, ...ofBudgets] = budgets;
  const purses = title === undefined ? [] : [title, ...[...ofBudgets, ...limits].map(indented)];
  if (kind === 'unknown') return why;
  if (kind === 'plain' || route === null) return [...notes, ...why, ...purses];
  const tried = targets.filter(({ planned }) => planned.leftOut === null);
  return [
    kind === 'route' ? `route ${route.name}, balance ${route.settings.balance}` : `one target`,
    ...tried.map(
      (target, at) => `  ${at + 1}. ${shown(target)}, ${target.price}${written(target)}`,
    ),
    ...targets
      .filter(({ planned }) => planned.leftOut !== null)
      .map((target) => `  -  ${shown(target)}: left out, ${target.planned.leftOut}${wait(target)}`),
    unknown === null
      ? `breakers and rests are those of the gateway at ${printed(config.metricsListen)}`
      : `breakers and rests are not known: ${whyNot(unknown, config)}`,
    ...notes,
    ...purses,
    ...why,
  ];
}

/** Nobody's are asked for. */
const NOBODYS: KnownBudgets = { of: () => [], says: '' };

/** How budgets stand by the journal in `data_dir`. @throws Error when it cannot be read */
function journalBudgets({ dataDir, natsUrl }: Config): KnownBudgets {
  const says = natsUrl === null ? 'by the journal' : 'by the journal of this gateway alone';
  const journal = dataDir === null ? null : readJournal(join(dataDir, 'budgets'));
  return {
    of: () => (journal?.rows ?? []).map((row) => ({ ...row, reserved: 0 })),
    says: journal === null ? 'there is no journal' : says,
  };
}

/** What the gateway that runs with this configuration has left of limits. */
function runningPurses(config: Config): KnownPurses {
  let unknown: Unknown = 'nobody';
  return {
    of: async (names) => {
      const states = await purseStatesOf(config, names);
      if (typeof states !== 'string') return states;
      unknown = states;
      return null;
    },
    says: (isKnown) =>
      isKnown
        ? `what is left of them is what the gateway at ${printed(config.metricsListen)} has left`
        : `what is left of them is not known: ${whyNot(unknown, config)}`,
  };
}

function whyNot(unknown: Unknown, { metricsListen }: Config): string {
  const at = printed(metricsListen);
  return unknown === 'nobody'
    ? `no gateway answers at ${at}`
    : `the gateway at ${at} runs with other pool keys or another [admin] than are written here`;
}

/** Plans with what a running gateway says of its targets. */
class ToldPlanner extends Planner {
  states: ReadonlyMap<string, Condition> = new Map();

  override condition(target: Target): Condition {
    return this.states.get(target.name) ?? super.condition(target);
  }
}

function shown({ planned: { target, through, group }, origin }: ExplainedTarget): string {
  const way = through.length > 1 ? `, through ${through.slice(1).join(' > ')}` : '';
  const kind = group === 0 ? '' : `, fallback ${group}`;
  return `${target.name} at ${origin}${way}${kind}`;
}

function written({ translation }: ExplainedTarget): string {
  return translation === null ? '' : `, ${translation}`;
}

function wait({ planned: { waitMs } }: ExplainedTarget): string {
  return waitMs === 0 ? '' : ` for ${(waitMs / 1_000).toFixed(1)} s`;
}

function indented(line: string): string {
  return `  ${line}`;
}

function printed({ host, port }: Config['metricsListen']): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

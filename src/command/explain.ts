import { readFileSync, statSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { candidatesOf } from '../budget/alternatives.ts';
import type { Config } from '../config/config-document.ts';
import { parsedObject } from '../dialect/json-values.ts';
import { Refusal } from '../dialect/losses.ts';
import { ReadRequest } from '../dialect/translate.ts';
import { type CallerWire, type TargetWire, WIRES, writtenWire } from '../dialect/wires.ts';
import { DEFAULT_CLASS } from '../keys/key-class.ts';
import { bookPrices } from '../plan/book-prices.ts';
import { highestCost, inputTokensHigh } from '../plan/estimate.ts';
import { type Condition, createHealthTable, Health } from '../plan/health.ts';
import { openPlanner } from '../plan/open-planner.ts';
import { createPinTable, Pins } from '../plan/pins.ts';
import type { Planned } from '../plan/plan.ts';
import { Planner, type PricedPlan } from '../plan/planner.ts';
import type { PriceDoor } from '../plan/price-door.ts';
import type { StreamSafety, Target } from '../plan/route-table.ts';
import { decimalOf, rateText, usdText } from '../prices/money.ts';
import { PriceBook, shippedBook } from '../prices/price-book.ts';
import { PoolKeys } from '../providers/pool-keys.ts';
import { type Provider, providerTable } from '../providers/providers.ts';
import { loadJsonScanner } from '../wire/json-scanner.ts';
import { NamedTexts } from '../wire/named-texts.ts';
import { needsOf, needsOfSize, type RequestNeeds } from '../wire/request-needs.ts';
import { RequestOutline } from '../wire/request-outline.ts';
import { REQUEST_STATE, SEALED, TOOL_TYPE } from '../wire/state-places.ts';
import { limitLines } from './explain-limits.ts';
import { ExplainedKey, holderOf } from './explain-spending.ts';
import { targetStatesAt } from './running-gateway.ts';

/** Text of `sluice explain --help`. */
export const EXPLAIN_HELP = `sluice explain MODEL [--wire openai|anthropic] [--body FILE] [--max-cost USD] [--seed N]
               [--key ID [--tenant ID] [--class CLASS]] [--config FILE]

Says where a request for MODEL goes with this configuration: each target in the order in which it is tried, and why one is
left out. No provider is asked. What breakers and resting keys leave out is told by the gateway that runs with this
configuration, if one answers at its metrics_listen; else the plan says that nothing is known of them.

  --body FILE       a request's body: what it asks of a model, and may cost at each
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
  const { config = null, body = null, key = null, tenant = null, class: keyClass } = values;
  const seed = Number(values.seed);
  return { model, dialect: wire, seed, config, body, maxCostPico, key, tenant, keyClass };
}

/**
 * `sluice explain`.
 * @returns the exit code: 1 where a request would be refused
 */
export async function explain(
  { model, dialect, seed, body, maxCostPico, key, tenant, keyClass }: ExplainArguments,
  config: Config,
): Promise<number> {
  const needs = body === null ? null : needsIn(body, dialect);
  const providers = providerTable(config.providers);
  const { routing } = config;
  const health = new Health(createHealthTable(), routing.breaker);
  const keys = new PoolKeys(providers, config.poolKeys, 0);
  const pins = new Pins(createPinTable());
  const book = new PriceBook(shippedBook(), config.pricing);
  const plans = openPlanner(routing, providers, keys, health, pins, bookPrices(book), ToldPlanner);
  const { planner, prices } = plans;
  const canonical = (name: string): string => plans.table.target(name)?.name ?? name;
  const holder = key === null ? null : holderOf(config, key, tenant, keyClass);
  const candidates = candidatesOf(plans.table.targets, (provider) => keys.of(provider).length > 0);
  const explained =
    holder === null ? null : new ExplainedKey(config, book, prices, canonical, candidates, holder);
  const ofKey = async (targets: readonly Target[]): Promise<readonly string[]> => {
    if (explained === null) return [];
    const content = body === null ? null : readFileSync(body);
    const { metricsListen } = config;
    const asked = targets.map(({ name, provider }) => ({ name, provider: provider.name }));
    return [
      ...explained.lines(loadJsonScanner(), content, targets),
      ...(await limitLines(explained.policy.limits, asked, metricsListen, printed(metricsListen))),
    ];
  };
  const resolved = planner.resolve(model);
  if (resolved.kind === 'unknown')
    return told([`404 unknown_model: nearest are ${resolved.nearest.join(', ')}`], 1);
  if (resolved.kind === 'plain') {
    const provider = providers.find((row) => row.name === defaultOf(dialect));
    const target = provider === undefined ? [] : [planner.plain(provider, model)];
    return told([...plain(model, dialect, providers, config), ...(await ofKey(target))], 0);
  }
  const route = resolved.kind === 'route' ? resolved.route : planner.routeOf(resolved.target);
  const permission = explained?.policy.models ?? null;
  const wishes = {
    dialect,
    mayTranslate: true,
    order: [],
    only: [],
    session: 0,
    needs,
    maxCostPico,
    seed,
    permission,
  };
  const unknowing = planner.plan(route, wishes);
  const names = [...unknowing.targets, ...unknowing.leftOut].map((planned) => planned.target.name);
  const states = await targetStatesAt(config.metricsListen, names);
  if (states !== null) planner.states = states;
  const made = planner.plan(route, wishes);
  const caller = callerOf(dialect, body);
  const read = body === null ? null : ReadRequest.of(caller, readFileSync(body));
  const translation = ({ target: { provider, model } }: Planned): string => {
    const wire = writtenWire(caller, provider);
    return wire === null ? '' : `, ${lossesAt(provider, model, wire, read)}`;
  };
  const { firstContentTimeoutMs, deadlineMs, fallbackOn, retries, balance } = route.settings;
  const lines = [
    resolved.kind === 'route' ? `route ${route.name}, balance ${balance}` : `one target`,
    ...made.targets.map(
      (planned, at) =>
        `  ${at + 1}. ${target(planned)}, ${priceOf(planned, needs, prices)}${translation(planned)}`,
    ),
    ...made.leftOut.map(
      (planned) => `  -  ${target(planned)}: left out, ${planned.leftOut}${wait(planned)}`,
    ),
    states === null
      ? `breakers and rests are not known: no gateway answers at ${printed(config.metricsListen)}`
      : `breakers and rests are those of the gateway at ${printed(config.metricsListen)}`,
    `the next one answers on ${fallbackOn.join(', ')}; ${retries} more ${retries === 1 ? 'try' : 'tries'} of one before a fallback`,
    `first content of a stream within ${limit(firstContentTimeoutMs)}, all attempts within ${limit(deadlineMs)}`,
  ];
  const safety = STREAM_SAFETY[route.settings.streamSafety];
  if (safety !== '') lines.push(safety);
  lines.push(...(body === null ? [] : [...boundBy(body), ...keptOf(body, routing.replayMaxBytes)]));
  lines.push(...(await ofKey(made.targets.map((planned) => planned.target))));
  if (made.targets.length > 0) return told(lines, 0);
  return told([...lines, `${refusalOf(made)}: nothing is left to try`], 1);
}

/** OpenAI has two wires: a body of the Responses API says `input` where a chat has `messages`. */
function callerOf(dialect: 'openai' | 'anthropic', body: string | null): CallerWire {
  if (dialect === 'anthropic' || body === null) return WIRES[dialect];
  const { input, messages } = parsedObject(readFileSync(body, 'utf8')) ?? {};
  return input !== undefined && messages === undefined ? 'openai-responses' : WIRES[dialect];
}

const STREAM_SAFETY: Readonly<Record<StreamSafety, string>> = {
  relay: '',
  hold: 'a stream is held to its end before the caller sees its first byte',
  resume: 'a text that breaks behind its first word goes on at the next target that can',
};

/** What is kept of a body for another target: above the bound nobody else can be asked (F12). */
function keptOf(file: string, maxBytes: number): readonly string[] {
  const { size } = statSync(file);
  return maxBytes === 0 || size <= maxBytes
    ? []
    : [`the body has ${size} bytes, more than replay_max_bytes: it goes to the first target alone`];
}

/** What becomes of a request that is written anew for a target of another wire. @param read null: it is not known */
function lossesAt(
  provider: Provider,
  model: string,
  wire: TargetWire,
  read: ReadRequest | Refusal | null,
): string {
  if (read === null) return 'translated';
  const asked = { provider: provider.name, model, asksForUsage: true };
  const written = read instanceof Refusal ? read : read.writtenFor(wire, asked);
  if (written instanceof Refusal) return `passed over: ${written.message}`;
  const lost = [...written.dropped, ...written.adjusted];
  return lost.length === 0 ? 'translated' : `translated without ${lost.join(', ')}`;
}

const SEALS: ReadonlySet<string> = new Set(Object.values(SEALED));

/** What of a body keeps it at one account, whatever the plan says. */
function boundBy(file: string): readonly string[] {
  const named = new Set<string>();
  let isSealed = false;
  const texts = new NamedTexts(REQUEST_STATE, {
    onText(place, text) {
      if (SEALS.has(place)) isSealed = true;
      else if (place !== TOOL_TYPE && text !== '') named.add(place);
    },
  });
  texts.push(readFileSync(file));
  const lines = [...named].map(
    (place) =>
      `the body names a ${place}: it goes to the account that made it and to no other one; 404 state_not_found where that was not for this tenant`,
  );
  const sealed =
    'the body holds what only the account that made it can open: it stays with the first target and its key, in a plan of several wires with the first one of its maker, and others get the conversation without it';
  return isSealed ? [...lines, sealed] : lines;
}

/** As the routed lane tells it. */
function refusalOf({ tooDear, leftOut }: PricedPlan): string {
  if (tooDear !== null) return '402 cost_limit';
  const isOnly = (why: string): boolean => leftOut.every((planned) => planned.leftOut === why);
  if (isOnly('unpriced')) return '400 unpriced_model';
  return isOnly('no_pool_key') ? '503 no_pool_key' : '503 no_target';
}

/** @throws Error with one line that says what to do */
function needsIn(file: string, dialect: 'openai' | 'anthropic'): RequestNeeds {
  const outline = RequestOutline.of(loadJsonScanner(), readFileSync(file));
  if (outline === null) throw new Error(`${file} is not JSON; expected the body of a request`);
  return needsOf(outline, dialect === 'anthropic');
}

function priceOf(
  { target: { provider, model } }: Planned,
  needs: RequestNeeds | null,
  prices: PriceDoor,
): string {
  const asked = needs ?? needsOfSize(0);
  const traits = prices.traits(provider.name, model);
  const rates = prices.rates(provider.name, model, inputTokensHigh(asked, traits));
  if (rates === null) return 'unpriced';
  if (needs !== null) return `at most $${usdText(highestCost(asked, rates, traits))}`;
  return `$${rateText(rates.input)} in, $${rateText(rates.output)} out for a million tokens`;
}

/** Plans with what a running gateway says of its targets. */
class ToldPlanner extends Planner {
  states: ReadonlyMap<string, Condition> = new Map();

  override condition(target: Target): Condition {
    return this.states.get(target.name) ?? super.condition(target);
  }
}

function plain(
  model: string,
  dialect: string,
  providers: readonly Provider[],
  { poolKeys }: Config,
): readonly string[] {
  const name = defaultOf(dialect);
  const needsKey = providers.some((row) => row.name === name && row.authScheme !== 'none');
  const hasKey = !needsKey || poolKeys.has(name);
  return [
    `no route and no provider in front: ${name}/${model}, the body as it came`,
    ...(hasKey ? [] : [`503 no_pool_key: ${name} has none`]),
  ];
}

/** Whom a name goes to that says nothing of it. */
function defaultOf(dialect: string): string {
  return dialect === 'anthropic' ? 'anthropic' : 'openai';
}

function target({ target: { name, provider }, through, group }: Planned): string {
  const { host, port, tls } = provider.authority;
  const way = through.length > 1 ? `, through ${through.slice(1).join(' > ')}` : '';
  const kind = group === 0 ? '' : `, fallback ${group}`;
  return `${name} at ${tls ? 'https' : 'http'}://${host}:${port}${way}${kind}`;
}

function wait({ waitMs }: Planned): string {
  return waitMs === 0 ? '' : ` for ${(waitMs / 1_000).toFixed(1)} s`;
}

function printed({ host, port }: Config['metricsListen']): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function limit(ms: number): string {
  return ms === 0 ? 'any time' : `${ms / 1_000} s`;
}

function told(lines: readonly string[], code: number): number {
  process.stdout.write(`${lines.join('\n')}\n`);
  return code;
}

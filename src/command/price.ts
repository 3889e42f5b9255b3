import { parseArgs } from 'node:util';
import type { Config } from '../config/config-document.ts';
import type { ModelTraits } from '../plan/model-traits.ts';
import { type Route, RouteTable, type Target } from '../plan/route-table.ts';
import { type Cost, Pricing, type Step } from '../prices/cost.ts';
import { rateText, usdText } from '../prices/money.ts';
import { PriceBook, shippedBook } from '../prices/price-book.ts';
import type { PriceRow, RateSteps, Rates } from '../prices/price-row.ts';
import { providerTable } from '../providers/providers.ts';
import { NO_DETAILS } from '../wire/usage-details.ts';

/** Text of `sluice price --help`. */
export const PRICE_HELP = `sluice price MODEL --in N --out N [options]
sluice price MODEL --explain

Prints what an answer of MODEL costs, and how that is worked out. MODEL is provider/model, a route, or a plain name. Nothing
is sent, and no network is needed.

  --in N              input tokens, all of them: what was cached is a part
  --out N             output tokens, reasoning included
  --cached N          of the input: read from a cache
  --cache-write N     of the input: written to a cache
  --cache-write-1h N  of the input: written to a cache for an hour
  --reasoning N       of the output: reasoning
  --tier NAME         the service tier, as an answer names it: flex, priority, batch, ...
  --use TOOL=N        uses of a tool that is billed by the use, by its name in tool_uses; may be repeated
  --at TIME           when, like 2026-12-01 or 2026-12-01T09:30:00Z (default: now)
  --explain           also print the whole row: rates, tiers, fees, where it is from, what the model can do
  --config FILE       TOML configuration, whose [prices] count (default: as for sluice serve)`;

interface PriceArguments {
  readonly model: string;
  readonly counts: {
    readonly input: number;
    readonly output: number;
    readonly cached: number;
    readonly cacheWrite: number;
    readonly cacheWrite1h: number;
    readonly reasoning: number;
  } | null;
  readonly tier: string | null;
  readonly uses: Readonly<Record<string, number>>;
  readonly atMs: number;
  readonly explain: boolean;
  readonly config: string | null;
}

/** @throws Error with one line that says what to do */
export function priceArguments(argv: readonly string[], nowMs: number): PriceArguments {
  const count = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: {
      in: count,
      out: count,
      cached: count,
      'cache-write': count,
      'cache-write-1h': count,
      reasoning: count,
      tier: { type: 'string' },
      use: { type: 'string', multiple: true },
      at: { type: 'string' },
      explain: { type: 'boolean', default: false },
      config: { type: 'string' },
    },
    allowPositionals: true,
  });
  const [model, ...rest] = positionals;
  if (model === undefined || rest.length > 0)
    throw new Error('price takes one model, like openai/gpt-5.6. sluice price --help says more.');
  const hasCounts = values.in !== undefined || values.out !== undefined;
  if (!hasCounts && !values.explain)
    throw new Error('price takes --in N and --out N, or --explain. sluice price --help says more.');
  const tokens = (name: 'in' | 'out' | 'cached' | 'cache-write' | 'cache-write-1h' | 'reasoning') =>
    wholeNumber(`--${name}`, values[name] ?? '0');
  return {
    model,
    counts: hasCounts
      ? {
          input: tokens('in'),
          output: tokens('out'),
          cached: tokens('cached'),
          cacheWrite: tokens('cache-write'),
          cacheWrite1h: tokens('cache-write-1h'),
          reasoning: tokens('reasoning'),
        }
      : null,
    tier: values.tier ?? null,
    uses: Object.fromEntries((values.use ?? []).map(useOf)),
    atMs: values.at === undefined ? nowMs : instant(values.at),
    explain: values.explain,
    config: values.config ?? null,
  };
}

function wholeNumber(name: string, text: string): number {
  const value = /^\d{1,3}(?:[_,]?\d{3})*$|^\d{1,15}$/.test(text)
    ? Number(text.replaceAll(/[_,]/g, ''))
    : -1;
  if (!Number.isSafeInteger(value) || value < 0)
    throw new Error(`${name} is "${text}"; expected a whole number of tokens`);
  return value;
}

function useOf(text: string): readonly [string, number] {
  const match = /^([a-z][a-z0-9_]*)=(\d{1,9})$/.exec(text);
  if (match === null)
    throw new Error(`--use is "${text}"; expected a tool and a number, like web_search=2`);
  return [match[1] ?? '', Number(match[2])];
}

function instant(text: string): number {
  const isInstant = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?Z)?$/.test(text);
  const ms = isInstant ? Date.parse(text) : Number.NaN;
  if (!Number.isFinite(ms))
    throw new Error(
      `--at is "${text}"; expected a day or an instant in UTC, like 2026-12-01T09:30:00Z`,
    );
  return ms;
}

/** A provider's model, whatever is known of either. */
type Named = Pick<Target, 'name' | 'model'> & { readonly provider: { readonly name: string } };

/**
 * `sluice price`.
 * @returns the exit code: 1 where something has no price
 */
export function price(asked: PriceArguments, config: Config): number {
  const book = new PriceBook(shippedBook(), config.pricing);
  const found = targetsOf(asked.model, config, book);
  if (found.length === 0) {
    process.stdout.write(
      `${asked.model} is no route, no provider/model, and no name in the price book\n`,
    );
    return 1;
  }
  const told = found.map((target) => toldOf(target, asked, book));
  process.stdout.write(`${told.map(({ lines }) => lines.join('\n')).join('\n\n')}\n`);
  return told.every(({ isPriced }) => isPriced) ? 0 : 1;
}

/** A plain name is every provider's that has it. */
function targetsOf(name: string, config: Config, book: PriceBook): readonly Named[] {
  const { aliases, routes } = config.routing;
  const table = new RouteTable(providerTable(config.providers), aliases, routes);
  const resolved = table.resolve(name);
  if (resolved.kind === 'target') return [resolved.target];
  if (resolved.kind === 'route') {
    const targets = flat(resolved.route);
    return [...new Map(targets.map((target) => [target.name, target])).values()];
  }
  const slash = name.indexOf('/');
  const [provider, model] = [name.slice(0, slash), name.slice(slash + 1)];
  if (slash > 0 && book.providers.includes(provider)) return [named(provider, model)];
  return book.providers
    .filter((provider) => book.known(provider).includes(name))
    .map((provider) => named(provider, name));
}

function flat(route: Route): readonly Target[] {
  return route.groups
    .flat()
    .flatMap((entry) => ('target' in entry ? [entry.target] : flat(entry.route)));
}

function named(provider: string, model: string): Named {
  return { name: `${provider}/${model}`, model, provider: { name: provider } };
}

function toldOf(
  target: Named,
  asked: PriceArguments,
  book: PriceBook,
): { readonly lines: readonly string[]; readonly isPriced: boolean } {
  const { provider, model, name } = target;
  const row = book.row(provider.name, model, asked.atMs);
  const day = new Date(asked.atMs).toISOString().slice(0, 16);
  const heading = `${name}, ${day}Z${asked.tier === null ? '' : `, tier ${asked.tier}`}`;
  const explained = asked.explain
    ? row === null
      ? ['  no row']
      : rowLines(row, book.traits(provider.name, model))
    : [];
  if (asked.counts === null) return { lines: [heading, ...explained], isPriced: row !== null };
  const steps: Step[] = [];
  const cost = costOf(target, asked, asked.counts, book, steps);
  return {
    lines: [heading, ...arithmetic(steps, row), totalLine(cost), ...explained],
    isPriced: cost.usd !== null,
  };
}

function costOf(
  { provider, model }: Named,
  { tier, uses, atMs }: PriceArguments,
  counts: NonNullable<PriceArguments['counts']>,
  book: PriceBook,
  steps: Step[],
): Cost {
  const { input, output, cached, cacheWrite, cacheWrite1h, reasoning } = counts;
  return new Pricing(book).cost(
    {
      provider: provider.name,
      model,
      asked: null,
      counts: {
        inputTokens: input,
        outputTokens: output,
        cacheReadTokens: cached,
        cacheWriteTokens: cacheWrite + cacheWrite1h,
        reasoningTokens: reasoning,
      },
      details: {
        ...NO_DETAILS,
        cacheWrite5mTokens: cacheWrite,
        cacheWrite1hTokens: cacheWrite1h,
        speed: tier === 'fast' ? tier : null,
      },
      lines: null,
      serviceTier: tier === 'fast' ? null : tier,
      toolUses: uses,
      source: 'reported',
      atMs,
    },
    (step) => steps.push(step),
  );
}

function arithmetic(steps: readonly Step[], row: PriceRow | null): readonly string[] {
  const products = steps.map(({ what, count, rate }) => {
    const isFee = row?.fees.has(what) === true;
    const each = isFee ? `${usdText(rate)} USD` : `${rateText(rate)} USD/M`;
    return [what, grouped(count), each, usdText(BigInt(count) * BigInt(rate))] as const;
  });
  const request = row === null || row.perRequest === 0 ? [] : [usdText(row.perRequest)];
  const rows = [
    ...products,
    ...request.map((fee) => ['per_request', '1', `${fee} USD`, fee] as const),
  ];
  const width = (at: 1 | 2) => Math.max(0, ...rows.map((cells) => cells[at].length));
  return rows.map(
    ([what, count, each, usd]) =>
      `  ${what.padEnd(16)} ${count.padStart(width(1))} x ${each.padEnd(width(2))} = ${usd}`,
  );
}

function totalLine({ usd, status, reason, version }: Cost): string {
  if (usd === null) return `  unpriced: ${reason}`;
  return `  ${'total'.padEnd(16)} ${usd} USD (${status}${version === null ? '' : `, prices of ${version}`})`;
}

/** 1234567 as 1,234,567. */
function grouped(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

const RATE_COLUMNS: readonly (readonly [keyof Rates, string])[] = [
  ['input', 'input'],
  ['output', 'output'],
  ['cacheRead', 'cache_read'],
  ['cacheWrite', 'cache_write'],
  ['cacheWrite1h', 'cache_write_1h'],
  ['reasoning', 'reasoning'],
  ['audioInput', 'audio_input'],
  ['audioOutput', 'audio_output'],
  ['audioCacheRead', 'audio_cache_read'],
  ['imageInput', 'image_input'],
  ['imageOutput', 'image_output'],
];

function rowLines(row: PriceRow, traits: ModelTraits): readonly string[] {
  const verified = row.verified ? 'verified' : 'not verified: two sources differ, or there is one';
  const origin = `  from ${row.source}, ${row.version}; ${verified}`;
  if (row.free) return [origin, '  free', ...traitLines(traits)];
  const fees = [...row.fees].map(([name, fee]) => `  ${name} ${usdText(fee)} USD each`);
  const geo = [...row.geo].map(
    ([name, factor]) => `  in ${name} tokens cost ${factor / 1_000} times as much`,
  );
  const tiers = [...row.serviceTiers].flatMap(([name, steps]) => stepLines(name, steps));
  const offPeak = row.offPeak === null ? [] : stepLines('off-peak', row.offPeak.steps);
  return [
    origin,
    '  USD per million tokens:',
    ...stepLines('standard', row.standard),
    ...tiers,
    ...offPeak,
    ...(row.perRequest === 0 ? [] : [`  per_request ${usdText(row.perRequest)} USD`]),
    ...fees,
    ...geo,
    ...traitLines(traits),
  ];
}

function stepLines(name: string, steps: RateSteps): readonly string[] {
  return steps.map(({ over, rates }) => {
    const size = over < 0 ? '' : ` above ${grouped(over)}`;
    if (rates === null) return `    ${name}${size}: no price`;
    const said = RATE_COLUMNS.map(([key, word]) => {
      return `${word} ${rates[key] < 0 ? 'none' : rateText(rates[key])}`;
    });
    return `    ${name}${size}: ${said.join(', ')}`;
  });
}

function traitLines({
  contextTokens,
  maxOutputTokens,
  images,
  tools,
  jsonSchema,
  audio,
}: ModelTraits): readonly string[] {
  const word = (value: boolean | null) => (value === null ? 'unknown' : value ? 'yes' : 'no');
  const size = (value: number | null) => (value === null ? 'unknown' : grouped(value));
  return [
    `  context ${size(contextTokens)}, output at most ${size(maxOutputTokens)}`,
    `  images ${word(images)}, tools ${word(tools)}, json_schema ${word(jsonSchema)}, audio ${word(audio)}`,
  ];
}

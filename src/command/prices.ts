import { createReadStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import type { Config } from '../config/config-document.ts';
import {
  type BookProblem,
  type BookRow,
  readBook,
  SHIPPED_BOOK_URL,
} from '../prices/price-book.ts';

/** Text of `sluice prices --help`. */
export const PRICES_HELP = `sluice prices check [--facts FILE] [--config FILE]

Reads every row of the price book and of the configuration's own prices, and says how many there are, and which two sources
disagree on. With --facts, a file of log lines or "-" for standard input, it lists what could not be priced, by provider,
model and reason, with the requests and tokens that this was. Exit code 1 where a row has a fault.`;

interface PricesArguments {
  readonly facts: string | null;
  readonly config: string | null;
}

/** @throws Error with one line that says what to do */
export function pricesArguments(argv: readonly string[]): PricesArguments {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: { facts: { type: 'string' }, config: { type: 'string' } },
    allowPositionals: true,
  });
  if (positionals.length !== 1 || positionals[0] !== 'check')
    throw new Error('prices knows one word: check. sluice prices --help says more.');
  return { facts: values.facts ?? null, config: values.config ?? null };
}

/** @returns the exit code */
export async function checkPrices(
  { facts }: PricesArguments,
  { pricing }: Config,
): Promise<number> {
  const problems: BookProblem[] = [];
  const { version, rows } = readBook(readFileSync(SHIPPED_BOOK_URL, 'utf8'), problems);
  const faults = problems.map(
    ({ line, path, found, expected }) =>
      `book.jsonl: line ${line}, ${path.join('.')}: found ${found}, expected ${expected}`,
  );
  const own =
    pricing.own === null
      ? []
      : [`own file of ${pricing.own.version}: ${pricing.own.rows.length} rows`];
  const free = pricing.overrides.filter(({ table }) => table.free).length;
  const lines = [
    `price book of ${version}: ${rows.length} rows`,
    ...providerLines(rows),
    ...own,
    `configuration: ${pricing.overrides.length} tables in [prices], ${free} of them free`,
    ...rows
      .filter(({ check }) => check === 'differs')
      .map(({ provider, model }) => `sources differ: ${provider}/${model}`),
    ...(facts === null ? [] : await lostLines(facts)),
    ...faults,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  return faults.length === 0 ? 0 : 1;
}

function providerLines(rows: readonly BookRow[]): readonly string[] {
  const byProvider = Map.groupBy(rows, ({ provider }) => provider);
  return [...byProvider].map(([provider, of]) => {
    const count = (check: string) => of.filter((row) => row.check === check).length;
    const free = of.filter(({ table }) => table.free).length;
    const said = `two sources agree on ${count('same')}, differ on ${count('differs')}, one has ${count('absent')}`;
    return `  ${provider.padEnd(12)} ${String(of.length).padStart(4)} rows: ${free === of.length ? 'free' : said}`;
  });
}

interface Lost {
  requests: number;
  input: number;
  output: number;
}

/** The members of a fact that are read here. */
interface Fact {
  readonly event?: unknown;
  readonly provider?: unknown;
  readonly model?: unknown;
  readonly requested_model?: unknown;
  readonly cost_status?: unknown;
  readonly unpriced_reason?: unknown;
  readonly input_tokens?: unknown;
  readonly output_tokens?: unknown;
}

/** Models of which a file of facts tells: what goes beyond is summed up in one line. */
const MODELS_MAX = 10_000;

async function lostLines(path: string): Promise<readonly string[]> {
  const input = path === '-' ? process.stdin : createReadStream(path);
  const lost = new Map<string, Lost>();
  let facts = 0;
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    const fact = factOf(line);
    if (fact === null) continue;
    facts++;
    if (fact.cost_status !== 'unpriced') continue;
    const model = fact.model ?? fact.requested_model ?? 'no model';
    const name = `${fact.provider}/${model}: ${fact.unpriced_reason}`;
    const key = lost.has(name) || lost.size < MODELS_MAX ? name : 'other models';
    const sum = lost.get(key) ?? { requests: 0, input: 0, output: 0 };
    sum.requests++;
    sum.input += Number(fact.input_tokens ?? 0);
    sum.output += Number(fact.output_tokens ?? 0);
    lost.set(key, sum);
  }
  const rows = [...lost].sort(([, a], [, b]) => b.input + b.output - a.input - a.output);
  return [
    `facts: ${facts}, unpriced ${rows.reduce((sum, [, { requests }]) => sum + requests, 0)}`,
    ...rows.map(
      ([name, { requests, input, output }]) =>
        `  ${name}: ${requests} requests, ${input} input and ${output} output tokens`,
    ),
  ];
}

function factOf(line: string): Fact | null {
  if (!line.includes('"ai.usage"')) return null;
  try {
    const fact: Fact = JSON.parse(line);
    return fact.event === 'ai.usage' ? fact : null;
  } catch {
    return null;
  }
}

import { createReadStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { usdText } from '../prices/money.ts';
import { anthropicBook } from '../reconcile/anthropic-export.ts';
import { type ProviderBook, pagesOf } from '../reconcile/books.ts';
import {
  type Comparison,
  compare,
  type Difference,
  type Figure,
  type Parting,
} from '../reconcile/differences.ts';
import { FactBook } from '../reconcile/fact-book.ts';
import { LedgerLines } from '../reconcile/ledger-lines.ts';
import { openaiBook } from '../reconcile/openai-export.ts';

/** Text of `sluice reconcile --help`. */
export const RECONCILE_HELP = `sluice reconcile --provider openai|anthropic --file EXPORT [--file …] [--facts FILE …] [--as NAME] [--json] [--config FILE]

Names where our books and the provider's part, by day (UTC), model and tier of service as far as its report tells them apart,
and the likely cause. Exit code 1 where they part.

  --file EXPORT   what the provider's API answered, as JSON: a page, a list of pages, or a page a line; usage and costs together
                  openai     /v1/organization/usage/completions, …/usage/embeddings, /v1/organization/costs (group_by line_item)
                  anthropic  /v1/organizations/usage_report/messages, /v1/organizations/cost_report (group_by description)
  --facts FILE    usage facts as lines of JSON: a log, a spill file, or "-" for standard input; a fact counts once. Without it
                  those of the ledger in data_dir, a gateway may be running beside it
  --as NAME       the provider's name in the facts, where that is another one
  --json          one object, for a program: counts as numbers, money as decimal texts`;

const READERS = { openai: openaiBook, anthropic: anthropicBook } as const;

interface ReconcileArguments {
  readonly provider: keyof typeof READERS;
  readonly name: string;
  readonly files: readonly string[];
  readonly facts: readonly string[];
  readonly json: boolean;
  readonly config: string | null;
}

/** @throws Error with one line that says what to do */
export function reconcileArguments(argv: readonly string[]): ReconcileArguments {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      provider: { type: 'string' },
      as: { type: 'string' },
      file: { type: 'string', multiple: true },
      facts: { type: 'string', multiple: true },
      json: { type: 'boolean' },
      config: { type: 'string' },
    },
  });
  const { provider, file: files = [], facts = [] } = values;
  if (provider !== 'openai' && provider !== 'anthropic')
    throw new Error('reconcile needs --provider openai or --provider anthropic.');
  if (files.length === 0) throw new Error('reconcile needs --file with the provider’s report.');
  const [name, json] = [values.as ?? provider, values.json === true];
  return { provider, name, files, facts, json, config: values.config ?? null };
}

/**
 * @param dataDir where the ledger is; asked for only where no facts are given
 * @returns the exit code
 */
export async function reconcile(
  { provider, name, files, facts, json }: ReconcileArguments,
  dataDir: () => Promise<string | null>,
): Promise<number> {
  const pages = files.flatMap((file) => pagesOf(readFileSync(file, 'utf8'), file));
  const book = READERS[provider](pages);
  const own = new FactBook(name);
  for (const path of facts) {
    const input = path === '-' ? process.stdin : createReadStream(path);
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY }))
      own.add(line);
  }
  const days = new Set([...book.usageDays, ...book.costDays]);
  let missing: readonly string[] = [];
  if (facts.length === 0) {
    const ledger = new LedgerLines(await dataDir());
    missing = ledger.missing(days);
    for (const line of ledger.of(days)) own.add(line);
  }
  const comparison = compare(own.rows, book);
  const text = json ? jsonOf(comparison, book) : tableOf(comparison, book, own, name, missing);
  process.stdout.write(`${text}\n`);
  return comparison.partings.length === 0 ? 0 : 1;
}

const NAMES: Readonly<Record<Figure, string>> = {
  requests: 'requests',
  input: 'input tokens',
  cacheRead: 'read from cache',
  cacheWrite: 'written to cache',
  output: 'output tokens',
  cost: 'USD',
};
const KEYS: Readonly<Record<Figure, string>> = {
  requests: 'requests',
  input: 'input_tokens',
  cacheRead: 'cache_read_tokens',
  cacheWrite: 'cache_write_tokens',
  output: 'output_tokens',
  cost: 'cost_usd',
};

function tableOf(
  { compared, partings }: Comparison,
  { usageDays, costDays, isCut }: ProviderBook,
  { facts, repeated }: FactBook,
  name: string,
  missing: readonly string[],
): string {
  const days = new Set([...usageDays, ...costDays]);
  return [
    `${name}: ${facts} facts${repeated > 0 ? ` (${repeated} more were there twice)` : ''}, ${days.size} days, ${compared} sums compared, ${partings.length} part`,
    ...(isCut ? ['the report goes on: its last page says that another one follows'] : []),
    ...missing.map((day) => `the ledger has no facts of ${day}`),
    ...partings.flatMap(partingLines),
  ].join('\n');
}

function partingLines({ day, model, tier, differences, causes }: Parting): readonly string[] {
  return [
    '',
    [day, model ?? 'all models', tier ?? 'all tiers'].join('  '),
    ...differences.map((one) => {
      const [ours, theirs] = [figureText(one, one.ours), figureText(one, one.theirs)];
      const apart = figureText(one, one.theirs - one.ours);
      const signed = apart.startsWith('-') ? apart : `+${apart}`;
      return `  ${NAMES[one.figure].padEnd(16)} ours ${ours.padStart(14)}   theirs ${theirs.padStart(14)}   ${signed}`;
    }),
    ...causes.map((cause) => `  likely: ${cause}`),
  ];
}

function figureText({ figure }: Difference, value: bigint): string {
  if (figure !== 'cost') return String(value);
  return value < 0n ? `-${usdText(-value)}` : usdText(value);
}

function jsonOf({ compared, partings }: Comparison, { isCut }: ProviderBook): string {
  return JSON.stringify({
    compared,
    report_goes_on: isCut,
    partings: partings.map(({ day, model, tier, differences, causes }) => ({
      day,
      model,
      tier,
      ...Object.fromEntries(
        differences.map((one) => {
          const written = (value: bigint): string | number =>
            one.figure === 'cost' ? figureText(one, value) : Number(value);
          const { ours, theirs } = one;
          return [KEYS[one.figure], { ours: written(ours), theirs: written(theirs) }];
        }),
      ),
      causes,
    })),
  });
}

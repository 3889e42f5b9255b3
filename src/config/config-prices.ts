import { createHash } from 'node:crypto';
import { BUILT_IN_ALIASES } from '../plan/route-table.ts';
import {
  ANY_MODEL,
  type Book,
  type BookProblem,
  type PriceOverride,
  type PricingConfig,
  readBook,
} from '../prices/price-book.ts';
import { type PriceProblem, type PriceTable, priceTable } from '../prices/price-table.ts';
import { providerTable } from '../providers/providers.ts';
import { type ConfigProblem, nearest } from './config-problem.ts';
import { readText } from './config-reference.ts';
import type { Settings } from './config-schema.ts';
import { problemAt, type RawConfig, valueAt } from './config-source.ts';

/** A price list of everything that is sold is 3 MB. */
const PRICES_FILE_MAX_BYTES = 16 * 1024 * 1024;

interface Read {
  readonly pricing: PricingConfig;
  readonly problems: readonly ConfigProblem[];
}

/** What `prices_file` and `[prices]` say, and what is wrong with it. */
export function readPricing(raw: RawConfig, settings: Settings): Read {
  const problems: ConfigProblem[] = [];
  const names = new Names(raw, settings, problems);
  const own = ownBook(raw, problems);
  const overrides = [...settings.prices].flatMap(([name, said]): readonly PriceOverride[] => {
    const target = names.target('prices', name);
    if (target === null) return [];
    const found: PriceProblem[] = [];
    const table = priceTable(said, found, false);
    for (const { path, found: shown, expected } of found)
      problems.push(problemAt(raw, ['prices', name, ...path], expected, shown));
    if (target.model === ANY_MODEL && !table.free) {
      const expected = 'free = true, which is all that a wildcard can say';
      problems.push(problemAt(raw, ['prices', name], expected, 'prices for every model'));
    }
    return [{ ...target, table, version: printOf(name, table) }];
  });
  return { pricing: { overrides, own }, problems };
}

/** `provider/model`, an alias of a provider resolved. */
class Names {
  readonly #raw: RawConfig;
  readonly #providers: readonly string[];
  readonly #aliases: ReadonlyMap<string, string>;
  readonly #problems: ConfigProblem[];

  constructor(raw: RawConfig, settings: Settings, problems: ConfigProblem[]) {
    this.#raw = raw;
    const builtIn = providerTable([]).map(({ name }) => name);
    this.#providers = [...builtIn, 'azure', ...settings.provider_authorities.keys()];
    this.#aliases = new Map([...BUILT_IN_ALIASES, ...settings.provider_aliases]);
    this.#problems = problems;
  }

  target(
    table: string,
    name: string,
  ): { readonly provider: string; readonly model: string } | null {
    const slash = name.indexOf('/');
    const left = name.slice(0, Math.max(slash, 0));
    const provider = this.#aliases.get(left) ?? left;
    const model = name.slice(slash + 1);
    const isWild = model.includes('*') && model !== ANY_MODEL;
    if (slash > 0 && model !== '' && !isWild && this.#providers.includes(provider))
      return { provider, model };
    const near = nearest(provider, this.#providers);
    const expected = isWild
      ? 'provider/model, or provider/* with free = true'
      : `provider/model, of a provider of this configuration (nearest: ${near})`;
    this.#problems.push(problemAt(this.#raw, [table, name], expected, `the name "${name}"`));
    return null;
  }
}

function ownBook(raw: RawConfig, problems: ConfigProblem[]): Book | null {
  const path = valueAt(raw.values, ['prices_file']);
  if (typeof path !== 'string' || path === '') return null;
  const file = readText(path, PRICES_FILE_MAX_BYTES);
  if ('failure' in file) {
    const shown = problemAt(raw, ['prices_file'], '').found;
    problems.push(problemAt(raw, ['prices_file'], 'a readable file', `${shown} (${file.failure})`));
    return null;
  }
  const found: BookProblem[] = [];
  const book = readBook(file.text, found);
  for (const { line, path: at, found: shown, expected } of found) {
    const key = at.length === 0 ? `line ${line}` : `line ${line}, ${at.join('.')}`;
    problems.push({ file: path, key, found: shown, expected });
  }
  return book;
}

/** Facts say which prices they were made with: these change when a table does. */
function printOf(name: string, table: PriceTable): string {
  const print = createHash('sha256')
    .update(JSON.stringify([name, table]))
    .digest('hex');
  return `config-${print.slice(0, 8)}`;
}

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Charge, Pricing } from '../../../src/prices/cost.ts';
import {
  type BookProblem,
  PriceBook,
  type PriceOverride,
  readBook,
  SHIPPED_BOOK_URL,
  shippedBook,
} from '../../../src/prices/price-book.ts';
import { priceTable } from '../../../src/prices/price-table.ts';

const NOW = Date.parse('2026-11-20T12:00:00Z');
const text = readFileSync(SHIPPED_BOOK_URL, 'utf8');
const shipped = shippedBook();
const book = new PriceBook(shipped);

function override(name: string, said: object): PriceOverride {
  const [provider = '', ...model] = name.split('/');
  return {
    provider,
    model: model.join('/'),
    table: priceTable(said, [], false),
    version: 'config-test',
  };
}

const charge = (provider: string, model: string | null, asked: string | null = null): Charge => ({
  provider,
  model,
  asked,
  counts: {
    inputTokens: 1_000_000,
    outputTokens: 1_000_000,
    cacheReadTokens: null,
    cacheWriteTokens: null,
    reasoningTokens: null,
  },
  details: null,
  lines: null,
  serviceTier: null,
  toolUses: {},
  source: 'reported',
  atMs: NOW,
});

describe('the shipped book', () => {
  const problems: BookProblem[] = [];
  const whole = readBook(text, problems);

  test('has no fault in any of its rows', () => {
    expect(problems).toEqual([]);
    expect(whole.rows.length).toBeGreaterThan(900);
  });

  test('is found by its lines as it is read whole', () => {
    const names = whole.rows.map(({ provider, model }) => `${provider}/${model}`);
    const found = shipped.providers.flatMap((provider) =>
      shipped.models(provider).map((model) => `${provider}/${model}`),
    );
    expect(found).toEqual(names);
    expect(new Set(names).size).toBe(names.length);
    for (const row of whole.rows) expect(shipped.read(row.provider, row.model)).toEqual([row]);
  });

  test('C2: gives nothing away but what it says is free', () => {
    const given = whole.rows.filter(({ provider, model }) => {
      const cost = new Pricing(book).cost(charge(provider, model));
      return cost.status !== 'free' && (cost.usd === '0' || cost.status === 'not_billed');
    });
    expect(given.map(({ provider, model }) => `${provider}/${model}`)).toEqual([]);
    const free = whole.rows.filter(({ table }) => table.free);
    expect(new Set(free.map(({ provider }) => provider))).toEqual(new Set(['ollama', 'vllm']));
  });

  test('says of each row where it is from, when it was read and whether a second list agrees', () => {
    const odd = whole.rows.filter(({ table, source, asOf, check, verified }) => {
      const isSaid = source.length > 8 && /^\d{4}-\d\d-\d\d$/.test(asOf ?? '');
      return !isSaid || (table.free ? check !== null : verified !== (check === 'same'));
    });
    expect(odd.map(({ model }) => model)).toEqual([]);
  });

  test('is told what a model can do', () => {
    expect(book.traits('openai', 'gpt-5.6')).toMatchObject({
      contextTokens: 922_000,
      maxOutputTokens: 128_000,
      images: true,
      tools: true,
      jsonSchema: true,
      audio: false,
    });
    expect(book.traits('openai', 'gpt-99').tools).toBeNull();
  });
});

describe('the models of a provider', () => {
  test('are those that a request can be sent to: what is free runs where nobody knows whether it is there', () => {
    const overrides = [
      override('vllm/mine', { free: true }),
      override('openai/new', { input: '1' }),
    ];
    const priced = new PriceBook(shipped, { overrides, own: null });
    expect(priced.models('vllm')).toEqual(['mine']);
    expect(priced.models('ollama')).toEqual([]);
    expect(priced.models('openai')).toEqual([...book.models('openai'), 'new']);
    expect(priced.known('vllm')).toContain('openai/gpt-oss-20b');
  });
});

describe('what counts before what', () => {
  const own = readBook(
    '{"version":"mine"}\n{"provider":"openai","model":"gpt-4o","input":"7","output":"8"}\n{"provider":"acme","model":"m","input":"1","output":"1"}',
    [],
  );
  const usd = (overrides: readonly PriceOverride[], ...asked: Parameters<typeof charge>) => {
    const {
      usd: told,
      status,
      version,
    } = new Pricing(new PriceBook(shipped, { overrides, own })).cost(charge(...asked));
    return [told, status, version];
  };

  test("a row of a file of one's own stands in place of the shipped one", () => {
    expect(usd([], 'openai', 'gpt-4o')).toEqual(['15', 'priced', 'mine']);
    expect(usd([], 'acme', 'm')).toEqual(['2', 'priced', 'mine']);
    expect(usd([], 'openai', 'gpt-4.1')).toEqual(['10', 'priced', '2026-10-21']);
  });

  test('a table of the configuration stands over both, and takes from them what it does not say', () => {
    const table = override('openai/gpt-4o', { input: '1' });
    expect(usd([table], 'openai', 'gpt-4o')).toEqual(['9', 'priced', 'config-test']);
    const ofBook = override('openai/gpt-5.6', { output: '1' });
    // A million tokens are above the book's 272,000, whose tier counts on.
    expect(usd([ofBook], 'openai', 'gpt-5.6')).toEqual(['38', 'priced', 'config-test']);
  });

  test('a table without a row below it takes from input what it does not say', () => {
    const table = override('acme/new', { input: '2', output: '3' });
    const priced = new PriceBook(shipped, { overrides: [table], own: null });
    const { cacheRead, cacheWrite, cacheWrite1h, reasoning, audioOutput } =
      priced.row('acme', 'new', NOW)?.standard[0]?.rates ?? {};
    expect([cacheRead, cacheWrite, cacheWrite1h]).toEqual([2_000_000, 2_000_000, 2_000_000]);
    expect([reasoning, audioOutput]).toEqual([3_000_000, -1]);
    // Writes that live longer are never taken for cheaper than plain input.
    const written = override('acme/new', { input: '2', output: '3', cache_write: '1' });
    const cheap = new PriceBook(shipped, { overrides: [written], own: null });
    expect(cheap.row('acme', 'new', NOW)?.standard[0]?.rates?.cacheWrite1h).toBe(2_000_000);
  });

  test('a wildcard is free for every model that has no table of its own, and for no other provider', () => {
    const tables = [
      override('acme/*', { free: true }),
      override('acme/dear', { input: '1', output: '1' }),
    ];
    expect(usd(tables, 'acme', 'any')).toEqual(['0', 'free', 'config-test']);
    expect(usd(tables, 'acme', 'm')).toEqual(['0', 'free', 'config-test']);
    expect(usd(tables, 'acme', 'dear')).toEqual(['2', 'priced', 'config-test']);
    expect(usd(tables, 'acme2', 'any')[1]).toBe('unpriced');
  });

  test('a table counts for what was asked for too, where what served has none', () => {
    const table = override('azure/mine', { input: '1', output: '1' });
    expect(usd([table], 'azure', 'gpt-4o', 'mine')).toEqual(['2', 'priced', 'config-test']);
    expect(usd([table], 'azure', 'gpt-4o', 'other')[2]).toBe('2026-10-21');
    const both = [table, override('azure/gpt-4o', { input: '3', output: '3' })];
    expect(usd(both, 'azure', 'gpt-4o', 'mine')[0]).toBe('6');
  });

  test('a table that begins later leaves the book until then', () => {
    const table = override('openai/gpt-4o', { input: '1', output: '1', from: '2026-11-21' });
    const priced = new PriceBook(shipped, { overrides: [table], own: null });
    const at = (ms: number) => priced.row('openai', 'gpt-4o', ms)?.version;
    expect(at(Date.parse('2026-11-20T23:59:59.999Z'))).toBe('2026-10-21');
    expect(at(Date.parse('2026-11-21T00:00:00Z'))).toBe('config-test');
  });

  test('C5: only a name that is exactly a model is one', () => {
    for (const model of whole()) {
      expect(book.row('openai', `${model}-turbo-xyz`, NOW)).toBeNull();
      expect(book.row('openai', model.slice(0, -1), NOW)?.model ?? null).toSatisfy(
        (found: string | null) => found === null || found === model.slice(0, -1),
      );
    }
    expect(book.row('openai', '__proto__', NOW)).toBeNull();
    expect(book.row('constructor', 'name', NOW)).toBeNull();
  });
});

const whole = (): readonly string[] => book.models('openai');

describe('C4: a file of rows', () => {
  test.each([
    ['no version', '{"provider":"a"}', 'version'],
    ['a line that is no JSON', '{"version":"1"}\n{', ''],
    ['a row without a model', '{"version":"1"}\n{"provider":"a","input":"1"}', 'model'],
    [
      'a row that is not whole',
      '{"version":"1"}\n{"provider":"a","model":"m","output":"1"}',
      'a.m.input',
    ],
    [
      'two prices of one day',
      '{"version":"1"}\n{"provider":"a","model":"m","input":"1"}\n{"provider":"a","model":"m","input":"2"}',
      'a.m.from',
    ],
    [
      'days that overlap',
      '{"version":"1"}\n{"provider":"a","model":"m","input":"1","until":"2026-02-02"}\n{"provider":"a","model":"m","input":"2","from":"2026-02-01"}',
      'a.m.from',
    ],
    [
      'a word that is no ability',
      '{"version":"1"}\n{"provider":"a","model":"m","input":"1","can":["fly"]}',
      'a.m.can',
    ],
  ])('with %s has that fault, and no other', (_, file, path) => {
    const problems: BookProblem[] = [];
    readBook(file, problems);
    expect(problems.map((problem) => problem.path.join('.'))).toEqual([path]);
  });
});

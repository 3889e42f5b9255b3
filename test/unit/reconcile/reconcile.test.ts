import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { anthropicBook } from '../../../src/reconcile/anthropic-export.ts';
import { pagesOf } from '../../../src/reconcile/books.ts';
import { compare, type Parting } from '../../../src/reconcile/differences.ts';
import { FactBook } from '../../../src/reconcile/fact-book.ts';
import { openaiBook } from '../../../src/reconcile/openai-export.ts';
import { factLine } from '../../support/fact-lines.ts';

const exported = (name: string) =>
  pagesOf(readFileSync(new URL(`../../reconcile/${name}.json`, import.meta.url), 'utf8'), name);
const OPENAI_USAGE = exported('openai-usage');
const OPENAI_COSTS = exported('openai-costs');
const ANTHROPIC_USAGE = exported('anthropic-usage');
const ANTHROPIC_COST = exported('anthropic-cost');

let count = 0;
function ours(
  facts: readonly Readonly<Record<string, unknown>>[],
  provider = 'openai',
): FactBook['rows'] {
  const book = new FactBook(provider);
  for (const fact of facts) book.add(factLine({ request_id: `req_${count++}`, ...fact }));
  return book.rows;
}

/** Told as the report tells it: figures that part, and causes by their first word. */
function told({ day, model, tier, differences, causes }: Parting) {
  return {
    at: [day.slice(-2), model, tier].join(' '),
    ...Object.fromEntries(
      differences.map(({ figure, ours: own, theirs }) => [figure, `${own} ${theirs}`]),
    ),
    causes: causes.map((cause) => cause.split(':')[0]),
  };
}

const GPT = { model: 'gpt-4o-2024-08-06' };
const MINI = { model: 'gpt-5-mini-2025-08-07', service_tier: 'flex' };
const FIRST = [
  { ...GPT, input_tokens: 400, cache_read_tokens: 400, output_tokens: 20 },
  { ...GPT, input_tokens: 600, output_tokens: 30 },
];
const MINIS = [1, 2, 3].map(() => ({ ...MINI, input_tokens: 30, output_tokens: 3 }));
const O3 = { model: 'o3-2025-04-16', input_tokens: 7, output_tokens: 7 };
const SECOND = [1, 2, 3].map((at) => ({
  ...GPT,
  time: `2026-11-27T0${at}:00:00.000Z`,
  input_tokens: 100,
  cache_read_tokens: at === 1 ? 100 : 0,
  output_tokens: at === 1 ? 60 : 10,
}));
const ALL = [...FIRST, ...MINIS, O3, ...SECOND];

describe('OpenAI’s usage beside our facts', () => {
  const partings = (facts: readonly Readonly<Record<string, unknown>>[]) =>
    compare(ours(facts), openaiBook(OPENAI_USAGE)).partings.map(told);

  test('parts nowhere where every answer told its usage', () => {
    const comparison = compare(ours(ALL), openaiBook(OPENAI_USAGE));
    expect(comparison).toEqual({ compared: 4, partings: [] });
  });

  test('a fact that stands in two files counts once; other providers, days and endpoints are not compared', () => {
    const book = new FactBook('openai');
    const more = [
      { provider: 'groq', model: 'llama', input_tokens: 9 },
      { time: '2026-11-28T00:00:00.000Z', ...GPT, input_tokens: 9 },
      { endpoint: '/v1/embeddings', model: 'text-embedding-3-small', input_tokens: 9 },
    ];
    const lines = [...ALL, ...more].map((fact, at) => factLine({ request_id: `r${at}`, ...fact }));
    for (const line of [...lines, 'no fact', '{"event":"request"}', ...lines]) book.add(line);
    expect(compare(book.rows, openaiBook(OPENAI_USAGE)).partings).toEqual([]);
    expect([book.facts, book.repeated]).toEqual([lines.length - 1, lines.length - 1]);
  });

  test('a model that is named without its date is the one that is dated', () => {
    const asked = ALL.map((fact) => ({ ...fact, model: fact.model.replace(/-\d{4}-.*/, '') }));
    expect(partings(asked)).toEqual([]);
  });

  test.each([
    [
      'what no gateway key sent is other traffic',
      ALL.filter((fact) => fact !== O3),
      [
        {
          at: '26 o3-2025-04-16 standard',
          requests: '0 1',
          input: '0 7',
          output: '0 7',
          causes: ['other traffic on the account'],
        },
      ],
    ],
    [
      'more requests than were sent are other traffic too',
      ALL.slice(1),
      [
        {
          at: '26 gpt-4o-2024-08-06 standard',
          requests: '1 2',
          input: '600 1000',
          cacheRead: '0 400',
          output: '30 50',
          causes: ['other traffic on the account'],
        },
      ],
    ],
    [
      'an attempt that failed and told nothing may have been billed',
      [...ALL.slice(1), { ...GPT, usage_source: 'none', upstream_status: 503, final: false }],
      [
        {
          at: '26 gpt-4o-2024-08-06 standard',
          requests: '1 2',
          input: '600 1000',
          cacheRead: '0 400',
          output: '30 50',
          causes: ['retries billed'],
        },
      ],
    ],
    [
      'a refusal bills nothing',
      [...ALL, { ...GPT, usage_source: 'none', upstream_status: 429 }],
      [],
    ],
    [
      'estimates err low',
      [{ ...FIRST[0], usage_source: 'estimated', output_tokens: 5 }, ...ALL.slice(1)],
      [{ at: '26 gpt-4o-2024-08-06 standard', output: '35 50', causes: ['estimates'] }],
    ],
    [
      'cached counts that part alone are named',
      [{ ...FIRST[0], cache_read_tokens: 0 }, ...ALL.slice(1)],
      [{ at: '26 gpt-4o-2024-08-06 standard', cacheRead: '0 400', causes: ['cached'] }],
    ],
    [
      'what ran over midnight is missing on one day and too much on the other',
      [
        ...FIRST,
        ...MINIS,
        O3,
        { ...SECOND[0], time: '2026-11-26T23:59:59.000Z' },
        ...SECOND.slice(1),
      ],
      [
        {
          at: '26 gpt-4o-2024-08-06 standard',
          requests: '3 2',
          input: '1100 1000',
          cacheRead: '500 400',
          output: '110 50',
          causes: [
            "a day's border",
            'the provider’s report is not complete yet, or another account served a part',
          ],
        },
        {
          at: '27 gpt-4o-2024-08-06 standard',
          requests: '2 3',
          input: '200 300',
          cacheRead: '0 100',
          output: '20 80',
          causes: ["a day's border", 'other traffic on the account'],
        },
      ],
    ],
    [
      'what the provider does not know is another account’s',
      [...ALL, { model: 'gpt-99', input_tokens: 1 }],
      [
        {
          at: '26 gpt-99 standard',
          requests: '1 0',
          input: '1 0',
          causes: ['another account or a name of its own'],
        },
      ],
    ],
    [
      'a tier by another name parts from both',
      [...FIRST, ...MINIS.map((fact) => ({ ...fact, service_tier: 'default' })), O3, ...SECOND],
      [
        {
          at: '26 gpt-5-mini-2025-08-07 flex',
          requests: '0 3',
          input: '0 90',
          output: '0 9',
          causes: ['other traffic on the account'],
        },
        {
          at: '26 gpt-5-mini-2025-08-07 standard',
          requests: '3 0',
          input: '90 0',
          output: '9 0',
          causes: ['another account or a name of its own'],
        },
      ],
    ],
  ])('%s', (_, facts, expected) => {
    expect(partings(facts)).toEqual(expected);
  });
});

describe('OpenAI’s costs beside our facts', () => {
  const partings = (facts: readonly Readonly<Record<string, unknown>>[]) =>
    compare(ours(facts), openaiBook(OPENAI_COSTS)).partings.map(told);
  const paid = [
    { ...GPT, cost_usd: '1.25' },
    { ...GPT, cost_usd: '0.75' },
    { ...MINI, cost_usd: '2' },
  ];

  test('are the same to a cent or a thousandth, whatever floats a provider adds up; fees stand alone', () => {
    expect(partings(paid)).toEqual([
      {
        at: '26 Web search tool calls ',
        cost: '0 250000000000',
        causes: ['fees'],
      },
    ]);
  });

  test('a request without a price is told as the cause', () => {
    expect(partings([...paid.slice(0, 2), { ...MINI, cost_usd: null }])[1]).toEqual({
      at: '26 gpt-5-mini-2025-08-07 ',
      cost: '0 2000000000000',
      causes: ['unpriced'],
    });
  });

  test('a price of ours that is not theirs is told as one', () => {
    expect(partings([...paid, { ...GPT, cost_usd: '1' }])[1]).toEqual({
      at: '26 gpt-4o-2024-08-06 ',
      cost: '3000000000000 2000000000000',
      causes: ['prices'],
    });
  });
});

describe('Anthropic’s reports beside our facts', () => {
  const SONNET = {
    provider: 'anthropic',
    dialect: 'anthropic',
    endpoint: '/v1/messages',
    service_tier: 'standard',
    model: 'claude-sonnet-4-5-20250929',
    input_tokens: 100,
    cache_read_tokens: 50,
    cache_write_tokens: 50,
    output_tokens: 40,
    cost_usd: '1.3345',
  };
  const HAIKU = { ...SONNET, model: 'claude-haiku-4-5-20251001', service_tier: 'batch' };
  const haiku = {
    ...HAIKU,
    input_tokens: 5,
    cache_read_tokens: 0,
    cache_write_tokens: 0,
    output_tokens: 6,
    cost_usd: null,
  };

  test('count no requests, and cached tokens beside the input as our facts do', () => {
    const book = anthropicBook(ANTHROPIC_USAGE);
    expect(compare(ours([SONNET, haiku], 'anthropic'), book)).toEqual({
      compared: 2,
      partings: [],
    });
    const late = { ...SONNET, time: '2026-11-27T10:00:00.000Z' };
    expect(compare(ours([SONNET, haiku, late], 'anthropic'), book).partings.map(told)).toEqual([
      {
        at: '27 claude-sonnet-4-5-20250929 standard',
        input: '200 0',
        cacheRead: '50 0',
        cacheWrite: '50 0',
        output: '40 0',
        causes: ['another account or a name of its own'],
      },
    ]);
  });

  test('an answer of several models is compared line by line', () => {
    const lines = [
      { ...SONNET, input_tokens: 60, kind: 'message' },
      { ...haiku, kind: 'advisor_message', cost_usd: '0' },
      {
        ...SONNET,
        input_tokens: 40,
        cache_read_tokens: 0,
        cache_write_tokens: 0,
        output_tokens: 0,
      },
    ];
    const rows = ours([{ ...SONNET, input_tokens: 999, lines }], 'anthropic');
    const own = Object.fromEntries(
      rows.map(({ model, input, output }) => [model, [input, output]]),
    );
    expect(own).toEqual({
      'claude-sonnet-4-5-20250929': [200, 40],
      'claude-haiku-4-5-20251001': [5, 6],
    });
  });

  test('tell money in cents, and fees without a model', () => {
    const book = anthropicBook(ANTHROPIC_COST);
    expect(
      compare(ours([{ ...SONNET, cost_usd: '1.2345' }], 'anthropic'), book).partings.map(told),
    ).toEqual([
      {
        at: '26 web_search standard',
        cost: '0 100000000000',
        causes: ['fees'],
      },
    ]);
  });
});

describe('Anthropic’s rows of analytics', () => {
  interface Bucket {
    readonly starting_at: string;
    readonly ending_at: string;
    readonly results: readonly Readonly<Record<string, unknown>>[];
  }
  const MEASURES = /tokens$|^cache_creation$|^server_tool_use$|^amount$|^currency$/;

  /** The same as the older reports say, as the newer ones write it. */
  const rowsOf = (pages: typeof ANTHROPIC_USAGE, measure: 'usage' | 'cost') =>
    pages.map(({ page, where }) => ({
      where,
      page: {
        ...page,
        data: (page['data'] as readonly Bucket[]).flatMap(({ starting_at, ending_at, results }) =>
          results.map((result) => {
            const of = (isMeasure: boolean) =>
              Object.fromEntries(
                Object.entries(result).filter(([name]) => MEASURES.test(name) === isMeasure),
              );
            return { starting_at, ending_at, group: of(false), [measure]: of(true) };
          }),
        ),
      },
    }));

  test('say what the lists of the older reports say', () => {
    const usage = anthropicBook(rowsOf(ANTHROPIC_USAGE, 'usage'));
    const costs = anthropicBook(rowsOf(ANTHROPIC_COST, 'cost'));
    expect(usage.usage).toEqual(anthropicBook(ANTHROPIC_USAGE).usage);
    expect(costs.costs).toEqual(anthropicBook(ANTHROPIC_COST).costs);
    expect([usage.usage.length, costs.costs.length]).toEqual([2, 2]);
  });

  test('that say neither are refused by their place', () => {
    const row = { starting_at: '2026-11-26T00:00:00Z', group: { model: 'm' } };
    expect(() => anthropicBook([{ where: 'a.json', page: { data: [row] } }])).toThrow(
      'a.json: data[0].usage: found nothing, expected an object',
    );
  });
});

describe('an export', () => {
  const page = (results: unknown, more = false) =>
    JSON.stringify({ data: [{ start_time: 1, results }], has_more: more });

  test('may be one page, a list of them, or a page a line; one that goes on is told', () => {
    const usage = { object: 'organization.usage.completions.result', input_tokens: 1 };
    const [first, last] = [page([usage], true), page([usage])];
    for (const text of [`[${first},${last}]`, `${first}\n${last}\n`])
      expect(openaiBook(pagesOf(text, 'x'))).toMatchObject({ isCut: false, usage: [{}, {}] });
    expect(openaiBook(pagesOf(first, 'x')).isCut).toBe(true);
  });

  test.each([
    ['no JSON', '{"data":\n', 'x, line 1: found what is no JSON, expected a page'],
    ['no page', '3', 'x: found 3, expected an object'],
    ['no data', '{}', 'x: data: found nothing, expected a list'],
    [
      'results of another report',
      page([{ object: 'y' }]),
      'x: data[0].results[0].object: found "y"',
    ],
    [
      'a count that is none',
      page([{ object: 'organization.usage.completions.result', input_tokens: -1 }]),
      'x: data[0].results[0].input_tokens: found -1, expected a whole number',
    ],
    [
      'another currency',
      page([{ object: 'organization.costs.result', amount: { value: 1, currency: 'eur' } }]),
      'x: data[0].results[0].amount: found {"value":1,"currency":"eur"}, expected an amount in usd',
    ],
  ])('with %s is refused with place, found and expected', (_, text, says) => {
    expect(() => openaiBook(pagesOf(text, 'x'))).toThrow(says);
  });

  test.each([
    ['no time', '{"data":[{"results":[]}]}', 'x: data[0].starting_at: found nothing'],
    [
      'neither report',
      '{"data":[{"starting_at":"2026-11-26T00:00:00Z","results":[{"a":1}]}]}',
      'x: data[0].results[0]: found a, expected amount (cost_report) or uncached_input_tokens',
    ],
    [
      'an amount that is none',
      '{"data":[{"starting_at":"2026-11-26T00:00:00Z","results":[{"amount":"many"}]}]}',
      'x: data[0].results[0].amount: found "many", expected cents of USD',
    ],
  ])('of Anthropic with %s is refused so too', (_, text, says) => {
    expect(() => anthropicBook(pagesOf(text, 'x'))).toThrow(says);
  });
});

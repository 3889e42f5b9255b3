import { describe, expect, test } from 'vitest';
import { type ListedModel, ModelList } from '../../../src/admit/model-list.ts';
import { CASES_MISSING, modelCase } from '../../support/translation-cases.ts';

const model = (id: string): ListedModel => ({
  id,
  owner: 'groq',
  contextTokens: 1_000,
  maxOutputTokens: null,
});

const IDS = Array.from({ length: 45 }, (_, at) => `groq/m${at}`);
const list = new ModelList({ openai: IDS.map(model), anthropic: IDS.map(model) });

const page = (query: string): { ids: string[]; more: boolean; first: unknown; last: unknown } => {
  const told = list.answer('/v1/models', query, 'anthropic');
  if (typeof told !== 'string') throw new Error(`It was ${JSON.stringify(told)}.`);
  const { data, has_more, first_id, last_id } = JSON.parse(told) as {
    data: { id: string }[];
    has_more: boolean;
    first_id: unknown;
    last_id: unknown;
  };
  return { ids: data.map(({ id }) => id), more: has_more, first: first_id, last: last_id };
};

describe('pages for who speaks Anthropic', () => {
  test.each([
    ['', 0, 20, true],
    ['limit=1000', 0, 45, false],
    ['limit=45', 0, 45, false],
    ['limit=44', 0, 44, true],
    ['limit=5000', 0, 45, false],
    ['limit=0', 0, 1, true],
    ['limit=-3', 0, 20, true],
    ['limit=ten', 0, 20, true],
    ['limit=3&after_id=groq/m41', 42, 45, false],
    ['limit=3&after_id=groq%2Fm40', 41, 44, true],
    ['limit=3&after_id=groq/m44', 45, 45, false],
    ['limit=3&before_id=groq/m3', 0, 3, false],
    ['limit=3&before_id=groq/m4', 1, 4, true],
    ['limit=3&before_id=groq/m0', 0, 0, false],
  ])('%j holds %i to %i, and has_more is %s', (query, from, to, more) => {
    const ids = IDS.slice(from, to);
    expect(page(query)).toEqual({
      ids,
      more,
      first: ids[0] ?? null,
      last: ids.at(-1) ?? null,
    });
  });

  test('read forward or backward, each model comes once', () => {
    const forward: string[] = [];
    for (let query = 'limit=7'; ; ) {
      const { ids, more, last } = page(query);
      forward.push(...ids);
      if (!more) break;
      query = `limit=7&after_id=${last}`;
    }
    expect(forward).toEqual(IDS);
    const backward: string[] = [];
    for (let query = 'limit=7&before_id=groq/m44'; ; ) {
      const { ids, more, first } = page(query);
      backward.unshift(...ids);
      if (!more) break;
      query = `limit=7&before_id=${first}`;
    }
    expect(backward).toEqual(IDS.slice(0, -1));
  });

  test('a cursor that is on no list is refused: from the start again a reader would never end', () => {
    for (const query of ['after_id=gone', 'before_id=groq/m45'])
      expect(list.answer('/v1/models', query, 'anthropic')).toMatchObject({
        code: 'unknown_model',
      });
  });
});

describe('one model', () => {
  test.each([
    '/v1/models/groq/m7',
    '/v1/models/groq%2Fm7',
    '/v1/models/groq%2fm7',
  ])('%s is told in the shape of either wire', (path) => {
    expect(JSON.parse(String(list.answer(path, '', 'openai')))).toEqual({
      id: 'groq/m7',
      object: 'model',
      created: 0,
      owned_by: 'groq',
    });
    expect(JSON.parse(String(list.answer(path, '', 'anthropic')))).toMatchObject({
      type: 'model',
      id: 'groq/m7',
      display_name: 'groq/m7',
      created_at: '1970-01-01T00:00:00Z',
      max_input_tokens: 1_000,
      max_tokens: null,
    });
  });

  test.each([
    ['/v1/models/gpt-4o', 'a plain name is the default provider\u2019s'],
    ['/v1/models/', 'no name at all'],
    ['/v1/models/%zz', 'an escape that is none'],
    ['/v1/modelsx', 'another path'],
    ['/v1/files', 'another path'],
  ])('%s is not answered here: %s', (path) => {
    expect(list.answer(path, '', 'openai')).toBeNull();
  });

  test('provider/model that is not listed is told so', () => {
    expect(list.answer('/v1/models/groq/none', '', 'openai')).toMatchObject({
      code: 'unknown_model',
      detail: '"groq/none" is not listed.',
    });
  });
});

test('where nothing is listed for a wire, nothing is answered on it', () => {
  const half = new ModelList({ openai: IDS.map(model), anthropic: [] });
  for (const path of ['/v1/models', '/v1/models/groq/m7'])
    expect(half.answer(path, '', 'anthropic')).toBeNull();
  expect(half.answer('/v1/models', '', 'openai')).toContain('groq/m7');
});

describe('the golden cases of translation', () => {
  /** As the cases call the wires of providers. */
  const PROVIDERS: Readonly<Record<string, string>> = {
    'openai-chat': 'openai',
    anthropic: 'anthropic',
    gemini: 'gemini',
    ollama: 'ollama',
  };

  /** A case says a value, or of which kind it is. */
  const asCase = (rule: unknown): unknown => {
    if (typeof rule === 'string') return rule;
    const { $m: kind, min } = rule as { $m: string; min?: number };
    if (kind === 'string') return expect.stringMatching(/./);
    if (kind === 'int')
      return expect.toSatisfy((value) => Number.isInteger(value) && value >= (min ?? 0));
    throw new Error(`no kind ${kind}`);
  };

  test.for([
    ['models-openai-shape', 'openai', 'openai-chat', 4],
    ['models-anthropic-shape', 'anthropic', 'anthropic', 2],
  ] as const)('%s: each model as a request names it, and with all that its caller’s own provider says of one', ([
    name,
    dialect,
    wire,
    count,
  ], { skip }) => {
    if (CASES_MISSING !== null) skip(CASES_MISSING);
    const { response_out_expected: expected, upstream_lists: lists } = modelCase(name);
    const named = expected.ids.map(([of, id]) => model(`${PROVIDERS[of]}/${id}`));
    const listed = new ModelList({ openai: named, anthropic: named });
    const { data, ...around } = JSON.parse(String(listed.answer('/v1/models', '', dialect)));
    expect(data).toHaveLength(count);
    const fields = Object.entries(expected.item).map(([field, rule]) => [field, asCase(rule)]);
    expect(data).toEqual(
      named.map(({ id }) => expect.objectContaining({ ...Object.fromEntries(fields), id })),
    );
    const { data: own, ...aroundOwn } = lists[wire] as { data: readonly object[] };
    expect(Object.keys(around).sort()).toEqual(Object.keys(aroundOwn).sort());
    expect(Object.keys(data[0])).toEqual(expect.arrayContaining(Object.keys(own[0] ?? {})));
  });
});

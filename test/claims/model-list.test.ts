import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { shippedBook } from '../../src/prices/price-book.ts';
import { answers, type RoutedScene, startRoutedScene, WHOLE } from '../support/routed-scene.ts';

let scene: RoutedScene;
let openai: OpenAI;
let anthropic: Anthropic;

const MESSAGE = JSON.stringify({
  type: 'message',
  content: [{ type: 'text', text: 'hi' }],
  usage: { input_tokens: 1, output_tokens: 1 },
});
const THEIRS = JSON.stringify({ object: 'list', data: [{ id: 'theirs' }] });

beforeAll(async () => {
  scene = await startRoutedScene(
    // Of azure, which has a pool key too, nobody knows what is deployed there: the book's models of it are not told.
    ['openai', 'groq', 'anthropic', 'mistral', 'azure'],
    `rate_limit_rps = 0
[routes.chat]
targets = ["openai/gpt-4o"]
fallbacks = ["groq/llama"]
[routes.claude-house]
targets = ["anthropic/claude-sonnet-5"]
[routes.both]
targets = ["chat", "claude-house"]
[routes.dead]
targets = ["mistral/large", "xai/grok"]
[routes."meta/llama 3 + more"]
targets = ["groq/llama"]
[routes.auto]
targets = ["groq/openai/gpt-oss-20b"]
[models."openai/gpt-4o"]
context_tokens = 128000
[models."claude/claude-opus-5"]
context_tokens = 200000
max_output_tokens = 64000
[models."xai/grok-4"]
tools = true
`,
    { mistral: [] },
  );
  openai = new OpenAI({ apiKey: scene.key, baseURL: `${scene.gateway.origin}/v1`, maxRetries: 0 });
  anthropic = new Anthropic({ apiKey: scene.key, baseURL: scene.gateway.origin, maxRetries: 0 });
});
afterAll(async () => await scene.stop());
beforeEach(() =>
  scene.plays({
    openai: answers(200, THEIRS),
    groq: answers(200, THEIRS),
    anthropic: answers(200, THEIRS),
    mistral: answers(200, THEIRS),
  }),
);

const BOOK = shippedBook();
const priced = (provider: string) => BOOK.models(provider).map((model) => `${provider}/${model}`);
/** In the order of the configuration, of the provider table and of the book: whoever speaks another wire is asked by translation. */
const NAMES = [
  ...new Set([
    'chat',
    'claude-house',
    'both',
    'meta/llama 3 + more',
    'auto',
    'openai/gpt-4o',
    'anthropic/claude-opus-5',
    ...priced('openai'),
    ...priced('anthropic'),
    ...priced('groq'),
    'groq/llama',
    'anthropic/claude-sonnet-5',
  ]),
];

/** A request as no SDK makes it. */
const get = async (
  path: string,
  fields: Readonly<Record<string, string>> = { authorization: `Bearer ${scene.key}` },
  method = 'GET',
): Promise<{ status: number; text: string; fields: Headers }> => {
  const response = await fetch(`${scene.gateway.origin}${path}`, { method, headers: fields });
  return { status: response.status, text: await response.text(), fields: response.headers };
};

const idsOf = (text: string): readonly string[] =>
  (JSON.parse(text) as { data: { id: string }[] }).data.map(({ id }) => id);

describe('R3: the list of models of a virtual key', () => {
  test('the stock openai SDK gets each name that leads to a provider with a key, whatever that speaks', async () => {
    const { data } = await openai.models.list();
    expect(data.map(({ id }) => id)).toEqual(NAMES);
    expect(data[0]).toEqual({ id: 'chat', object: 'model', created: 0, owned_by: 'sluice' });
    expect(data.find(({ id }) => id === 'groq/llama')?.owned_by).toBe('groq');
    const paged: string[] = [];
    for await (const { id } of openai.models.list()) paged.push(id);
    expect(paged).toEqual(NAMES);
    expect(scene.asked).toEqual({});
  });

  test('the stock Anthropic SDK gets its own shape, page by page', async () => {
    const first = await anthropic.models.list({ limit: 3 });
    expect(first.data.map(({ id }) => id)).toEqual(NAMES.slice(0, 3));
    expect([first.has_more, first.first_id, first.last_id]).toEqual([true, 'chat', 'both']);
    const paged: string[] = [];
    for await (const { id, type, display_name, created_at } of anthropic.models.list({
      limit: 1,
    })) {
      paged.push(id);
      expect([type, display_name, Number.isNaN(Date.parse(created_at))]).toEqual([
        'model',
        id,
        false,
      ]);
    }
    expect(paged).toEqual(NAMES);
    const back = await anthropic.models.list({ limit: 2, before_id: 'both' });
    expect(back.data.map(({ id }) => id)).toEqual(NAMES.slice(0, 2));
    expect(scene.asked).toEqual({});
  });

  test('every name that is listed can be retrieved, by either SDK', async () => {
    for (const id of NAMES) expect((await openai.models.retrieve(id)).id).toBe(id);
    for (const id of NAMES) expect((await anthropic.models.retrieve(id)).id).toBe(id);
    expect(await anthropic.models.retrieve('anthropic/claude-opus-5')).toMatchObject({
      max_input_tokens: 200_000,
      max_tokens: 64_000,
    });
    expect(scene.asked).toEqual({});
  });

  test('no name that is listed answers 404 or 403', async () => {
    scene.plays({
      openai: answers(200, WHOLE),
      groq: answers(200, WHOLE),
      anthropic: answers(200, MESSAGE),
    });
    const asked = [
      ...NAMES.map((name) => [name, '/v1/chat/completions'] as const),
      ...NAMES.map((name) => [name, '/v1/messages'] as const),
    ];
    for (const [model, path] of asked) {
      const body = JSON.stringify({
        model,
        max_tokens: 9,
        messages: [{ role: 'user', content: 'hi' }],
      });
      const { status } = await fetch(`${scene.gateway.origin}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${scene.key}`, 'content-type': 'application/json' },
        body,
      });
      expect([model, status]).toEqual([model, 200]);
    }
  });

  test('Claude Code\u2019s question, a bearer token and a limit of 1000, is answered with pages', async () => {
    const { status, text, fields } = await get('/v1/models?limit=1000', {
      authorization: `Bearer ${scene.key}`,
      'anthropic-version': '2023-06-01',
    });
    expect(status).toBe(200);
    expect(fields.get('content-type')).toBe('application/json');
    expect(fields.get('cache-control')).toBe('no-store');
    expect(idsOf(text)).toEqual(NAMES);
    expect(JSON.parse(text)).toMatchObject({ has_more: false });
  });

  test.each([
    ['/models', NAMES],
    ['/v1/models', NAMES],
  ])('%s is the same list', async (path, names) => {
    const { status, text } = await get(path);
    expect([status, idsOf(text)]).toEqual([200, names]);
  });

  test('HEAD is told how long the list is, and nothing of it', async () => {
    const { text } = await get('/v1/models');
    const told = await get('/v1/models', undefined, 'HEAD');
    expect([told.status, told.text, told.fields.get('content-length')]).toEqual([
      200,
      '',
      String(Buffer.byteLength(text)),
    ]);
  });

  test.each([
    '/v1/models/groq/llama',
    '/models/groq/llama',
    '/v1/models/groq%2Fllama',
    '/models/groq%2fllama',
  ])('%s names one of them', async (path) => {
    const { status, text } = await get(path);
    expect([status, (JSON.parse(text) as { id: unknown }).id]).toEqual([200, 'groq/llama']);
  });
});

describe('what is not the gateway\u2019s to list', () => {
  test('a provider\u2019s own list, behind its name, is asked of the provider', async () => {
    const { text } = await get('/groq/openai/v1/models');
    expect([text, scene.asked]).toEqual([THEIRS, { groq: 1 }]);
    const own = await get('/openai/v1/models');
    expect([own.text, scene.asked]).toEqual([THEIRS, { groq: 1, openai: 1 }]);
  });

  test('a plain name is asked of the default provider', async () => {
    await get('/v1/models/gpt-4o');
    expect(scene.upstreams['openai']?.requests[0]?.target).toBe('/v1/models/gpt-4o');
  });

  test('a caller with a key of its own gets the provider\u2019s list', async () => {
    const { text } = await get('/v1/models', { authorization: 'Bearer sk-own' });
    expect([text, scene.asked]).toEqual([THEIRS, { openai: 1 }]);
  });

  test('a key that is none gets no list', async () => {
    const forged = `${scene.key.slice(0, -8)}AAAAAAAA`;
    const { status, text } = await get('/v1/models', { authorization: `Bearer ${forged}` });
    expect([status, text]).toEqual([401, expect.stringContaining('bad_key')]);
  });

  test.each([
    '/v1/models/mistral/large',
    '/v1/models/dead',
  ])('%s leads to nobody with a key', async (path) => {
    const { status } = await get(path);
    // A plain name may be a model of the default provider, which is the one to say.
    expect(status).toBe(path.endsWith('dead') ? 200 : 404);
  });

  test('a list takes GET and HEAD', async () => {
    const { status, fields } = await get('/v1/models', undefined, 'POST');
    expect([status, fields.get('allow')]).toEqual([405, 'GET, HEAD']);
  });
});

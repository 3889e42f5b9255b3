import { describe, expect, test } from 'vitest';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { needsOf, type RequestNeeds } from '../../../src/wire/request-needs.ts';
import { RequestOutline } from '../../../src/wire/request-outline.ts';

const scanner = loadJsonScanner();

const of = (body: unknown, isAnthropic = false): RequestNeeds => {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const outline = RequestOutline.of(scanner, Buffer.from(text));
  if (outline === null) throw new Error('It is no JSON.');
  return needsOf(outline, isAnthropic);
};

describe('what a request asks of a model', () => {
  test.each<[string, unknown, Partial<RequestNeeds>]>([
    ['nothing', { messages: [{ role: 'user', content: 'hi' }] }, {}],
    ['tools', { tools: [{ type: 'function' }] }, { tools: true }],
    ['no tools', { tools: [] }, { tools: false }],
    ['tools that are null', { tools: null }, { tools: false }],
    [
      'a picture, OpenAI chat',
      { messages: [{ content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
      { images: true },
    ],
    ['a picture, Responses', { input: [{ content: [{ type: 'input_image' }] }] }, { images: true }],
    [
      'a text about pictures',
      { messages: [{ content: '"image_url" "image"' }] },
      { images: false },
    ],
    [
      'sound that comes',
      { messages: [{ content: [{ type: 'input_audio', input_audio: {} }] }] },
      { audio: true },
    ],
    ['sound that goes', { audio: { voice: 'alloy' } }, { audio: true }],
    ['a schema, chat', { response_format: { type: 'json_schema' } }, { jsonSchema: true }],
    ['a schema, Responses', { text: { format: { type: 'json_schema' } } }, { jsonSchema: true }],
    ['any JSON', { response_format: { type: 'json_object' } }, { jsonSchema: false }],
    ['answers', { n: 3 }, { choices: 3 }],
    ['one answer', { n: 1 }, { choices: 1 }],
    ['odd numbers of answers', { n: 0 }, { choices: 1 }],
    ['a mark', { system: [{ cache_control: { type: 'ephemeral' } }] }, { marksCache: true }],
    ['max_tokens', { max_tokens: 7 }, { outputTokens: 7 }],
    ['max_completion_tokens', { max_tokens: 9, max_completion_tokens: 7 }, { outputTokens: 7 }],
    ['max_output_tokens', { max_output_tokens: 7 }, { outputTokens: 7 }],
    ['a limit that is none', { max_tokens: 'many' }, { outputTokens: null }],
    ['a limit below 1', { max_tokens: -1 }, { outputTokens: null }],
  ])('%s', (_name, body, wanted) => {
    const plain = of({});
    expect(of(body)).toEqual({
      ...plain,
      textBytes: JSON.stringify(body).length,
      ...wanted,
    });
  });

  test('a picture in Anthropic\u2019s wire is one', () => {
    const picture = { messages: [{ content: [{ type: 'image', source: {} }] }] };
    expect(of(picture, true).images).toBe(true);
    expect(of({ messages: [{ content: '"image"' }] }, true).images).toBe(false);
    expect(of({ messages: [{ content: 'my_url" _url' }, { other_url: 1 }] }).images).toBe(false);
  });

  test('what it asks for is found among many names that have an underscore, as among few', () => {
    for (let names = 0; names < 20; names++) {
      const others = Object.fromEntries(
        Array.from({ length: names }, (_, at) => [`my_name${at}`, 'image_url']),
      );
      const asked = {
        ...others,
        messages: [{ content: [{ type: 'image_url' }, { type: 'input_audio' }] }],
        response_format: { type: 'json_schema' },
        system: [{ cache_control: {} }],
      };
      const found = { images: true, audio: true, jsonSchema: true, marksCache: true };
      expect(of(asked)).toMatchObject(found);
      // Pictures and sound count among the turns alone.
      const beside = { ...others, metadata: { a: 'image_url', b: 'input_audio' }, messages: [{}] };
      expect(of(beside)).toMatchObject({ images: false, audio: false });
    }
  });

  test('pictures in base64 are no text', () => {
    const data = 'QUJD'.repeat(20_000);
    const { textBytes, dataBytes } = of({ messages: [{ content: [{ type: 'image', data }] }] });
    expect(dataBytes).toBeGreaterThan(79_000);
    expect(textBytes).toBeLessThan(1_100);
  });
});

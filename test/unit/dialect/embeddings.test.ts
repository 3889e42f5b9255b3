import { describe, expect, test } from 'vitest';
import {
  ReadEmbeddings,
  TranslatedVectors,
  type WrittenEmbeddings,
} from '../../../src/dialect/embeddings/translation.ts';
import { Refusal } from '../../../src/dialect/losses.ts';
import { translateError } from '../../../src/dialect/translate.ts';
import type { TargetWire } from '../../../src/dialect/wires.ts';
import {
  CASES_MISSING,
  translationCases,
  translationMatcher,
} from '../../support/translation-cases.ts';

const match = CASES_MISSING === null ? await translationMatcher() : null;

function written(body: object, to: TargetWire = 'gemini', model = 'some-model'): WrittenEmbeddings {
  const read = ReadEmbeddings.of(Buffer.from(JSON.stringify(body)));
  if (read instanceof Refusal) throw read;
  const request = read.writtenFor(to, model);
  if (request instanceof Refusal) throw request;
  return request;
}

interface EmbeddingsAnswer {
  readonly data: readonly { readonly index: number; readonly embedding: unknown }[];
}

/** An answer as it is told, its pieces as long as they are said to be, and lent. @returns null: it is none */
function translateEmbeddings(
  from: TargetWire,
  body: Buffer,
  model: string,
  isPacked: boolean,
  count: number,
  pieceBytes = body.length,
): EmbeddingsAnswer | null {
  const vectors = new TranslatedVectors(from, model, { count, isPacked });
  let told = '';
  for (let at = 0; at < body.length; at += pieceBytes) {
    const lent = Buffer.from(body.subarray(at, at + pieceBytes));
    told += vectors.push(lent).toString();
    lent.fill(0x7b);
  }
  const end = vectors.end();
  return end === null ? null : (JSON.parse(told + end.toString()) as EmbeddingsAnswer);
}

/** Either of Gemini's two calls may be right. */
interface EmbeddingsCase {
  readonly request_out_expected: null | {
    readonly one_of_paths: Readonly<Record<string, unknown>>;
  };
  readonly response_upstream?: {
    readonly status: number;
    readonly by_path: Readonly<Record<string, unknown>>;
  };
}

describe('embeddings -> gemini', () => {
  const cases = translationCases('embeddings', 'gemini').map((one) => [one.name, one] as const);

  test('has golden cases', ({ skip }) => {
    if (CASES_MISSING !== null) skip(CASES_MISSING);
    expect(cases.length).toBe(5);
  });

  test.each(cases)('%s', (_name, one) => {
    if (match === null) return;
    const { request_out_expected: expected, response_upstream: came } =
      one as unknown as EmbeddingsCase;
    const { body } = one.request_in;
    const read = ReadEmbeddings.of(Buffer.from(JSON.stringify(body)));
    const { error = {} } = one.response_out_expected;
    if (expected === null) {
      expect(read).toMatchObject({ kind: 'untranslatable', field: 'input' });
      return;
    }
    if (read instanceof Refusal) throw read;
    const request = read.writtenFor('gemini', body.model);
    if (request instanceof Refusal) throw request;
    expect(request.path).toBe(`/models/${body.model}:batchEmbedContents`);
    const sent = JSON.parse(request.body.toString());
    expect(sent).toEqual(expected.one_of_paths['batchEmbedContents']);
    const { status = 0, by_path: byPath = {} } = came ?? {};
    const answer = Buffer.from(JSON.stringify(byPath['batchEmbedContents'] ?? byPath['*']));
    if (status !== 200) {
      const told = translateError('openai-chat', status, answer);
      expect(match.matchError('embeddings', error, told.status, told.body)).toEqual([]);
      return;
    }
    const told = translateEmbeddings(
      'gemini',
      answer,
      body.model,
      read.wanted.isPacked,
      read.wanted.count,
    );
    expect(match.matchResponse('embeddings', one.response_out_expected.body, told)).toEqual([]);
  });
});

test("a model's name stays one segment of Gemini's path", () => {
  const path = (model: string) => written({ input: 'a' }, 'gemini', model).path;
  expect(path('../files?x')).toBe('/models/..%2Ffiles%3Fx:batchEmbedContents');
  expect(path('half \ud800')).toBe('/models/half%20%EF%BF%BD:batchEmbedContents');
});

describe('embeddings -> ollama', () => {
  test('all texts leave in one request, and come back in their order', () => {
    const { body, path } = written({ input: ['a', 'b'], dimensions: 2, user: 'u' }, 'ollama');
    expect([path, JSON.parse(body.toString())]).toEqual([
      '/embed',
      { model: 'some-model', input: ['a', 'b'], dimensions: 2 },
    ]);
    const answer = {
      model: 'm',
      embeddings: [
        [0.25, -1],
        [1e-7, 3],
      ],
      prompt_eval_count: 4,
    };
    const told = translateEmbeddings('ollama', Buffer.from(JSON.stringify(answer)), 'm', false, 2);
    expect(told).toEqual({
      object: 'list',
      data: [
        { object: 'embedding', index: 0, embedding: [0.25, -1] },
        { object: 'embedding', index: 1, embedding: [1e-7, 3] },
      ],
      model: 'm',
      usage: { prompt_tokens: 4, total_tokens: 4 },
    });
  });

  test('a vector of more digits than a double has is one all the same', () => {
    const body = Buffer.from('{"embeddings":[[0.123456789012345678901,-1.5e-300]]}');
    const told = translateEmbeddings('ollama', body, 'm', false, 1);
    expect(told?.data[0]?.embedding).toEqual([0.12345678901234568, -1.5e-300]);
  });
});

test.each([
  ['no list of them', { embeddings: {} }],
  ['an empty one', { embeddings: [[]] }],
  ['none at all', { embeddings: [] }],
  ['one that is no vector', { embeddings: [[1], ['x']] }],
])('an answer with %s is none', (_name, body) => {
  const bytes = Buffer.from(JSON.stringify(body));
  for (const count of [1, 2]) {
    expect(translateEmbeddings('ollama', bytes, 'm', false, count)).toBeNull();
    expect(translateEmbeddings('gemini', bytes, 'm', true, count)).toBeNull();
  }
});

test('an answer of fewer vectors than there were texts is none, nor is one of more: nobody knows whose they are', () => {
  const body = Buffer.from('{"embeddings":[[1],[2]]}');
  const told = (count: number) => translateEmbeddings('ollama', body, 'm', false, count);
  expect([told(1), told(2)?.data.length, told(3)]).toEqual([null, 2, null]);
});

test.each([
  ['no input', {}, 'malformed'],
  ['an empty list', { input: [] }, 'malformed'],
  ['something that is no text', { input: [{}] }, 'malformed'],
  ['token ids', { input: [1, 2] }, 'untranslatable'],
  ['a text beside token ids', { input: ['a', [1]] }, 'untranslatable'],
])('%s is refused by the name of its field', (_name, body, kind) => {
  const read = ReadEmbeddings.of(Buffer.from(JSON.stringify(body)));
  expect(read).toMatchObject({ kind, field: 'input' });
});

test('whoever speaks a wire without vectors is not asked for any', () => {
  const read = ReadEmbeddings.of(Buffer.from('{"input":"a"}'));
  if (read instanceof Refusal) throw read;
  expect(read.writtenFor('anthropic-messages', 'm')).toMatchObject({ kind: 'untranslatable' });
});

describe('an answer of vectors', () => {
  const answer = Buffer.from(
    JSON.stringify(
      {
        model: '"embeddings":[',
        embeddings: [{ values: [0.25, -1e-7] }, { values: [1], shape: [1] }],
        usageMetadata: { promptTokenCount: 4 },
      },
      null,
      1,
    ),
  );

  test('is told the same, however it is cut', () => {
    const whole = translateEmbeddings('gemini', answer, 'm', true, 2);
    const marked = Buffer.concat([Buffer.from('\ufeff'), answer]);
    expect(translateEmbeddings('gemini', marked, 'm', true, 2)).toEqual(whole);
    for (const bytes of [1, 2, 7, 64])
      expect(translateEmbeddings('gemini', answer, 'm', true, 2, bytes)).toEqual(whole);
    expect(whole).toMatchObject({
      data: [{ index: 0 }, { index: 1 }],
      model: 'm',
      usage: { prompt_tokens: 4, total_tokens: 4 },
    });
  });

  test('that ends too early is none, wherever that is', () => {
    for (let at = 0; at < answer.length; at++)
      expect(translateEmbeddings('gemini', answer.subarray(0, at), 'm', false, 2)).toBeNull();
  });

  test('keeps nothing of a vector that was told', () => {
    const vectors = new TranslatedVectors('ollama', 'm', { count: 2, isPacked: false });
    const told = vectors.push(Buffer.from('{"embeddings":[[1,2],[3')).toString();
    expect(told).toBe(
      '{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1,2]}',
    );
    expect(vectors.push(Buffer.from(',4')).toString()).toBe('');
    expect(vectors.push(Buffer.from(']')).toString()).toContain('"embedding":[3,4]');
    expect(vectors.push(Buffer.from(']')).toString()).toBe('');
  });
});

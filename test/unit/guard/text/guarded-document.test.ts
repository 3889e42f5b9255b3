import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RunKind } from '../../../../src/guard/guard.ts';
import { GuardedDocument } from '../../../../src/guard/text/guarded-document.ts';
import { jsonTree } from '../../../../src/guard/text/json-tree.ts';
import { requestFixtures } from '../../../support/request-fixtures.ts';
import { redactedMarks } from '../../../support/word-guard.ts';

function documentOf(value: unknown, kind: RunKind = 'prompt'): GuardedDocument {
  const document = GuardedDocument.of(Buffer.from(JSON.stringify(value)), kind);
  if (document === null) throw new Error('It is not read.');
  return document;
}

/** Every text, with its kind. */
function told(value: unknown, kind: RunKind = 'prompt'): readonly string[] {
  return documentOf(value, kind).runs.map((run) => `${run.kind} ${run.text}`);
}

const guarded = (document: GuardedDocument): string => {
  for (const run of document.runs) run.text = redactedMarks(run.text);
  return document.written().toString();
};

/** Each text of a JSON value that is not a name of a member. */
function mapped(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((item) => mapped(item, change));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, mapped(member, change)]),
  );
}

describe('a JSON text and its places', () => {
  it('is read where JSON.parse reads it, and nowhere else, but for what a number is', () => {
    const texts = fc.oneof(
      fc.json(),
      fc
        .tuple(fc.json(), fc.nat(), fc.constantFrom('"', ',', '}', ']', '\\', ''))
        .map(([text, at, unit]) => {
          const place = at % (text.length + 1);
          return text.slice(0, place) + unit + text.slice(place + 1);
        }),
    );
    fc.assert(
      fc.property(texts, (text) => {
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        if (isJson) expect(jsonTree(Buffer.from(text))).not.toBeNull();
        // Numbers and words are not looked at: nobody's text is in one.
        else if (!/[-+.\w]/.test(text.replace(/"(?:[^"\\]|\\.)*"|true|false|null/g, '')))
          expect(GuardedDocument.of(Buffer.from(text), 'prompt')).toBeNull();
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ['too deep', `${'['.repeat(5_000)}${']'.repeat(5_000)}`],
    ['too many values', `[${'[],'.repeat(1_000_001)}[]]`],
    ['two texts', '{} {}'],
    ['UTF-16', Buffer.from('{"a":"b"}', 'utf16le')],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ])('%s is not read', (_name, text) => {
    expect(jsonTree(Buffer.from(text))).toBeNull();
  });

  it('a million numbers are none of its values', () => {
    expect(jsonTree(Buffer.from(`[${'0.25,'.repeat(1_500_000)}0]`))).not.toBeNull();
  });
});

describe('a guarded document', () => {
  it('recorded requests: each is read, and stays as it is where nothing is changed', () => {
    const bodies = requestFixtures().map(({ bytes }) => bytes);
    expect(bodies.length).toBeGreaterThan(50);
    for (const bytes of bodies) {
      const document = GuardedDocument.of(bytes, 'prompt');
      // Lists of tokens have no text.
      const hasText = /"(?:content|text|input|prompt)":\s*\[?\s*["{]/.test(bytes.toString());
      if (hasText) expect(document?.runs.length).toBeGreaterThan(0);
      expect(document?.written()).toBe(bytes);
    }
  });

  it('a text that is changed is another one, and every other byte is as it was', () => {
    const text =
      '{ "model":"m" ,"messages":[{"role":"user","content":"a <<b>> \\u00e9","n":1.50}],\n"x":null }';
    const document = GuardedDocument.of(Buffer.from(text), 'prompt');
    if (document === null) throw new Error('It is not read.');
    expect(guarded(document)).toBe(text.replace('a <<b>> \\u00e9', 'a [MARK] é'));
  });

  it('whatever is in it, the texts of unknown members are found', () => {
    const names = fc.stringMatching(/^x[a-z]{1,6}$/);
    const words = fc.constantFrom('plain', '<<secret>>', 'a "<<x>>" b', '\u{1f600}<<y>>');
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        words,
        fc.integer(),
        fc.dictionary(names, tie('value'), { maxKeys: 4 }),
        fc.array(tie('value'), { maxLength: 4 }),
      ),
    }));
    fc.assert(
      fc.property(value, (inner) => {
        const root = { body: inner };
        expect(JSON.parse(guarded(documentOf(root)))).toEqual(mapped(root, redactedMarks));
      }),
      { numRuns: 1_000 },
    );
  });

  it('says whose text each is: OpenAI chat', () => {
    expect(
      told({
        model: 'gpt-4o',
        messages: [
          { role: 'developer', content: 'rules' },
          { role: 'user', content: [{ type: 'text', text: 'ask' }], name: 'ada' },
          {
            role: 'assistant',
            content: 'said',
            refusal: 'no',
            reasoning_content: 'thought',
            tool_calls: [
              {
                id: 'call_1',
                type: 'function',
                function: { name: 'mail', arguments: '{"to":"x"}' },
              },
            ],
          },
          { role: 'tool', tool_call_id: 'call_1', content: 'result' },
        ],
        tools: [
          {
            type: 'function',
            function: {
              name: 'mail',
              description: 'sends',
              parameters: {
                type: 'object',
                properties: { id: { type: 'string', description: 'whom' } },
              },
            },
          },
        ],
        user: 'ada@x.org',
        stop: ['END'],
      }),
    ).toEqual([
      'system rules',
      'prompt ask',
      'prompt ada',
      'text said',
      'refusal no',
      'reasoning thought',
      'tool_args mail',
      'tool_args to',
      'tool_args x',
      'tool_result result',
      'system sends',
      'system whom',
      'prompt ada@x.org',
      'prompt END',
    ]);
  });

  it('says whose text each is: Anthropic messages', () => {
    const document = documentOf({
      model: 'claude',
      system: [{ type: 'text', text: 'rules', cache_control: { type: 'ephemeral' } }],
      messages: [
        {
          role: 'user',
          content: [
            {
              type: 'document',
              source: { type: 'text', media_type: 'text/plain', data: 'paper' },
              title: 'name',
            },
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } },
            {
              type: 'tool_result',
              tool_use_id: 'toolu_1',
              content: [{ type: 'text', text: 'found' }],
            },
          ],
        },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'hm', signature: 'c2lnbmF0dXJl' },
            { type: 'redacted_thinking', data: 'b3BhcXVl' },
            {
              type: 'tool_use',
              id: 'toolu_1',
              name: 'mail',
              input: { type: 'all of it is text', n: [{ id: '7' }] },
            },
          ],
        },
      ],
    });
    expect(document.runs.map((run) => `${run.kind} ${run.text}`)).toEqual([
      'system rules',
      'document paper',
      'document name',
      'tool_result found',
      'reasoning hm',
      'tool_args mail',
      'tool_args type',
      'tool_args all of it is text',
      'tool_args n',
      'tool_args id',
      'tool_args 7',
    ]);
    expect(document.unscannedBytes).toBe(4);
  });

  it('says whose text each is: OpenAI responses', () => {
    expect(
      told({
        model: 'gpt-5',
        instructions: 'rules',
        input: [
          { role: 'user', content: [{ type: 'input_text', text: 'ask' }] },
          {
            type: 'reasoning',
            id: 'rs_1',
            summary: [{ type: 'summary_text', text: 'hm' }],
            encrypted_content: 'x'.repeat(900),
          },
          { type: 'function_call', call_id: 'call_1', name: 'mail', arguments: '{"to":["x"]}' },
          { type: 'function_call_output', call_id: 'call_1', output: 'found' },
          { type: 'custom_tool_call', call_id: 'call_2', name: 'shell', input: 'ls' },
        ],
        previous_response_id: 'resp_1',
      }),
    ).toEqual([
      'system rules',
      'prompt ask',
      'reasoning hm',
      'tool_args mail',
      'tool_args to',
      'tool_args x',
      'tool_result found',
      'tool_args shell',
      'tool_args ls',
    ]);
  });

  it('says whose text each is: Gemini, Ollama, and texts for vectors', () => {
    expect(
      told({
        systemInstruction: { parts: [{ text: 'rules' }] },
        contents: [
          {
            role: 'user',
            parts: [{ text: 'ask' }, { inlineData: { mimeType: 'image/png', data: 'AA' } }],
          },
          {
            role: 'model',
            parts: [
              { text: 'hm', thought: true, thoughtSignature: 'c2ln' },
              { functionCall: { name: 'mail', args: { to: 'x' } } },
            ],
          },
          {
            role: 'user',
            parts: [{ functionResponse: { name: 'mail', response: { data: 'found' } } }],
          },
        ],
      }),
    ).toEqual([
      'system rules',
      'prompt ask',
      'reasoning hm',
      'tool_args mail',
      'tool_args to',
      'tool_args x',
      'tool_result mail',
      'tool_result data',
      'tool_result found',
    ]);
    expect(told({ model: 'llama', prompt: 'ask', system: 'rules', images: ['AAAA'] })).toEqual([
      'prompt ask',
      'system rules',
    ]);
    expect(told({ model: 'e', input: ['one', 'two'] })).toEqual(['prompt one', 'prompt two']);
  });

  it('JSON within a text stays JSON: its texts are changed by their own escapes', () => {
    const source = JSON.stringify({ to: 'say "<<x>>"', card: 4111111111111111 });
    const root = { tool_calls: [{ function: { name: 'f', arguments: source } }] };
    const document = documentOf(root, 'text');
    for (const run of document.runs)
      run.text = redactedMarks(run.text).replace(/^4111.*/, '[CARD]');
    const { tool_calls } = JSON.parse(document.written().toString());
    expect(JSON.parse(tool_calls[0].function.arguments)).toEqual({
      to: 'say "[MARK]"',
      card: '[CARD]',
    });
  });

  it.each([
    ['a picture', { image_url: { url: 'data:image/png;base64,AAAA' } }],
    ['a file', { file: { file_data: 'AAAA' } }],
    ['sound', { input_audio: { data: 'AAAA', format: 'wav' } }],
    ['words one by one', { choices: [{ logprobs: { content: [{ token: 'AAAA' }] } }] }],
    ['an id that is longer than any', { id: 'A'.repeat(513) }],
  ])('%s is somebody’s and cannot be read', (_name, value) => {
    const document = documentOf(value);
    expect(document.unscannedBytes).toBeGreaterThan(0);
    expect(document.runs.filter(({ text }) => text.includes('AAAA'))).toEqual([]);
  });
});

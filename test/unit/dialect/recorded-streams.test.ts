import { ResponseStream } from 'openai/lib/responses/ResponseStream';
import { describe, expect, test } from 'vitest';
import { TranslatedStream } from '../../../src/dialect/translate.ts';
import type { CallerWire, TargetWire } from '../../../src/dialect/wires.ts';
import {
  cutAtRandom,
  FIXTURES_MISSING,
  type RecordedResponse,
  recordedBody,
  recordedResponses,
} from '../../support/fixtures.ts';
import { CASES_MISSING, translationMatcher } from '../../support/translation-cases.ts';

// Every recorded stream of the wires that can be translated, told in the other one: in order, as the rules of that wire
// say, and the same however it is cut.

const MISSING = FIXTURES_MISSING ?? CASES_MISSING;
const match = MISSING === null ? await translationMatcher() : null;

const recorded = (name: RegExp): readonly RecordedResponse[] =>
  recordedResponses().filter(
    ({ file, format, status }) => format === 'sse' && status === 200 && name.test(file),
  );

function told(
  from: TargetWire,
  to: CallerWire,
  pieces: readonly Buffer[],
  end: 'end' | 'cut' = 'end',
): string {
  const terms = {
    model: 'asked',
    id: 'answer-1',
    created: 1_764_000_000,
    wantsUsage: true,
    toolNames: new Map<string, string>(),
    echoed: null,
  };
  const stream = new TranslatedStream(from, to, terms);
  const out = pieces.map((piece) => stream.push(piece));
  return Buffer.concat([...out, stream[end]()]).toString();
}

/** Everything that a stream says as text, thoughts and arguments aside, whichever wire it is on. */
function textOf(wire: CallerWire | TargetWire, body: string): string {
  return [...body.matchAll(/^data: ?(\{.*)$/gm)]
    .map(([, data = '']) => {
      try {
        const event = JSON.parse(data);
        if (wire === 'openai-responses')
          return /^response\.(?:output_text|refusal)\.delta$/.test(event.type) ? event.delta : '';
        if (wire === 'anthropic-messages')
          return event.type === 'content_block_delta' ? (event.delta.text ?? '') : '';
        if (wire === 'gemini') return candidateText(event);
        const delta = event.choices?.find(
          (one: { index?: number }) => (one.index ?? 0) === 0,
        )?.delta;
        const { content, refusal } = delta ?? {};
        return (typeof content === 'string' ? content : '') + (refusal ?? '');
      } catch {
        return '';
      }
    })
    .join('');
}

interface GeminiEvent {
  readonly candidates?: {
    readonly content?: { readonly parts?: { text?: string; thought?: boolean }[] };
  }[];
}

function candidateText({ candidates }: GeminiEvent): string {
  const parts = candidates?.[0]?.content?.parts ?? [];
  return parts.map(({ text, thought }) => (thought === true ? '' : (text ?? ''))).join('');
}

/** What OpenAI's own helper makes of the events of a stream. */
async function accumulated(body: string): Promise<object> {
  const lines = [...body.matchAll(/^data: (.*)$/gm)].map(([, data]) => `${data}\n`);
  const pieces = lines.map((line) => new TextEncoder().encode(line));
  return await ResponseStream.fromReadableStream(ReadableStream.from(pieces)).finalResponse();
}

const ENDED = /^data: (\{"type":"response\.(?:completed|incomplete)".*)$/m;

function finalOutput(body: string): unknown {
  const [, last = ''] = ENDED.exec(body) ?? [];
  return (JSON.parse(last) as { response: { output: unknown } }).response.output;
}

describe.each([
  ['openai-chat', 'anthropic-messages', 'anthropic', /\/chat-(?!v2-)/, 50],
  ['openai-chat', 'openai-responses', 'responses', /\/chat-(?!v2-)/, 50],
  ['anthropic-messages', 'openai-responses', 'responses', /\/messages-/, 15],
  ['gemini', 'openai-responses', 'responses', /\/gemini\/streamGenerateContent-/, 5],
  ['anthropic-messages', 'openai-chat', 'openai-chat', /\/messages-/, 15],
  ['gemini', 'anthropic-messages', 'anthropic', /\/gemini\/streamGenerateContent-/, 5],
  ['gemini', 'openai-chat', 'openai-chat', /\/gemini\/streamGenerateContent-/, 5],
] as const)('%s told as %s', (from, to, caller, name, least) => {
  const streams = recorded(name).map((one) => [one.file, one] as const);

  test('has recordings', ({ skip }) => {
    if (MISSING !== null) skip(MISSING);
    expect(streams.length).toBeGreaterThan(least);
  });

  test.each(streams)('%s', async (_file, one) => {
    if (match === null) return;
    const body = recordedBody(one);
    const text = told(from, to, [body]);
    const error = /^event: error$|^data: ?\{"error"/m.test(text);
    const options = { includeUsage: true, error };
    expect(match.checkStream(caller, match.parseSSE(text), options)).toEqual([]);
    expect(told(from, to, cutAtRandom(body, body.length))).toBe(text);
    if (to === 'openai-responses') {
      if (error) await expect(accumulated(text)).rejects.toThrow();
      else expect(await accumulated(text)).toMatchObject({ output: finalOutput(text) });
      // However much of it was told, a break is no end (T6).
      for (const share of [0.1, 0.5, 0.9]) {
        const part = body.subarray(0, Math.floor(body.length * share));
        const broken = told(from, to, [part], 'cut');
        if (!ENDED.test(broken)) await expect(accumulated(broken)).rejects.toThrow();
      }
    }
    if (error) return;
    const squeezed = (said: string): string => said.replace(/\s+/g, '');
    const said = textOf(from, body.toString().replaceAll('\r\n', '\n'));
    if (!/"content":\s*\[/.test(body.toString()))
      expect(squeezed(textOf(to, text))).toBe(squeezed(said));
  });
});

import { describe, expect, test } from 'vitest';
import { meaningOf, type StreamWire } from '../../../src/wire/first-content.ts';
import { FIXTURES_MISSING } from '../../support/fixtures.ts';
import { recordedStreams } from '../../support/recorded-streams.ts';

const kind = (wire: StreamWire, data: unknown, event = ''): string => {
  const meaning = meaningOf(wire, event, typeof data === 'string' ? data : JSON.stringify(data));
  return meaning.kind === 'error'
    ? `error ${meaning.error.status} ${meaning.error.code}`
    : meaning.kind;
};
const delta = (said: object, finish: string | null = null) => ({
  choices: [{ index: 0, delta: said, finish_reason: finish }],
});

describe('OpenAI chat', () => {
  test.each([
    [delta({ role: 'assistant' }), 'preamble'],
    [delta({ role: 'assistant', content: '' }), 'preamble'],
    [delta({ content: null, tool_calls: [] }), 'preamble'],
    [{ choices: [] }, 'preamble'],
    [{ choices: [], usage: { prompt_tokens: 1 } }, 'preamble'],
    [{ obfuscation: 'xyz', choices: [] }, 'preamble'],
    ['', 'preamble'],
    [delta({ content: 'H' }), 'content'],
    [delta({ refusal: 'I' }), 'content'],
    [delta({ tool_calls: [{ index: 0 }] }), 'content'],
    [delta({ function_call: { name: 'f' } }), 'content'],
    [delta({ audio: { id: 'a' } }), 'content'],
    [delta({ reasoning_content: 'Hm' }), 'content'],
    [delta({ reasoning: 'Hm' }), 'content'],
    [delta({ reasoning_details: [{ type: 'reasoning.text' }] }), 'content'],
    [delta({ content: [{ type: 'thinking' }] }), 'content'],
    [delta({ images: [{}] }), 'content'],
    [delta({ annotations: [{}] }), 'content'],
    [delta({}, 'stop'), 'content'],
    [delta({}, 'content_filter'), 'refusal'],
    ['[DONE]', 'end'],
    ['{"choices":[{"delta":{"con', 'malformed'],
    ['hello', 'malformed'],
    [{ error: { message: 'no', code: 529 } }, 'error 529 529'],
    [{ error: { message: 'no', type: 'overloaded_error' } }, 'error 529 overloaded_error'],
    [{ error: { message: 'no', code: 'insufficient_quota' } }, 'error 402 insufficient_quota'],
    [{ error: 'upstream died' }, 'error 0 error'],
    [{ error: null, choices: [] }, 'preamble'],
  ])('%j is %s', (data, wanted) => {
    expect(kind('openai-chat', data)).toBe(wanted);
  });
});

describe('OpenAI Responses', () => {
  test.each([
    [{ type: 'response.created', response: { output: [] } }, 'preamble'],
    [{ type: 'response.queued' }, 'preamble'],
    [{ type: 'response.in_progress' }, 'preamble'],
    [{ type: 'response.output_item.added', item: { type: 'message', content: [] } }, 'preamble'],
    [{ type: 'response.output_item.added', item: { type: 'reasoning', summary: [] } }, 'preamble'],
    [{ type: 'response.content_part.added', part: { text: '' } }, 'preamble'],
    [{ type: 'response.reasoning_summary_part.added' }, 'preamble'],
    [{ type: 'response.output_item.added', item: { type: 'function_call' } }, 'content'],
    [{ type: 'response.output_text.delta', delta: 'H' }, 'content'],
    [{ type: 'response.reasoning_summary_text.delta', delta: 'H' }, 'content'],
    [{ type: 'response.function_call_arguments.delta', delta: '{' }, 'content'],
    [{ type: 'response.web_search_call.in_progress' }, 'content'],
    [
      {
        type: 'response.incomplete',
        response: { incomplete_details: { reason: 'content_filter' } },
      },
      'refusal',
    ],
    [
      {
        type: 'response.incomplete',
        response: { incomplete_details: { reason: 'max_output_tokens' } },
      },
      'content',
    ],
    [{ type: 'response.completed', response: { output: [] } }, 'end'],
    [
      { type: 'response.failed', response: { error: { code: 'server_error' } } },
      'error 500 server_error',
    ],
    [
      { type: 'response.failed', response: { error: { code: 'rate_limit_exceeded' } } },
      'error 429 rate_limit_exceeded',
    ],
    [{ type: 'error', code: 'server_error', message: 'x' }, 'error 500 server_error'],
  ])('%j is %s', (data, wanted) => {
    expect(kind('openai-responses', data)).toBe(wanted);
  });
});

describe('Anthropic Messages', () => {
  test.each([
    [{ type: 'message_start', message: { usage: {} } }, 'preamble'],
    [{ type: 'ping' }, 'preamble'],
    [{ type: 'content_block_start', content_block: { type: 'text', text: '' } }, 'preamble'],
    [
      { type: 'content_block_start', content_block: { type: 'thinking', thinking: '' } },
      'preamble',
    ],
    [{ type: 'content_block_stop', index: 0 }, 'preamble'],
    [{ type: 'content_block_start', content_block: { type: 'tool_use', name: 'f' } }, 'content'],
    [
      { type: 'content_block_start', content_block: { type: 'redacted_thinking', data: 'x' } },
      'content',
    ],
    [{ type: 'content_block_start', content_block: { type: 'fallback' } }, 'content'],
    [{ type: 'content_block_delta', delta: { type: 'text_delta', text: 'H' } }, 'content'],
    [
      { type: 'content_block_delta', delta: { type: 'signature_delta', signature: 's' } },
      'content',
    ],
    [{ type: 'message_delta', delta: { stop_reason: 'refusal' } }, 'refusal'],
    [
      { type: 'message_delta', delta: { stop_reason: 'model_context_window_exceeded' } },
      'error 400 context_length_exceeded',
    ],
    [{ type: 'message_delta', delta: { stop_reason: 'end_turn' } }, 'content'],
    [{ type: 'message_stop' }, 'end'],
    [{ type: 'error', error: { type: 'overloaded_error' } }, 'error 529 overloaded_error'],
    [{ type: 'error', error: { type: 'api_error' } }, 'error 500 api_error'],
    [{ type: 'error', error: { type: 'timeout_error' } }, 'error 504 timeout_error'],
  ])('%j is %s', (data, wanted) => {
    expect(kind('anthropic-messages', data)).toBe(wanted);
  });
});

describe('Gemini', () => {
  test.each([
    [{ usageMetadata: {}, modelVersion: 'm', responseId: 'r' }, 'preamble'],
    [{ candidates: [{ content: { parts: [{ text: '', thoughtSignature: 's' }] } }] }, 'preamble'],
    [{ candidates: [{ content: { parts: [{ text: 'H' }] } }] }, 'content'],
    [{ candidates: [{ content: { parts: [{ text: 'Hm', thought: true }] } }] }, 'content'],
    [{ candidates: [{ content: { parts: [{ functionCall: { name: 'f' } }] } }] }, 'content'],
    [{ candidates: [{ content: { parts: [{ inlineData: { data: 'x' } }] } }] }, 'content'],
    [{ promptFeedback: { blockReason: 'SAFETY' } }, 'refusal'],
    [{ candidates: [{ finishReason: 'SAFETY' }] }, 'refusal'],
    [{ candidates: [{ finishReason: 'MALFORMED_FUNCTION_CALL' }] }, 'end'],
    [{ candidates: [{ content: { parts: [] }, finishReason: 'STOP' }] }, 'end'],
    [{ error: { code: 503, status: 'UNAVAILABLE' } }, 'error 503 UNAVAILABLE'],
    [[{ error: { code: 429, status: 'RESOURCE_EXHAUSTED' } }], 'error 429 RESOURCE_EXHAUSTED'],
  ])('%j is %s', (data, wanted) => {
    expect(kind('gemini', data)).toBe(wanted);
  });
});

describe('recorded streams', () => {
  const streams = recordedStreams();

  test('every one comes to content before anything else, but for the one that was recorded because it opens with an error', (ctx) => {
    if (FIXTURES_MISSING !== null) ctx.skip(FIXTURES_MISSING);
    const odd: string[] = [];
    for (const { name, wire, events } of streams) {
      const first = events
        .map(({ event, data }) => meaningOf(wire, event, data).kind)
        .find((meaning) => meaning !== 'preamble');
      if (first !== 'content') odd.push(`${name}: ${first}`);
    }
    expect(odd).toEqual([
      'responses/openrouter/chat-reqllm-meta-llama-llama-3-3-70b-instruct-free-object-streaming.sse: error',
    ]);
    expect(streams.length).toBeGreaterThan(50);
  });
});

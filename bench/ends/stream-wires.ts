/** How the streams of a bench are written by their upstream, and read by their client, on each wire. */

/** Where an event's text stands in what is written once. */
const TEXT = '~';

/** One stream, as a provider writes it. */
export interface UpstreamWire {
  readonly contentType: string;
  /** Events before the first text. */
  readonly opening: string;
  /** What stands before and behind an event's text. */
  readonly around: readonly [before: string, after: string];
  /** What it cost, where that is told only to who asked for it. */
  readonly report: string;
  readonly closing: string;
}

/** What a client sends, and how it knows what it reads. */
export interface CallerWire {
  readonly path: string;
  readonly fields: string;
  readonly body: (model: string) => string;
  /** Stands before each text. */
  readonly mark: string;
  /** Stands in the last event. */
  readonly end: string;
  /** Only who asked for it may see it; `''`: everybody does. */
  readonly unasked: string;
}

const data = (event: object): string => `data: ${JSON.stringify(event)}\n\n`;
const named = (event: { readonly type: string }): string => `event: ${event.type}\n${data(event)}`;
const around = (event: string): readonly [string, string] => {
  const [before = '', after = ''] = event.split(TEXT);
  return [before, after];
};

const CHUNK = { id: 'chatcmpl-C1hKpZ5vXyT9qLw2', object: 'chat.completion.chunk' };
const GEMINI = { modelVersion: 'gemini-3-flash', responseId: 'mY4kafXCBZ2Bm9IPx8ySqAk' };
const LINE = { model: 'llama3.3', created_at: '2026-11-21T20:57:43.314639Z' };

const OPENAI_CHAT: UpstreamWire = {
  contentType: 'text/event-stream',
  opening: '',
  around: around(
    data({
      ...CHUNK,
      created: 1_767_225_600,
      model: 'gpt-5-mini-2025-08-07',
      service_tier: 'default',
      system_fingerprint: 'fp_1a2b3c4d5e',
      choices: [{ index: 0, delta: { content: TEXT }, logprobs: null, finish_reason: null }],
      usage: null,
    }),
  ),
  report: data({
    ...CHUNK,
    model: 'gpt-5-mini-2025-08-07',
    choices: [],
    usage: { prompt_tokens: 31, completion_tokens: 212, total_tokens: 243 },
  }),
  // No finish reason: what ends it is enough for whoever reads it.
  closing: 'data: [DONE]\n\n',
};

const ANTHROPIC_MESSAGES: UpstreamWire = {
  contentType: 'text/event-stream; charset=utf-8',
  opening:
    named({
      type: 'message_start',
      ...{
        message: {
          id: 'msg_01XFDUDYJgAACzvnptvVoYEL',
          type: 'message',
          role: 'assistant',
          model: 'claude-haiku-5-5',
          content: [],
          stop_reason: null,
          stop_sequence: null,
          usage: { input_tokens: 31, output_tokens: 1 },
        },
      },
    }) +
    named({
      type: 'content_block_start',
      ...{ index: 0, content_block: { type: 'text', text: '' } },
    }),
  around: around(
    named({
      type: 'content_block_delta',
      ...{ index: 0, delta: { type: 'text_delta', text: TEXT } },
    }),
  ),
  report: '',
  closing:
    named({ type: 'content_block_stop', ...{ index: 0 } }) +
    named({
      type: 'message_delta',
      ...{
        delta: { stop_reason: 'end_turn', stop_sequence: null },
        usage: { output_tokens: 212 },
      },
    }) +
    named({ type: 'message_stop' }),
};

const GEMINI_USAGE = { promptTokenCount: 31, candidatesTokenCount: 212, totalTokenCount: 243 };
const candidate = (text: string, more: object) => ({
  candidates: [{ content: { parts: [{ text }], role: 'model' }, ...more, index: 0 }],
  usageMetadata: GEMINI_USAGE,
  ...GEMINI,
});

export const UPSTREAM_WIRES = {
  'openai-chat': OPENAI_CHAT,
  'anthropic-messages': ANTHROPIC_MESSAGES,
  gemini: {
    contentType: 'text/event-stream',
    opening: '',
    around: around(data(candidate(TEXT, {}))),
    report: '',
    closing: data(candidate('', { finishReason: 'STOP' })),
  },
  ollama: {
    contentType: 'application/x-ndjson',
    opening: '',
    around: around(
      `${JSON.stringify({ ...LINE, message: { role: 'assistant', content: TEXT }, done: false })}\n`,
    ),
    report: '',
    closing: `${JSON.stringify({
      ...LINE,
      message: { role: 'assistant', content: '' },
      done: true,
      done_reason: 'stop',
      prompt_eval_count: 31,
      eval_count: 212,
    })}\n`,
  },
} as const satisfies Readonly<Record<string, UpstreamWire>>;
export type UpstreamWireName = keyof typeof UPSTREAM_WIRES;

const MESSAGES = [{ role: 'user', content: 'What did the river say to the stone?' }];

export const CALLER_WIRES = {
  'openai-chat': {
    path: '/v1/chat/completions',
    fields: '',
    body: (model) => JSON.stringify({ model, stream: true, messages: MESSAGES }),
    mark: '"content":"',
    end: 'data: [DONE]',
    unasked: '"prompt_tokens"',
  },
  'openai-responses': {
    path: '/v1/responses',
    fields: '',
    body: (model) => JSON.stringify({ model, stream: true, store: false, input: MESSAGES }),
    mark: '"delta":"',
    end: '"response.completed"',
    unasked: '',
  },
  'anthropic-messages': {
    path: '/v1/messages',
    fields: 'anthropic-version: 2023-06-01\r\n',
    body: (model) => JSON.stringify({ model, stream: true, max_tokens: 512, messages: MESSAGES }),
    mark: '"type":"text_delta","text":"',
    end: '"message_stop"',
    unasked: '',
  },
} as const satisfies Readonly<Record<string, CallerWire>>;
export type CallerWireName = keyof typeof CALLER_WIRES;

import { Stream as AnthropicStream } from '@anthropic-ai/sdk/core/streaming';
import { MessageStream } from '@anthropic-ai/sdk/lib/MessageStream';
import type { Message } from '@anthropic-ai/sdk/resources/messages';
import { Stream as OpenAIStream } from 'openai/core/streaming';
import { ChatCompletionStream } from 'openai/lib/ChatCompletionStream';
import { ResponseStream } from 'openai/lib/responses/ResponseStream';
import type { ChatCompletion } from 'openai/resources/chat/completions';
import type { Response as OpenAIResponse } from 'openai/resources/responses/responses';
import { describe, expect, test } from 'vitest';
import { TranslatedStream, translateAnswer } from '../../../src/dialect/translate.ts';
import type { CallerWire, TargetWire } from '../../../src/dialect/wires.ts';
import {
  cutAroundNewlines,
  cutAtRandom,
  cutToBytes,
  FIXTURES_MISSING,
  type RecordedResponse,
  recordedBody,
  recordedResponses,
} from '../../support/fixtures.ts';
import { type Json, wholeForm } from '../../support/whole-forms.ts';

// Every recorded stream of each wire, told in each other wire of callers, and put together by the official SDK's own helper:
// it is the message that the same answer is when it comes whole, however the stream is cut.

const TERMS = {
  model: 'asked',
  id: 'answer-1',
  created: 1_764_000_000,
  wantsUsage: true,
  toolNames: new Map<string, string>(),
  echoed: null,
};

/** Up to here a stream is cut at every byte, bytes; longer ones around their line ends and at random. */
const CUT_TO_BYTES_MAX = 32_768;

function told(
  from: TargetWire,
  to: CallerWire,
  pieces: readonly Buffer[],
  end: 'end' | 'cut' = 'end',
): string {
  const stream = new TranslatedStream(from, to, TERMS);
  const out = pieces.map((piece) => Buffer.from(stream.push(piece)));
  return Buffer.concat([...out, stream[end]()]).toString();
}

/** The event behind which nothing follows where all is well. */
const TERMINAL =
  /^data: (?:\[DONE\]|\{"type":"(?:message_stop|response\.(?:completed|incomplete))")/m;

/** What a message says, in words that all wires have. */
interface Said {
  readonly text: string;
  readonly thought: string;
  readonly calls: readonly (readonly [name: string, input: unknown])[];
  readonly end: string | null;
  readonly usage: unknown;
  readonly tier: unknown;
}

const parsed = (input: string): unknown => JSON.parse(input === '' ? '{}' : input);

function saidInChat({ choices, usage, service_tier }: ChatCompletion): Said {
  const [choice] = choices;
  const message = choice?.message;
  return {
    text: (message?.content ?? '') + (message?.refusal ?? ''),
    thought: (message as { reasoning_content?: string } | undefined)?.reasoning_content ?? '',
    calls: (message?.tool_calls ?? []).flatMap((call) =>
      call.type === 'function' ? [[call.function.name, parsed(call.function.arguments)]] : [],
    ),
    end: choice?.finish_reason ?? null,
    usage,
    tier: service_tier,
  };
}

function saidInMessage({ content, stop_reason, usage }: Message): Said {
  return {
    // White space in front of a thought is a block that Anthropic would not take back: a stream leaves it out.
    text: content
      .map((block) => (block.type === 'text' ? block.text : ''))
      .join('')
      .trimStart(),
    thought: content.map((block) => (block.type === 'thinking' ? block.thinking : '')).join(''),
    calls: content.flatMap((block) =>
      block.type === 'tool_use' ? [[block.name, block.input] as const] : [],
    ),
    end: stop_reason,
    // Of the tier the helper reads what a stream opens with, before anybody knows which one serves.
    usage: { ...usage, service_tier: null },
    tier: null,
  };
}

function saidInResponse({ output, status, usage, service_tier }: OpenAIResponse): Said {
  const parts = output.flatMap((item) => (item.type === 'message' ? item.content : []));
  const summaries = output.flatMap((item) => (item.type === 'reasoning' ? item.summary : []));
  return {
    text: parts.map((part) => (part.type === 'output_text' ? part.text : part.refusal)).join(''),
    thought: summaries.map(({ text }) => text).join(''),
    calls: output.flatMap((item) =>
      item.type === 'function_call' ? [[item.name, parsed(item.arguments)] as const] : [],
    ),
    end: status ?? null,
    usage,
    tier: service_tier,
  };
}

const eventStream = (text: string): Response =>
  new Response(text, { headers: { 'content-type': 'text/event-stream' } });

/** The helper overwrites what it does not know, and its users read the chunks: that is where a thought is. */
function thoughtInChunks(text: string): string {
  return [...text.matchAll(/^data: (\{.*)$/gm)]
    .map(([, data = '']) => JSON.parse(data) as { choices?: readonly { delta?: Json }[] })
    .map(({ choices }) => choices?.[0]?.delta?.['reasoning_content'] ?? '')
    .join('');
}

/** By the official SDK of a caller's wire: what its helper makes of a stream, and what of a whole answer. */
const SDKS: Readonly<
  Record<
    CallerWire,
    {
      readonly helper: (text: string) => Promise<Said>;
      readonly whole: (body: unknown) => Said;
    }
  >
> = {
  'openai-chat': {
    helper: async (text) => {
      const events = OpenAIStream.fromSSEResponse(eventStream(text), new AbortController());
      const stream = ChatCompletionStream.fromReadableStream(events.toReadableStream());
      const said = saidInChat(await stream.finalChatCompletion());
      return { ...said, thought: thoughtInChunks(text) };
    },
    whole: (body) => saidInChat(body as ChatCompletion),
  },
  'openai-responses': {
    helper: async (text) => {
      const events = OpenAIStream.fromSSEResponse(eventStream(text), new AbortController());
      const stream = ResponseStream.fromReadableStream(events.toReadableStream());
      return saidInResponse(await stream.finalResponse());
    },
    whole: (body) => saidInResponse(body as OpenAIResponse),
  },
  'anthropic-messages': {
    helper: async (text) => {
      const events = AnthropicStream.fromSSEResponse(eventStream(text), new AbortController());
      const stream = MessageStream.fromReadableStream(events.toReadableStream());
      return saidInMessage(await stream.finalMessage());
    },
    whole: (body) => saidInMessage(body as Message),
  },
};

const RECORDED: Readonly<Record<TargetWire, RegExp>> = {
  'openai-chat': /\/chat-(?!v2-).*\.sse$/,
  'anthropic-messages': /\/messages-.*\.sse$/,
  gemini: /\/streamGenerateContent-.*\.sse$/,
  ollama: /\/ollama\/.*\.ndjson$/,
};
/** Recordings of each wire at least: the others come from one vendor alone. */
const LEAST: Readonly<Record<TargetWire, number>> = {
  'openai-chat': 50,
  'anthropic-messages': 15,
  gemini: 10,
  ollama: 1,
};

const recorded = (wire: TargetWire): readonly RecordedResponse[] =>
  FIXTURES_MISSING === null
    ? recordedResponses().filter(({ file, status }) => status === 200 && RECORDED[wire].test(file))
    : [];

const PAIRS = (Object.keys(RECORDED) as TargetWire[]).flatMap((from) =>
  (Object.keys(SDKS) as CallerWire[]).filter((to) => to !== from).map((to) => [from, to] as const),
);

describe.each(PAIRS)('%s told as %s', (from, to) => {
  const streams = recorded(from).map((one) => [one.file, one] as const);

  test('has recordings', ({ skip }) => {
    if (FIXTURES_MISSING !== null) skip(FIXTURES_MISSING);
    expect(streams.length).toBeGreaterThanOrEqual(LEAST[from]);
  });

  test.each(
    streams,
  )('%s is what it is whole, by the SDK’s own helper, under every cut', async (_file, one) => {
    const body = recordedBody(one);
    const text = told(from, to, [body]);
    for (const pieces of [
      body.length <= CUT_TO_BYTES_MAX ? cutToBytes(body, body.length) : cutToBytes(body, 512),
      cutAroundNewlines(body),
      ...[1, 2, 3, 4].map((seed) => cutAtRandom(body, seed)),
    ])
      expect(told(from, to, pieces)).toBe(text);
    const whole = wholeForm(from, body.toString());
    const { helper, whole: saidIn } = SDKS[to];
    if (whole === null) await expect(helper(text)).rejects.toThrow();
    else {
      const answer = translateAnswer(from, to, Buffer.from(JSON.stringify(whole)), TERMS);
      expect(answer.status).toBe(200);
      expect(await helper(text)).toEqual(saidIn(answer.body));
    }
    // However much of it was told, a break is no end (T6).
    for (const share of [0.1, 0.5, 0.9]) {
      const part = body.subarray(0, Math.floor(body.length * share));
      const broken = told(from, to, [part], 'cut');
      if (!TERMINAL.test(broken)) await expect(helper(broken)).rejects.toThrow();
    }
  });
});

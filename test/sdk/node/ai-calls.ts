/** The calls of Vercel's ai, the same for each of its providers. */

import {
  APICallError,
  type EmbeddingModel,
  embedMany,
  generateText,
  type LanguageModel,
  type LanguageModelUsage,
  Output,
  stepCountIs,
  streamText,
  tool,
} from 'ai';
import { z } from 'zod';
import {
  type Ask,
  type Call,
  expect,
  expectCalls,
  expectPicture,
  expectSaid,
  expectVectors,
  PICTURE_URL,
  type Refusal,
  type Used,
} from './contract.ts';

const Stone = z.object({ name: z.string(), weight: z.int(), colours: z.array(z.string()) });
const weather = tool({
  description: 'The weather of a city',
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `Rain in ${city}.`,
});

const clock = tool({
  description: 'The time in a zone',
  inputSchema: z.object({ zone: z.string() }),
  execute: async ({ zone }) => `Noon in ${zone}.`,
});

const used = ({ inputTokens, outputTokens }: LanguageModelUsage): Used => [
  inputTokens ?? 0,
  outputTokens ?? 0,
];

type TextCalls = Readonly<
  Record<'chat' | 'stream' | 'tools' | 'parallel' | 'structured' | 'vision' | 'cut-stream', Call>
>;

type ProviderOptions = NonNullable<Parameters<typeof generateText>[0]['providerOptions']>;

/**
 * @param modelOf the model of one ask, as its provider package makes it
 * @param providerOptions said with each call
 */
export function textCalls(
  modelOf: (ask: Ask) => LanguageModel,
  providerOptions: ProviderOptions = {},
): TextCalls {
  const once = (ask: Ask) => ({ model: modelOf(ask), maxRetries: 0, providerOptions });
  return {
    chat: async (ask) => {
      const { text, usage } = await generateText({ ...once(ask), prompt: ask.prompt });
      expectSaid(ask, text);
      return [used(usage)];
    },
    stream: async (ask) => {
      const streamed = streamText({ ...once(ask), prompt: ask.prompt });
      let text = '';
      for await (const piece of streamed.textStream) text += piece;
      expectSaid(ask, text);
      return [used(await streamed.usage)];
    },
    tools: async (ask) => {
      const { text, steps } = await generateText({
        ...once(ask),
        prompt: ask.prompt,
        tools: { weather },
        stopWhen: stepCountIs(3),
      });
      expect(steps[0]?.toolResults[0]?.output === 'Rain in mock.', steps[0]?.toolResults);
      expect(text.startsWith('You said:'), text);
      return steps.map(({ usage }) => used(usage));
    },
    parallel: async (ask) => {
      let raised: unknown = null;
      const streamed = streamText({
        ...once(ask),
        prompt: ask.prompt,
        tools: { weather, clock },
        stopWhen: stepCountIs(3),
        onError: ({ error }) => {
          raised = error;
        },
      });
      const steps = await streamed.steps;
      if (raised !== null) throw raised;
      const [first, last] = [steps[0], steps.at(-1)];
      expectCalls(
        (first?.toolCalls ?? []).map(({ toolCallId, toolName, input }) => [
          toolCallId,
          toolName,
          input,
        ]),
      );
      expect(last?.text.startsWith('You said:') === true, last?.text);
      return steps.map(({ usage }) => used(usage));
    },
    structured: async (ask) => {
      const { output, usage } = await generateText({
        ...once(ask),
        prompt: ask.prompt,
        output: Output.object({ schema: Stone }),
      });
      expect(Stone.safeParse(output).success, output);
      return [used(usage)];
    },
    vision: async (ask) => {
      const { text, usage } = await generateText({
        ...once(ask),
        messages: [
          {
            role: 'user',
            content: [
              { type: 'text', text: 'Describe.' },
              { type: 'image', image: PICTURE_URL },
            ],
          },
        ],
      });
      expectPicture(text);
      return [used(usage)];
    },
    'cut-stream': async (ask) => {
      let raised: unknown = null;
      const streamed = streamText({
        ...once(ask),
        prompt: ask.prompt,
        onError: ({ error }) => {
          raised = error;
        },
      });
      await streamed.consumeStream();
      const finished = await Promise.resolve(streamed.finishReason).catch(() => 'error');
      expect(raised !== null || finished === 'error', finished);
      return [];
    },
  };
}

/** @param modelOf the embedding model of one ask */
export function embeddingCall(modelOf: (ask: Ask) => EmbeddingModel): Call {
  return async (ask) => {
    const values = ['the river', 'the stone'];
    const { embeddings, usage } = await embedMany({ model: modelOf(ask), values, maxRetries: 0 });
    expectVectors(embeddings);
    return [[usage.tokens, 0]];
  };
}

/** ai has one class for every status; what came is in it. */
export function readCallError(error: unknown, { status }: Ask): Refusal | null {
  if (!APICallError.isInstance(error) || error.statusCode !== status) return null;
  const body: Told = JSON.parse(error.responseBody ?? '{}');
  const code = body.type === 'error' ? body.error?.type : body.error?.code;
  return { detail: error.name, status: error.statusCode, code };
}

interface Told {
  readonly type?: string;
  readonly error?: { readonly type?: string; readonly code?: string | null };
}

/** The calls of LangChain's chat models, the same for each of its packages. */

import type { BaseChatModel } from '@langchain/core/language_models/chat_models';
import {
  type AIMessage,
  type AIMessageChunk,
  HumanMessage,
  type UsageMetadata,
} from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { z } from 'zod';
import {
  type Ask,
  type Call,
  expect,
  expectCalls,
  expectPicture,
  expectRaised,
  expectSaid,
  PICTURE_URL,
  type Used,
} from './contract.ts';

const Stone = z.object({ name: z.string(), weight: z.int(), colours: z.array(z.string()) });
const weather = tool(async ({ city }: { city: string }) => `Rain in ${city}.`, {
  name: 'weather',
  description: 'The weather of a city',
  schema: z.object({ city: z.string() }),
});

const clock = tool(async ({ zone }: { zone: string }) => `Noon in ${zone}.`, {
  name: 'clock',
  description: 'The time in a zone',
  schema: z.object({ zone: z.string() }),
});

/** What a message says that it cost. */
export function usedBy(message: AIMessage | AIMessageChunk): Used {
  const usage = message.usage_metadata as UsageMetadata | undefined;
  return [usage?.input_tokens ?? 0, usage?.output_tokens ?? 0];
}

type ChatCalls = Readonly<
  Record<'chat' | 'stream' | 'tools' | 'parallel' | 'structured' | 'vision' | 'cut-stream', Call>
>;

/**
 * @param modelOf the model of one ask
 * @param isTyped whether an error is the one that a cut stream must raise
 * @param usedByStream what a message put together from a stream says that it cost
 */
export function chatCalls(
  modelOf: (ask: Ask) => BaseChatModel,
  isTyped: (error: unknown) => boolean,
  usedByStream: (message: AIMessageChunk) => Used = usedBy,
): ChatCalls {
  return {
    chat: async (ask) => {
      const answer = await modelOf(ask).invoke(ask.prompt);
      expectSaid(ask, answer.text);
      return [usedBy(answer)];
    },
    stream: async (ask) => {
      let whole: AIMessageChunk | null = null;
      for await (const chunk of await modelOf(ask).stream(ask.prompt)) {
        whole = whole === null ? chunk : whole.concat(chunk);
      }
      expectSaid(ask, whole?.text);
      return whole === null ? [] : [usedByStream(whole)];
    },
    tools: async (ask) => {
      const model = modelOf(ask).bindTools?.([weather]);
      expect(model !== undefined, 'bindTools');
      const question = new HumanMessage(ask.prompt);
      const first = await model.invoke([question]);
      const [call] = first.tool_calls ?? [];
      expect(call?.name === 'weather' && call.args['city'] === 'mock', call);
      const result = await weather.invoke({ ...call, type: 'tool_call' });
      const second = await model.invoke([question, first, result]);
      expect(second.text.startsWith('You said:'), second);
      return [usedBy(first), usedBy(second)];
    },
    parallel: async (ask) => {
      const model = modelOf(ask).bindTools?.([weather, clock]);
      expect(model !== undefined, 'bindTools');
      const question = new HumanMessage(ask.prompt);
      let first: AIMessageChunk | null = null;
      for await (const chunk of await model.stream([question])) {
        first = first === null ? chunk : first.concat(chunk);
      }
      expect(first !== null, 'no chunk');
      const calls = first.tool_calls ?? [];
      expectCalls(calls.map(({ id, name, args }) => [id ?? '', name, args]));
      const results = await Promise.all(
        calls.map(async (call) => {
          const made = { ...call, type: 'tool_call' as const };
          return await (call.name === 'clock' ? clock.invoke(made) : weather.invoke(made));
        }),
      );
      const second = await model.invoke([question, first, ...results]);
      expect(second.text.startsWith('You said:'), second);
      return [usedByStream(first), usedBy(second)];
    },
    structured: async (ask) => {
      const model = modelOf(ask).withStructuredOutput(Stone, { includeRaw: true });
      const { raw, parsed } = await model.invoke(ask.prompt);
      expect(Stone.safeParse(parsed).success, parsed);
      return [usedBy(raw as AIMessage)];
    },
    vision: async (ask) => {
      const picture = { type: 'image_url', image_url: { url: PICTURE_URL } };
      const content = [{ type: 'text', text: 'Describe.' }, picture];
      const answer = await modelOf(ask).invoke([new HumanMessage({ content })]);
      expectPicture(answer.text);
      return [usedBy(answer)];
    },
    'cut-stream': async (ask) => {
      const read = async (): Promise<void> => {
        for await (const _ of await modelOf(ask).stream(ask.prompt));
      };
      await expectRaised(read, isTyped);
      return [];
    },
  };
}

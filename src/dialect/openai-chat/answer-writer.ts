import type { AnswerSink, ReplyTerms, Stop, StopReason, Tokens } from '../answer.ts';
import type { Maker } from '../conversation.ts';
import type { Failure } from '../failures.ts';
import { sealText } from '../seals.ts';
import type {
  ChatAnswer,
  ChatCall,
  ChatFinish,
  ChatUsage,
  GoogleContent,
  ThinkingBlock,
} from './shapes.ts';

const FINISHES: Readonly<Record<StopReason, ChatFinish>> = {
  end: 'stop',
  stop_sequence: 'stop',
  length: 'length',
  calls: 'tool_calls',
  filtered: 'content_filter',
};

/** Several vendors say that they stopped when they called; a client acts on calls only if it is told of them. */
export function finishOf(stop: Stop | null, hasCalls: boolean): ChatFinish {
  const finish = FINISHES[stop?.reason ?? 'end'];
  if (finish === 'tool_calls') return hasCalls ? finish : 'stop';
  return finish === 'stop' && hasCalls ? 'tool_calls' : finish;
}

export function chatUsage({ fresh, cacheRead, cacheWrite, output, reasoning }: Tokens): ChatUsage {
  const prompt = fresh + cacheRead + cacheWrite;
  return {
    prompt_tokens: prompt,
    completion_tokens: output,
    total_tokens: prompt + output,
    prompt_tokens_details: {
      cached_tokens: cacheRead,
      ...(cacheWrite === 0 ? {} : { cache_write_tokens: cacheWrite }),
    },
    ...(reasoning === null ? {} : { completion_tokens_details: { reasoning_tokens: reasoning } }),
  };
}

export function thinkingBlock(text: string, maker: Maker, data: string): ThinkingBlock {
  const signature = sealText('anthropic', { maker, data });
  return { type: 'thinking', thinking: text, signature };
}

/** @param seal Gemini's; `''`: none */
export function googleContent(seal: string): { readonly extra_content?: GoogleContent } {
  return seal === '' ? {} : { extra_content: { google: { thought_signature: seal } } };
}

export function redactedBlock(maker: Maker, data: string): ThinkingBlock {
  return { type: 'redacted_thinking', data: sealText('anthropic', { maker, data }) };
}

/** Collects an answer, and writes it as one on OpenAI's chat wire. */
export class ChatAnswerWriter implements AnswerSink {
  readonly #terms: ReplyTerms;
  #id = '';
  #model = '';
  #text = '';
  #refusal = '';
  #thoughts = '';
  /** Of the thought that is not sealed yet. */
  #thought = '';
  readonly #blocks: ThinkingBlock[] = [];
  readonly #calls: { id: string; name: string; input: string; seal: string }[] = [];
  /** Gemini's, until the call that it belongs to. */
  #seal = '';
  #stop: Stop | null = null;
  #usage: ChatUsage | null = null;
  #tier: string | null = null;
  /** Not null: there is no answer. */
  failure: Failure | null = null;

  constructor(terms: ReplyTerms) {
    this.#terms = terms;
  }

  began(id: string, model: string): void {
    this.#id = id;
    this.#model = model;
  }

  text(text: string): void {
    this.#text += text;
  }

  refusal(text: string): void {
    this.#refusal += text;
  }

  thought(text: string): void {
    this.#thoughts += text;
    this.#thought += text;
  }

  sealed(maker: Maker, data: string): void {
    if (maker === 'gemini') {
      this.#seal = data;
      return;
    }
    this.#blocks.push(thinkingBlock(this.#thought, maker, data));
    this.#thought = '';
  }

  redacted(maker: Maker, data: string): void {
    this.#blocks.push(redactedBlock(maker, data));
  }

  call(ordinal: number, id: string, name: string): void {
    this.#calls[ordinal] = { id, name, input: '', seal: this.#seal };
    this.#seal = '';
  }

  input(ordinal: number, text: string): void {
    const call = this.#calls[ordinal];
    if (call !== undefined) call.input += text;
  }

  stopped(stop: Stop): void {
    this.#stop = stop;
    this.#refusal ||= stop.explanation ?? '';
  }

  usage(tokens: Tokens, tier: string | null): void {
    this.#usage = chatUsage(tokens);
    this.#tier = tier;
  }

  ended(): void {}

  failed(failure: Failure): void {
    this.failure = failure;
  }

  get answer(): ChatAnswer {
    const { model, id, created, toolNames } = this.#terms;
    const calls = this.#calls.map(({ id: callId, name, input, seal }, ordinal): ChatCall => {
      const told = { name: toolNames.get(name) ?? name, arguments: input === '' ? '{}' : input };
      return {
        id: callId === '' ? `${id}-${ordinal}` : callId,
        type: 'function',
        function: told,
        ...googleContent(seal),
      };
    });
    const tier = tierOf(this.#tier);
    return {
      id: this.#id || id,
      object: 'chat.completion',
      created,
      model: this.#model || model,
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: this.#text === '' ? null : this.#text,
            refusal: this.#refusal === '' ? null : this.#refusal,
            ...(this.#thoughts === '' ? {} : { reasoning_content: this.#thoughts }),
            ...(this.#blocks.length === 0 ? {} : { thinking_blocks: this.#blocks }),
            ...(calls.length === 0 ? {} : { tool_calls: calls }),
            ...googleContent(this.#seal),
          },
          logprobs: null,
          finish_reason: finishOf(this.#stop, calls.length > 0),
        },
      ],
      usage:
        this.#usage ??
        chatUsage({ fresh: 0, cacheRead: 0, cacheWrite: 0, output: 0, reasoning: null }),
      ...(tier === null ? {} : { service_tier: tier }),
    };
  }
}

/** @returns null where this wire has no word for it */
export function tierOf(tier: string | null): 'default' | 'priority' | null {
  if (tier === 'standard' || tier === 'default') return 'default';
  return tier === 'priority' ? tier : null;
}

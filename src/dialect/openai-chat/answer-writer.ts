import {
  type AnswerSink,
  isAskedChoice,
  type ReplyTerms,
  type Stop,
  type StopReason,
  type Tokens,
} from '../answer.ts';
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

/** One choice, as far as it was told. */
class ChatChoice {
  readonly #index: number;
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

  constructor(index: number) {
    this.#index = index;
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

  told({ id, toolNames }: ReplyTerms): ChatAnswer['choices'][number] {
    const calls = this.#calls.map(({ id: callId, name, input, seal }, ordinal): ChatCall => {
      const told = { name: toolNames.get(name) ?? name, arguments: input === '' ? '{}' : input };
      return {
        id: callId === '' ? madeCallId(id, this.#index, ordinal) : callId,
        type: 'function',
        function: told,
        ...googleContent(seal),
      };
    });
    return {
      index: this.#index,
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
    };
  }
}

/** Of a call that its provider gave none: one of its own within the answer, whichever choice made it. */
export function madeCallId(answer: string, choice: number, ordinal: number): string {
  return choice === 0 ? `${answer}-${ordinal}` : `${answer}-${choice}-${ordinal}`;
}

/** Collects an answer, and writes it as one on OpenAI's chat wire. */
export class ChatAnswerWriter implements AnswerSink {
  readonly #terms: ReplyTerms;
  #id = '';
  #model = '';
  /** The choice that is being told. */
  #choice = new ChatChoice(0);
  /** By index, with holes where one has not come. */
  readonly #choices = [this.#choice];
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

  choice(index: number): boolean {
    if (!isAskedChoice(index, this.#terms)) return false;
    this.#choice = this.#choices[index] ??= new ChatChoice(index);
    return true;
  }

  text(text: string): void {
    this.#choice.text(text);
  }

  refusal(text: string): void {
    this.#choice.refusal(text);
  }

  thought(text: string): void {
    this.#choice.thought(text);
  }

  sealed(maker: Maker, data: string): void {
    this.#choice.sealed(maker, data);
  }

  redacted(maker: Maker, data: string): void {
    this.#choice.redacted(maker, data);
  }

  call(ordinal: number, id: string, name: string): void {
    this.#choice.call(ordinal, id, name);
  }

  input(ordinal: number, text: string): void {
    this.#choice.input(ordinal, text);
  }

  stopped(stop: Stop): void {
    this.#choice.stopped(stop);
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
    const { model, id, created } = this.#terms;
    const tier = tierOf(this.#tier);
    return {
      id: this.#id || id,
      object: 'chat.completion',
      created,
      model: this.#model || model,
      // Without the holes.
      choices: this.#choices.flatMap((choice) => [choice.told(this.#terms)]),
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

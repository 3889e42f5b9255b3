import {
  type AnswerSink,
  type StopReason as NeutralStop,
  NO_TOKENS,
  type ReplyTerms,
  type Stop,
  type Tokens,
} from '../answer.ts';
import type { Maker } from '../conversation.ts';
import type { Failure } from '../failures.ts';
import { parsedObject } from '../json-values.ts';
import { sealText } from '../seals.ts';
import type { AnswerBlock, DeltaUsage, MessageAnswer, MessageUsage, StopReason } from './shapes.ts';

const REASONS: Readonly<Record<NeutralStop, StopReason>> = {
  end: 'end_turn',
  stop_sequence: 'stop_sequence',
  length: 'max_tokens',
  calls: 'tool_use',
  filtered: 'refusal',
};

/** Claude Code drops a call that came with `end_turn`; several vendors say `stop` beside calls. */
export function stopReason(stop: Stop | null, hasCalls: boolean, hasRefused: boolean): StopReason {
  const reason = REASONS[stop?.reason ?? 'end'];
  if (reason === 'max_tokens' || reason === 'refusal') return reason;
  if (hasCalls) return 'tool_use';
  if (hasRefused) return 'refusal';
  return reason === 'tool_use' ? 'end_turn' : reason;
}

export function deltaUsage({
  fresh,
  cacheRead,
  cacheWrite,
  output,
  reasoning,
}: Tokens): DeltaUsage {
  return {
    input_tokens: fresh,
    cache_creation_input_tokens: cacheWrite,
    cache_read_input_tokens: cacheRead,
    output_tokens: output,
    output_tokens_details: reasoning === null ? null : { thinking_tokens: reasoning },
    server_tool_use: null,
  };
}

function messageUsage(tokens: Tokens, tier: string | null): MessageUsage {
  const isStandard = tier === 'default' || tier === 'standard';
  return {
    ...deltaUsage(tokens),
    cache_creation: null,
    service_tier: isStandard ? 'standard' : tier === 'priority' ? tier : null,
    inference_geo: null,
    speed: null,
  };
}

/** As a stream opens with it, with what is known by then of what it costs: `NO_TOKENS`, null where nothing is. */
export function openingMessage(
  id: string,
  model: string,
  tokens: Tokens,
  tier: string | null,
): MessageAnswer {
  return {
    id,
    type: 'message',
    role: 'assistant',
    model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    stop_details: null,
    container: null,
    diagnostics: null,
    usage: messageUsage(tokens, tier),
  };
}

export function textBlock(text: string): AnswerBlock {
  return { type: 'text', text, citations: null };
}

export function callBlock(id: string, name: string, input: unknown): AnswerBlock {
  return { type: 'tool_use', id, name, input, caller: { type: 'direct' } };
}

/** Collects an answer, and writes it as one on Anthropic's Messages wire. */
export class MessageAnswerWriter implements AnswerSink {
  readonly #terms: ReplyTerms;
  #id = '';
  #model = '';
  readonly #blocks: (AnswerBlock | null)[] = [];
  /** Of the block that is being told; two kinds never are at once. */
  #text = '';
  #thought = '';
  /** Gemini's, until the part that it belongs to; `''`: none. */
  #seal = '';
  #hasText = false;
  /** By ordinal: its place among the blocks, and what it is. */
  readonly #calls: { place: number; id: string; name: string; input: string }[] = [];
  #hasRefused = false;
  #stop: Stop | null = null;
  #tokens = NO_TOKENS;
  #tier: string | null = null;
  failure: Failure | null = null;

  constructor(terms: ReplyTerms) {
    this.#terms = terms;
  }

  began(id: string, model: string): void {
    this.#id = id;
    this.#model = model;
  }

  /** This wire has one answer. */
  choice(index: number): boolean {
    return index === 0;
  }

  text(text: string): void {
    if (!this.#hasText) this.#writeSeal();
    this.#hasText = true;
    this.#seal = '';
    this.#endThought('');
    this.#text += text;
  }

  refusal(text: string): void {
    this.#hasRefused = true;
    this.text(text);
  }

  thought(text: string): void {
    this.#seal = '';
    this.#endText();
    this.#thought += text;
  }

  /** Gemini's waits for its part, as in a stream. */
  sealed(maker: Maker, data: string): void {
    if (maker === 'gemini' && this.#thought === '') this.#seal = data;
    else this.#writeSealed(maker, data);
  }

  #writeSeal(): void {
    if (this.#seal !== '') this.#writeSealed('gemini', this.#seal);
    this.#seal = '';
  }

  #writeSealed(maker: Maker, data: string): void {
    this.#endText();
    this.#endThought(sealText('anthropic', { maker, data }));
  }

  redacted(maker: Maker, data: string): void {
    this.#endText();
    this.#endThought('');
    this.#blocks.push({
      type: 'redacted_thinking',
      data: sealText('anthropic', { maker, data }),
    });
  }

  call(ordinal: number, id: string, name: string): void {
    this.#writeSeal();
    this.#endText();
    this.#endThought('');
    this.#calls[ordinal] = { place: this.#blocks.length, id, name, input: '' };
    this.#blocks.push(null);
  }

  input(ordinal: number, text: string): void {
    const call = this.#calls[ordinal];
    if (call !== undefined) call.input += text;
  }

  stopped(stop: Stop): void {
    this.#stop = stop;
  }

  usage(tokens: Tokens, tier: string | null): void {
    this.#tokens = tokens;
    this.#tier = tier;
  }

  ended(): void {
    this.#endText();
    this.#endThought('');
  }

  failed(failure: Failure): void {
    this.failure = failure;
  }

  /** A text of white space alone is left out: sent back it would be a 400. */
  #endText(): void {
    if (this.#text.trim() !== '') this.#blocks.push(textBlock(this.#text));
    this.#text = '';
  }

  #endThought(signature: string): void {
    if (this.#thought !== '' || signature !== '')
      this.#blocks.push({ type: 'thinking', thinking: this.#thought, signature });
    this.#thought = '';
  }

  get answer(): MessageAnswer {
    const { id, model, toolNames } = this.#terms;
    const content = [...this.#blocks];
    this.#calls.forEach(({ place, id: callId, name, input }, ordinal) => {
      // What does not parse was cut: `stop_reason` says so.
      content[place] = callBlock(
        callId === '' ? `${id}-${ordinal}` : callId,
        toolNames.get(name) ?? name,
        parsedObject(input) ?? {},
      );
    });
    return {
      ...openingMessage(this.#id || id, this.#model || model, this.#tokens, this.#tier),
      content: content.filter((block) => block !== null),
      stop_reason: stopReason(this.#stop, this.#calls.length > 0, this.#hasRefused),
      stop_sequence: this.#stop?.sequence ?? null,
    };
  }
}

import {
  type AnswerSink,
  CALL_UNITS,
  NO_TOKENS,
  type ReplyTerms,
  type Stop,
  type Tokens,
} from '../answer.ts';
import type { Maker } from '../conversation.ts';
import type { Failure } from '../failures.ts';
import { JsonDepth } from '../json-depth.ts';
import { sealText } from '../seals.ts';
import { callBlock, deltaUsage, openingMessage, stopReason, textBlock } from './answer-writer.ts';
import { messageError } from './errors.ts';
import type { AnswerBlock, MessageEvent } from './shapes.ts';

/** Of white space that may turn out to be nothing, in UTF-16 units; more is a text. */
const BLANK_MAX_UNITS = 4_096;

interface OpenCall {
  readonly index: number;
  readonly depth: JsonDepth;
}

/**
 * Writes an answer as a stream on Anthropic's Messages wire. One block at a time is open, but for calls: one whose arguments
 * are not whole when the next block begins stays open, since vendors may tell calls interleaved.
 */
export class MessageStreamWriter implements AnswerSink {
  readonly #terms: ReplyTerms;
  #written = '';
  #isOver = false;
  hasFailed = false;
  #nextIndex = 0;
  #open: 'text' | 'thinking' | null = null;
  /** White space that no block is open for: left out unless text follows. */
  #blank = '';
  /** Gemini's, until the part that it belongs to; `''`: none. */
  #seal = '';
  #hasText = false;
  /** By ordinal, until their arguments are whole and another block begins. */
  readonly #calls = new Map<number, OpenCall>();
  #hasCalls = false;
  #hasRefused = false;
  #stop: Stop | null = null;
  #tokens = NO_TOKENS;

  constructor(terms: ReplyTerms) {
    this.#terms = terms;
  }

  take(): string {
    const written = this.#written;
    this.#written = '';
    return written;
  }

  get keptUnits(): number {
    return this.#blank.length + this.#seal.length + this.#calls.size * CALL_UNITS;
  }

  began(id: string, model: string): void {
    const { id: ownId, model: asked } = this.#terms;
    // LangChain reads the input here alone, and adds the output to what the end tells.
    const tokens = { ...this.#tokens, output: 0, reasoning: null };
    const message = openingMessage(id || ownId, model || asked, tokens, null);
    this.#write({ type: 'message_start', message });
  }

  /** This wire has one answer. */
  choice(index: number): boolean {
    return index === 0;
  }

  text(text: string): void {
    if (this.#open !== 'text') {
      this.#blank += text;
      if (this.#blank.length <= BLANK_MAX_UNITS && this.#blank.trim() === '') return;
      const told = this.#blank;
      if (!this.#hasText) this.#writeSeal();
      this.#closeFinished();
      this.#hasText = true;
      this.#open = 'text';
      this.#start(textBlock(''));
      this.#deltaOf({ type: 'text_delta', text: told });
    } else this.#deltaOf({ type: 'text_delta', text });
    this.#seal = '';
  }

  refusal(text: string): void {
    this.#hasRefused = true;
    this.text(text);
  }

  thought(text: string): void {
    this.#seal = '';
    this.#openThought();
    this.#deltaOf({ type: 'thinking_delta', thinking: text });
  }

  /**
   * Gemini's waits for its part, and is let go of where that is more of a text or nothing: a block behind the text would be
   * the last one, and Claude Code prints that one if it is a text, else nothing.
   */
  sealed(maker: Maker, data: string): void {
    if (maker === 'gemini' && this.#open !== 'thinking') this.#seal = data;
    else this.#writeSealed(maker, data);
  }

  #writeSeal(): void {
    if (this.#seal !== '') this.#writeSealed('gemini', this.#seal);
    this.#seal = '';
  }

  #writeSealed(maker: Maker, data: string): void {
    this.#openThought();
    this.#deltaOf({ type: 'signature_delta', signature: sealText('anthropic', { maker, data }) });
    this.#closeOpen();
  }

  #openThought(): void {
    if (this.#open === 'thinking') return;
    this.#closeFinished();
    this.#open = 'thinking';
    this.#start({ type: 'thinking', thinking: '', signature: '' });
  }

  redacted(maker: Maker, data: string): void {
    this.#closeFinished();
    const told = sealText('anthropic', { maker, data });
    this.#stopBlock(this.#start({ type: 'redacted_thinking', data: told }));
  }

  call(ordinal: number, id: string, name: string): void {
    this.#writeSeal();
    this.#closeFinished();
    const callId = id === '' ? `${this.#terms.id}-${ordinal}` : id;
    const index = this.#start(callBlock(callId, this.#terms.toolNames.get(name) ?? name, {}));
    this.#calls.set(ordinal, { index, depth: new JsonDepth() });
    this.#hasCalls = true;
  }

  input(ordinal: number, text: string): void {
    const call = this.#calls.get(ordinal);
    if (call === undefined || text === '') return;
    call.depth.push(text);
    const delta = { type: 'input_json_delta', partial_json: text } as const;
    this.#write({ type: 'content_block_delta', index: call.index, delta });
  }

  stopped(stop: Stop): void {
    this.#stop = stop;
  }

  usage(tokens: Tokens): void {
    this.#tokens = tokens;
  }

  ended(): void {
    this.#closeOpen();
    for (const [ordinal, call] of this.#calls) this.#closeCall(ordinal, call);
    this.#write({
      type: 'message_delta',
      delta: {
        stop_reason: stopReason(this.#stop, this.#hasCalls, this.#hasRefused),
        stop_sequence: this.#stop?.sequence ?? null,
        stop_details: null,
        container: null,
      },
      usage: deltaUsage(this.#tokens),
    });
    this.#write({ type: 'message_stop' });
    this.#isOver = true;
  }

  failed(failure: Failure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.hasFailed = true;
    this.#written += `event: error\ndata: ${JSON.stringify(messageError(failure).body)}\n\n`;
  }

  /** Before another block: what is open is over, and so are calls whose arguments are whole. */
  #closeFinished(): void {
    this.#closeOpen();
    for (const [ordinal, call] of this.#calls)
      if (call.depth.isWhole) this.#closeCall(ordinal, call);
  }

  #closeOpen(): void {
    if (this.#open !== null) this.#stopBlock(this.#nextIndex - 1);
    this.#open = null;
    this.#blank = '';
  }

  #closeCall(ordinal: number, { index }: OpenCall): void {
    this.#calls.delete(ordinal);
    this.#stopBlock(index);
  }

  /** @returns its index */
  #start(block: AnswerBlock): number {
    const index = this.#nextIndex++;
    this.#write({ type: 'content_block_start', index, content_block: block });
    return index;
  }

  #stopBlock(index: number): void {
    this.#write({ type: 'content_block_stop', index });
  }

  #deltaOf(delta: Extract<MessageEvent, { type: 'content_block_delta' }>['delta']): void {
    this.#write({ type: 'content_block_delta', index: this.#nextIndex - 1, delta });
  }

  #write(event: MessageEvent): void {
    if (!this.#isOver) this.#written += `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
  }
}

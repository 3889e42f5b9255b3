import type { UsageCounts } from '../../wire/usage-counters.ts';
import { type AnswerSink, CALL_UNITS, type StopReason } from '../answer.ts';
import { CUT, failureOf, UNREADABLE } from '../failures.ts';
import {
  isObject,
  type JsonObject,
  listIn,
  objectIn,
  parsedObject,
  textIn,
} from '../json-values.ts';
import { reported, tokensOf } from '../tokens.ts';

const STOPS: ReadonlyMap<unknown, StopReason> = new Map([
  ['end_turn', 'end'],
  ['pause_turn', 'end'],
  ['stop_sequence', 'stop_sequence'],
  ['max_tokens', 'length'],
  ['model_context_window_exceeded', 'length'],
  ['tool_use', 'calls'],
  ['refusal', 'filtered'],
]);

/** What only a message that has begun can have. */
const OF_A_MESSAGE = /^(?:content_block|message_delta|message_stop)/;

/**
 * Tells what an answer on Anthropic's Messages wire says. What its own tools did, citations, and blocks and events that
 * nobody here knows are passed over.
 */
export class MessageAnswerReader {
  readonly #sink: AnswerSink;
  #hasBegun = false;
  #isOver = false;
  #usage: UsageCounts | null = null;
  #tier: string | null = null;
  /** By block index. */
  readonly #calls = new Map<number, number>();
  #callCount = 0;
  /** Of the block that is open. */
  #signature = '';

  constructor(sink: AnswerSink) {
    this.#sink = sink;
  }

  get keptUnits(): number {
    return this.#signature.length + this.#callCount * CALL_UNITS;
  }

  event(data: string, isError: boolean): void {
    if (this.#isOver || data === '') return;
    const event = parsedObject(data);
    const isOutOfPlace = !this.#hasBegun && OF_A_MESSAGE.test(String(event?.['type']));
    if (event === null || isError || isOutOfPlace) {
      this.#fail(isOutOfPlace ? null : event);
      return;
    }
    switch (event['type']) {
      case 'message_start':
        this.#begin(objectIn(event, 'message') ?? {});
        return;
      case 'content_block_start':
        this.#openBlock(indexOf(event), objectIn(event, 'content_block') ?? {});
        return;
      case 'content_block_delta':
        this.#tellDelta(indexOf(event), objectIn(event, 'delta') ?? {});
        return;
      case 'content_block_stop':
        this.#closeBlock();
        return;
      case 'message_delta':
        this.#report(event);
        this.#tellStop(objectIn(event, 'delta') ?? {});
        return;
      case 'message_stop':
        this.#end();
        return;
      case 'error':
        this.#fail(event);
    }
  }

  /** The upstream is at its end, and has not said that the answer is. */
  end(): void {
    this.cut();
  }

  cut(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sink.failed(CUT);
  }

  whole(text: string): void {
    const message = parsedObject(text);
    if (message === null || !Array.isArray(message['content'])) {
      this.#fail(message);
      return;
    }
    this.#begin(message);
    listIn(message, 'content').forEach((block, index) => {
      if (!isObject(block)) return;
      this.#openBlock(index, block);
      this.#closeBlock();
    });
    this.#tellStop(message);
    this.#end();
  }

  #fail(value: JsonObject | null): void {
    this.#isOver = true;
    this.#sink.failed(value === null ? UNREADABLE : failureOf(null, value));
  }

  #begin(message: JsonObject): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#report(message);
    this.#sink.began(textIn(message, 'id') ?? '', textIn(message, 'model') ?? '');
  }

  #report(from: JsonObject): void {
    const usage = objectIn(from, 'usage');
    this.#usage = reported(this.#usage, usage);
    this.#tier = textIn(usage ?? {}, 'service_tier') ?? this.#tier;
  }

  #end(): void {
    this.#isOver = true;
    this.#sink.usage(tokensOf(this.#usage, true), this.#tier);
    this.#sink.ended();
  }

  /** Of a whole answer it has all of its content. */
  #openBlock(index: number, block: JsonObject): void {
    switch (block['type']) {
      case 'text':
        this.#tellText(block, 'text');
        return;
      case 'thinking':
        this.#tellText(block, 'thinking');
        this.#signature = textIn(block, 'signature') ?? '';
        return;
      case 'redacted_thinking':
        this.#sink.redacted('anthropic', textIn(block, 'data') ?? '');
        return;
      case 'tool_use': {
        const ordinal = this.#callCount++;
        this.#calls.set(index, ordinal);
        this.#sink.call(ordinal, textIn(block, 'id') ?? '', textIn(block, 'name') ?? '');
        const input = objectIn(block, 'input');
        if (input !== null && Object.keys(input).length > 0)
          this.#sink.input(ordinal, JSON.stringify(input));
      }
    }
  }

  #tellText(from: JsonObject, name: 'text' | 'thinking'): void {
    const text = textIn(from, name) ?? '';
    if (text === '') return;
    if (name === 'text') this.#sink.text(text);
    else this.#sink.thought(text);
  }

  #tellDelta(index: number, delta: JsonObject): void {
    switch (delta['type']) {
      case 'text_delta':
        this.#tellText(delta, 'text');
        return;
      case 'thinking_delta':
        this.#tellText(delta, 'thinking');
        return;
      case 'signature_delta':
        this.#signature += textIn(delta, 'signature') ?? '';
        return;
      case 'input_json_delta': {
        const ordinal = this.#calls.get(index);
        const text = textIn(delta, 'partial_json') ?? '';
        if (ordinal !== undefined && text !== '') this.#sink.input(ordinal, text);
      }
    }
  }

  #closeBlock(): void {
    if (this.#signature !== '') this.#sink.sealed('anthropic', this.#signature);
    this.#signature = '';
  }

  #tellStop(from: JsonObject): void {
    const reason = textIn(from, 'stop_reason');
    if (reason === null) return;
    this.#sink.stopped({
      reason: STOPS.get(reason) ?? 'end',
      sequence: textIn(from, 'stop_sequence'),
      explanation: textIn(objectIn(from, 'stop_details') ?? {}, 'explanation'),
    });
  }
}

function indexOf(event: JsonObject): number {
  const { index } = event;
  return typeof index === 'number' ? index : -1;
}

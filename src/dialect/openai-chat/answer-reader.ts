import type { UsageCounts } from '../../wire/usage-counters.ts';
import { type AnswerSink, CALL_UNITS, leftOut, pictureAt, type StopReason } from '../answer.ts';
import { mediaOf } from '../data-url.ts';
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
  ['stop', 'end'],
  ['length', 'length'],
  ['tool_calls', 'calls'],
  ['function_call', 'calls'],
  ['content_filter', 'filtered'],
]);

/** A call that is told in pieces. */
interface OpenCall {
  readonly ordinal: number;
  readonly id: string;
  /** Arguments that came before the name. */
  waiting: string;
  isTold: boolean;
}

/**
 * Tells what an answer on OpenAI's chat wire says, with the habits of its many vendors: no id, no index, whole calls in one
 * chunk, usage in odd places, content in parts, a second finish reason, no `[DONE]`. Of several choices it tells the first.
 */
export class ChatAnswerReader {
  readonly #sink: AnswerSink;
  #hasBegun = false;
  #isOver = false;
  #hasStopped = false;
  #usage: UsageCounts | null = null;
  #tier: string | null = null;
  /** By the upstream's index, the latest one of each. */
  readonly #calls = new Map<number, OpenCall>();
  #callCount = 0;
  /** Of arguments that wait for their calls' names, in UTF-16 units. */
  #waitingUnits = 0;

  constructor(sink: AnswerSink) {
    this.#sink = sink;
  }

  get keptUnits(): number {
    return this.#waitingUnits + this.#callCount * CALL_UNITS;
  }

  /** @param isError the event's name says so (Groq) */
  event(data: string, isError: boolean): void {
    if (this.#isOver || data === '') return;
    if (data.trim() === '[DONE]') {
      this.#end();
      return;
    }
    const chunk = parsedObject(data);
    if (chunk === null || isError || hasError(chunk)) this.#fail(chunk);
    else this.#tell(chunk, 'delta');
  }

  /** The upstream is at its end. Behind a finish reason that is one too. */
  end(): void {
    if (this.#isOver) return;
    if (this.#hasStopped) this.#end();
    else this.cut();
  }

  /** The upstream broke. */
  cut(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sink.failed(CUT);
  }

  whole(text: string): void {
    const answer = parsedObject(text);
    if (answer === null || hasError(answer) || !Array.isArray(answer['choices'])) {
      this.#fail(answer);
      return;
    }
    this.#tell(answer, 'message');
    this.#end();
  }

  #fail(value: JsonObject | null): void {
    this.#isOver = true;
    this.#sink.failed(value === null ? UNREADABLE : failureOf(null, failedChoice(value) ?? value));
  }

  #end(): void {
    this.#isOver = true;
    this.#begin({});
    this.#tellUsage();
    this.#sink.ended();
  }

  #tellUsage(): void {
    this.#sink.usage(tokensOf(this.#usage, false), this.#tier);
  }

  /** Azure's first chunk has no choice, no id and no model: the answer begins with the next one. */
  #begin(chunk: JsonObject): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    if (this.#usage !== null) this.#tellUsage();
    this.#sink.began(textIn(chunk, 'id') ?? '', textIn(chunk, 'model') ?? '');
  }

  #tell(chunk: JsonObject, name: 'delta' | 'message'): void {
    const ofGroq = objectIn(chunk, 'x_groq');
    this.#usage = reported(this.#usage, chunk['usage'] ?? ofGroq?.['usage']);
    this.#tier = textIn(chunk, 'service_tier') ?? this.#tier;
    for (const choice of listIn(chunk, 'choices')) {
      if (!isObject(choice)) continue;
      this.#begin(chunk);
      if ((choice['index'] ?? 0) !== 0) continue;
      const delta = objectIn(choice, name);
      if (delta !== null) this.#tellDelta(delta);
      this.#tellStop(choice);
    }
  }

  #tellStop(choice: JsonObject): void {
    const { finish_reason: finish, stop_reason: sequence } = choice;
    if (typeof finish !== 'string' || this.#hasStopped) return;
    this.#hasStopped = true;
    const bySequence = typeof sequence === 'string' && finish === 'stop';
    this.#sink.stopped({
      reason: bySequence ? 'stop_sequence' : (STOPS.get(finish) ?? 'end'),
      // vLLM says which one it was.
      sequence: bySequence ? sequence : null,
      explanation: null,
    });
  }

  #tellImage(image: unknown): void {
    const told = isObject(image) ? objectIn(image, 'image_url') : null;
    const media = mediaOf((told === null ? null : textIn(told, 'url')) ?? '');
    if (media?.from === 'url') {
      this.#tellText(pictureAt(media.url));
      return;
    }
    const isInline = media?.from === 'inline';
    this.#tellText(leftOut(isInline ? media.type : 'image', isInline ? media.base64.length : 0));
  }

  #tellDelta(delta: JsonObject): void {
    const thought = thoughtOf(delta);
    if (thought !== '') this.#sink.thought(thought);
    for (const block of listIn(delta, 'thinking_blocks'))
      if (isObject(block)) this.#tellSeal(block);
    const { content } = delta;
    if (typeof content === 'string') this.#tellText(content);
    else if (Array.isArray(content)) for (const part of content) this.#tellPart(part);
    // As OpenRouter and LiteLLM tell what a model drew.
    for (const image of listIn(delta, 'images')) this.#tellImage(image);
    const refusal = textIn(delta, 'refusal') ?? '';
    if (refusal !== '') this.#sink.refusal(refusal);
    for (const call of listIn(delta, 'tool_calls')) if (isObject(call)) this.#tellCall(call);
  }

  #tellText(text: string): void {
    if (text !== '') this.#sink.text(text);
  }

  /** Behind another gateway: Anthropic's seals, whose text stands in `reasoning_content`. */
  #tellSeal(block: JsonObject): void {
    const data = textIn(block, 'data') ?? '';
    const signature = textIn(block, 'signature') ?? '';
    if (block['type'] === 'redacted_thinking' && data !== '')
      this.#sink.redacted('anthropic', data);
    else if (signature !== '') this.#sink.sealed('anthropic', signature);
  }

  /** Mistral's content: texts, and thoughts made of texts. */
  #tellPart(part: unknown): void {
    if (!isObject(part)) return;
    if (part['type'] !== 'thinking') {
      this.#tellText(textIn(part, 'text') ?? '');
      return;
    }
    for (const inner of listIn(part, 'thinking')) {
      const text = isObject(inner) ? (textIn(inner, 'text') ?? '') : '';
      if (text !== '') this.#sink.thought(text);
    }
  }

  #tellCall(told: JsonObject): void {
    const id = textIn(told, 'id') ?? '';
    const made = objectIn(told, 'function') ?? {};
    const name = textIn(made, 'name') ?? '';
    const call = this.#callOf(told, id, name);
    const input = inputOf(made);
    if (!call.isTold) {
      call.waiting += input;
      this.#waitingUnits += input.length;
      if (name === '') return;
      call.isTold = true;
      this.#sink.call(call.ordinal, call.id, name);
      if (call.waiting !== '') this.#sink.input(call.ordinal, call.waiting);
      this.#waitingUnits -= call.waiting.length;
      call.waiting = '';
    } else if (input !== '') this.#sink.input(call.ordinal, input);
  }

  /** By its index; some vendors have none, and some give every call the same: another id is another call. */
  #callOf(told: JsonObject, id: string, name: string): OpenCall {
    const { index } = told;
    const isNamed = typeof index === 'number';
    const key = isNamed ? index : id === '' ? this.#callCount - 1 : this.#callCount;
    const known = this.#calls.get(key);
    if (known !== undefined && (id === '' || id === known.id || name === '')) return known;
    const ordinal = this.#callCount++;
    const call = { ordinal, id, waiting: '', isTold: false };
    this.#calls.set(isNamed ? index : ordinal, call);
    return call;
  }
}

/** `''`: none. OpenRouter says the same in two members. */
function thoughtOf(delta: JsonObject): string {
  const text = textIn(delta, 'reasoning_content') ?? textIn(delta, 'reasoning');
  if (text !== null) return text;
  return listIn(delta, 'reasoning_details')
    .map((detail) => (isObject(detail) ? (textIn(detail, 'text') ?? '') : ''))
    .join('');
}

/** Text on most; some vendors send an object. */
function inputOf(made: JsonObject): string {
  const { arguments: input } = made;
  if (typeof input === 'string') return input;
  return isObject(input) ? JSON.stringify(input) : '';
}

function failedChoice(body: JsonObject): JsonObject | null {
  const failed = listIn(body, 'choices').find((one) => isObject(one) && isObject(one['error']));
  return isObject(failed) ? failed : null;
}

function hasError(body: JsonObject): boolean {
  const { error } = body;
  if (error !== undefined && error !== null && error !== '') return true;
  return body['type'] === 'error' || body['object'] === 'error' || failedChoice(body) !== null;
}

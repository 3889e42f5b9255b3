import { count, type UsageCounts } from '../../wire/usage-counters.ts';
import { type AnswerSink, leftOut, type StopReason, type Tokens } from '../answer.ts';
import { CUT, type Failure, failureOf, UNREADABLE } from '../failures.ts';
import {
  isObject,
  type JsonObject,
  listIn,
  objectIn,
  parsedObject,
  textIn,
} from '../json-values.ts';
import { reported, tokensOf } from '../tokens.ts';

/** What is not here ends an answer like any other. */
const STOPS: ReadonlyMap<string, StopReason> = new Map([
  ['STOP', 'end'],
  ['MAX_TOKENS', 'length'],
  ['SAFETY', 'filtered'],
  ['RECITATION', 'filtered'],
  ['LANGUAGE', 'filtered'],
  ['BLOCKLIST', 'filtered'],
  ['PROHIBITED_CONTENT', 'filtered'],
  ['SPII', 'filtered'],
]);
const OF_PICTURES = /^IMAGE_/;

/** A call that nobody can make anything of: no answer, and another try may bring one. */
const BROKEN_CALLS: ReadonlySet<string> = new Set([
  'MALFORMED_FUNCTION_CALL',
  'UNEXPECTED_TOOL_CALL',
  'MALFORMED_RESPONSE',
]);

/**
 * Tells what an answer on Gemini's own wire says. A stream has no mark of its end but the reason why it stopped; what it cost is
 * in every event, and the last word of each counter counts. Of several candidates it tells those that were asked for.
 */
export class GeminiAnswerReader {
  readonly keptUnits = 0;
  readonly #sink: AnswerSink;
  #hasBegun = false;
  #isOver = false;
  #usage: UsageCounts | null = null;
  /** What Google's own tools read: counted beside the prompt. */
  #toolTokens = 0;
  #tier: string | null = null;
  /** The candidate that is being told. */
  #index = 0;
  /** By candidate, of those that have come: whether it said why it stopped. */
  readonly #stopped: boolean[] = [];
  /** By candidate: the calls that it made. */
  readonly #callCounts: number[] = [];

  constructor(sink: AnswerSink) {
    this.#sink = sink;
  }

  event(data: string, isError: boolean): void {
    if (this.#isOver || data === '') return;
    const event = parsedObject(data);
    if (event === null || isError || hasError(event)) this.#fail(event);
    else if (isAnswer(event)) this.#tell(event);
  }

  /** The upstream is at its end: in good order where each candidate that had come had said why it stopped. */
  end(): void {
    if (this.#isOver) return;
    // `every` passes over holes: a candidate that has not come is not waited for.
    if (this.#stopped.length > 0 && this.#stopped.every((isOver) => isOver)) this.#end();
    else this.cut();
  }

  cut(): void {
    this.#failWith(CUT);
  }

  whole(text: string): void {
    const answer = parsedObject(text);
    if (answer === null || hasError(answer) || !isAnswer(answer)) {
      this.#fail(answer);
      return;
    }
    this.#tell(answer);
    if (!this.#isOver) this.#end();
  }

  #fail(value: JsonObject | null): void {
    this.#failWith(value === null ? UNREADABLE : failureOf(null, value));
  }

  #failWith(failure: Failure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sink.failed(failure);
  }

  #end(): void {
    this.#isOver = true;
    this.#sink.usage(this.#tokens, this.#tier);
    this.#sink.ended();
  }

  get #tokens(): Tokens {
    const tokens = tokensOf(this.#usage, false);
    return { ...tokens, fresh: tokens.fresh + this.#toolTokens };
  }

  #tell(event: JsonObject): void {
    this.#report(objectIn(event, 'usageMetadata'));
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      if (this.#usage !== null) this.#sink.usage(this.#tokens, this.#tier);
      this.#sink.began(textIn(event, 'responseId') ?? '', textIn(event, 'modelVersion') ?? '');
    }
    this.#tellBlock(objectIn(event, 'promptFeedback'));
    let place = -1;
    for (const candidate of listIn(event, 'candidates')) {
      place++;
      if (!isObject(candidate) || !this.#turnsTo(candidate['index'] ?? place)) continue;
      for (const part of listIn(objectIn(candidate, 'content') ?? {}, 'parts'))
        if (isObject(part)) this.#tellPart(part);
      this.#tellStop(candidate);
    }
  }

  /** @returns false: nobody asked for this candidate */
  #turnsTo(index: unknown): boolean {
    if (index !== this.#index) {
      if (typeof index !== 'number' || !this.#sink.choice(index)) return false;
      this.#index = index;
    }
    if (this.#stopped[this.#index] === undefined) this.#stopped[this.#index] = false;
    return true;
  }

  #report(usage: JsonObject | null): void {
    if (usage === null) return;
    this.#usage = reported(this.#usage, usage);
    this.#toolTokens = count(usage['toolUsePromptTokenCount']) ?? this.#toolTokens;
    this.#tier = textIn(usage, 'serviceTier') ?? this.#tier;
  }

  /** The prompt itself was refused: no candidate comes. */
  #tellBlock(feedback: JsonObject | null): void {
    if (feedback === null || textIn(feedback, 'blockReason') === null) return;
    this.#stopAt('filtered', textIn(feedback, 'blockReasonMessage'));
  }

  #tellStop(candidate: JsonObject): void {
    const word = textIn(candidate, 'finishReason');
    if (word === null) return;
    const message = textIn(candidate, 'finishMessage');
    if (BROKEN_CALLS.has(word)) {
      const told = message ?? `The model made a call that cannot be read (${word}).`;
      this.#failWith({ kind: 'server', message: told, status: null });
      return;
    }
    const reason = STOPS.get(word) ?? (OF_PICTURES.test(word) ? 'filtered' : 'end');
    this.#stopAt(reason, reason === 'filtered' ? message : null);
  }

  #stopAt(reason: StopReason, explanation: string | null): void {
    this.#stopped[this.#index] = true;
    this.#sink.stopped({ reason, sequence: null, explanation });
  }

  /** A part's signature is told before it, so that it stands before it in a history as well. */
  #tellPart(part: JsonObject): void {
    const text = textIn(part, 'text') ?? '';
    const signature = textIn(part, 'thoughtSignature') ?? '';
    if (part['thought'] === true) {
      if (text !== '') this.#sink.thought(text);
      if (signature !== '') this.#sink.sealed('gemini', signature);
      return;
    }
    if (signature !== '') this.#sink.sealed('gemini', signature);
    if (text !== '') this.#sink.text(text);
    const made = objectIn(part, 'inlineData');
    if (made !== null)
      this.#sink.text(leftOut(textIn(made, 'mimeType') ?? '', textIn(made, 'data')?.length ?? 0));
    const call = objectIn(part, 'functionCall');
    if (call !== null) this.#tellCall(call);
  }

  /** Calls come whole. */
  #tellCall(call: JsonObject): void {
    const ordinal = this.#callCounts[this.#index] ?? 0;
    this.#callCounts[this.#index] = ordinal + 1;
    this.#sink.call(ordinal, textIn(call, 'id') ?? '', textIn(call, 'name') ?? '');
    this.#sink.input(ordinal, JSON.stringify(objectIn(call, 'args') ?? {}));
  }
}

function hasError(event: JsonObject): boolean {
  const { error } = event;
  return error !== undefined && error !== null;
}

/** One event, or all of an answer: what has none of these says nothing. */
function isAnswer(event: JsonObject): boolean {
  return (
    Array.isArray(event['candidates']) ||
    isObject(event['promptFeedback']) ||
    isObject(event['usageMetadata'])
  );
}

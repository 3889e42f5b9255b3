import type { AnswerSink, StopReason } from '../answer.ts';
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

/** What is not here (`load`, `unload`) ends an answer like any other. */
const STOPS: ReadonlyMap<string, StopReason> = new Map([
  ['stop', 'end'],
  ['length', 'length'],
]);

/**
 * Tells what an answer on Ollama's own wire says: a line of JSON for each piece, and the last one says `done` and what it
 * took. An error is a bare text, in a 200 too. A whole answer is one such line.
 */
export class OllamaAnswerReader {
  readonly keptUnits = 0;
  readonly #sink: AnswerSink;
  #hasBegun = false;
  #isOver = false;
  #callCount = 0;

  constructor(sink: AnswerSink) {
    this.#sink = sink;
  }

  /** @param line without its end */
  event(line: string): void {
    if (this.#isOver || line.trim() === '') return;
    const told = parsedObject(line);
    if (told === null || hasError(told)) this.#fail(told);
    else this.#tell(told);
  }

  /** The upstream is at its end; behind `done` nothing is left to tell. */
  end(): void {
    this.cut();
  }

  cut(): void {
    this.#failWith(CUT);
  }

  whole(text: string): void {
    const answer = parsedObject(text);
    if (answer === null || hasError(answer) || objectIn(answer, 'message') === null) {
      this.#fail(answer);
      return;
    }
    this.#tell(answer);
    if (!this.#isOver) this.#end(answer);
  }

  #fail(value: JsonObject | null): void {
    this.#failWith(value === null ? UNREADABLE : failureOf(null, value));
  }

  #failWith(failure: Failure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sink.failed(failure);
  }

  #tell(line: JsonObject): void {
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      this.#sink.began('', textIn(line, 'model') ?? '');
    }
    const message = objectIn(line, 'message') ?? {};
    const thought = textIn(message, 'thinking') ?? '';
    const text = textIn(message, 'content') ?? '';
    if (thought !== '') this.#sink.thought(thought);
    if (text !== '') this.#sink.text(text);
    for (const call of listIn(message, 'tool_calls')) if (isObject(call)) this.#tellCall(call);
    if (line['done'] === true) this.#end(line);
  }

  /** Calls come whole; they have ids from 0.12 on. */
  #tellCall(call: JsonObject): void {
    const made = objectIn(call, 'function') ?? {};
    const ordinal = this.#callCount++;
    this.#sink.call(ordinal, textIn(call, 'id') ?? '', textIn(made, 'name') ?? '');
    this.#sink.input(ordinal, JSON.stringify(objectIn(made, 'arguments') ?? {}));
  }

  /** The counts are the prompt's and the answer's; one of nothing is left out. */
  #end(line: JsonObject): void {
    this.#isOver = true;
    const reason = STOPS.get(textIn(line, 'done_reason') ?? '') ?? 'end';
    this.#sink.stopped({ reason, sequence: null, explanation: null });
    this.#sink.usage(tokensOf(reported(null, line), false), null);
    this.#sink.ended();
  }
}

function hasError(line: JsonObject): boolean {
  const { error } = line;
  return error !== undefined && error !== null && error !== '';
}

import type { AnswerSink, ReplyTerms, Stop, Tokens } from '../answer.ts';
import type { Maker } from '../conversation.ts';
import type { Failure } from '../failures.ts';
import { chatError } from '../openai-chat/errors.ts';
import { type ItemEvents, OutputItems } from './output-items.ts';
import { incompleteDetails, ResponseObject } from './response-object.ts';
import type { ResponseEvent } from './shapes.ts';

/** Of one answer, in UTF-16 units: this wire tells all of it once more at its end, so all of it is kept. */
const KEPT_MAX_UNITS = 4 * 1024 * 1024;
/** What an item counts beside its text: its ids, and the objects that hold it. */
const ITEM_UNITS = 256;

const TOO_LONG: Failure = {
  kind: 'server',
  message: 'The answer is longer than its end could tell again.',
  status: null,
};

/** Writes an answer as a stream on OpenAI's Responses wire, an event in the turn in which it is told. */
export class ResponseStreamWriter implements AnswerSink {
  readonly #events = new NumberedEvents();
  readonly #items: OutputItems;
  readonly #response: ResponseObject;
  #kept = 0;
  #isOver = false;
  hasFailed = false;

  constructor(terms: ReplyTerms) {
    this.#items = new OutputItems(terms, this.#events);
    this.#response = new ResponseObject(terms);
  }

  take(): string {
    return this.#events.take();
  }

  get keptUnits(): number {
    return this.#kept;
  }

  began(id: string, model: string): void {
    this.#response.began(id, model);
    const response = this.#response.opened;
    this.#events.tell({ type: 'response.created', response });
    this.#events.tell({ type: 'response.in_progress', response });
  }

  /** This wire has one answer. */
  choice(index: number): boolean {
    return index === 0;
  }

  text(text: string): void {
    if (this.#keeps(text.length)) this.#items.text(text);
  }

  refusal(text: string): void {
    if (this.#keeps(text.length)) this.#items.refusal(text);
  }

  thought(text: string): void {
    if (this.#keeps(text.length)) this.#items.thought(text);
  }

  sealed(maker: Maker, data: string): void {
    if (this.#keeps(ITEM_UNITS + data.length)) this.#items.sealed(maker, data);
  }

  redacted(maker: Maker, data: string): void {
    if (this.#keeps(ITEM_UNITS + data.length)) this.#items.redacted(maker, data);
  }

  call(ordinal: number, id: string, name: string): void {
    if (this.#keeps(ITEM_UNITS + id.length + name.length)) this.#items.call(ordinal, id, name);
  }

  input(ordinal: number, text: string): void {
    if (this.#keeps(text.length)) this.#items.input(ordinal, text);
  }

  stopped(stop: Stop): void {
    this.#response.stopped(stop);
  }

  usage(tokens: Tokens, tier: string | null): void {
    this.#response.usage(tokens, tier);
  }

  ended(): void {
    const { stop } = this.#response;
    const explanation = stop?.explanation ?? '';
    if (explanation !== '') this.refusal(explanation);
    if (this.#isOver) return;
    const isWhole = incompleteDetails(stop) === null;
    const output = this.#items.end(isWhole ? 'completed' : 'incomplete');
    const type = isWhole ? 'response.completed' : 'response.incomplete';
    this.#events.tell({ type, response: this.#response.ended(output) });
    this.#isOver = true;
  }

  failed(failure: Failure): void {
    if (this.#isOver) return;
    const { error } = chatError(failure).body;
    const { message, type, code } = error;
    // OpenAI's own has what is documented, and the error inside: of its SDKs some raise on the one, some on the other.
    this.#events.tell({ type: 'error', code: code ?? type, message, param: null, error });
    this.#isOver = true;
    this.hasFailed = true;
  }

  /** @returns false when the answer is over, perhaps because of this */
  #keeps(units: number): boolean {
    this.#kept += units;
    if (this.#kept > KEPT_MAX_UNITS) this.failed(TOO_LONG);
    return !this.#isOver;
  }
}

/** Events as text, each with its number. */
class NumberedEvents implements ItemEvents {
  #written = '';
  #next = 0;

  tell(event: ResponseEvent): void {
    const told = JSON.stringify(event).slice(0, -1);
    this.#written += `event: ${event.type}\ndata: ${told},"sequence_number":${this.#next++}}\n\n`;
  }

  take(): string {
    const written = this.#written;
    this.#written = '';
    return written;
  }
}

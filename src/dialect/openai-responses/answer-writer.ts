import type { AnswerSink, ReplyTerms, Stop, Tokens } from '../answer.ts';
import type { Maker } from '../conversation.ts';
import type { Failure } from '../failures.ts';
import { OutputItems } from './output-items.ts';
import { incompleteDetails, ResponseObject } from './response-object.ts';
import type { ResponseAnswer } from './shapes.ts';

/** Collects an answer, and writes it as one on OpenAI's Responses wire. */
export class ResponseAnswerWriter implements AnswerSink {
  readonly #items: OutputItems;
  readonly #response: ResponseObject;
  failure: Failure | null = null;

  constructor(terms: ReplyTerms) {
    this.#items = new OutputItems(terms, null);
    this.#response = new ResponseObject(terms);
  }

  began(id: string, model: string): void {
    this.#response.began(id, model);
  }

  /** This wire has one answer. */
  choice(index: number): boolean {
    return index === 0;
  }

  text(text: string): void {
    this.#items.text(text);
  }

  refusal(text: string): void {
    this.#items.refusal(text);
  }

  thought(text: string): void {
    this.#items.thought(text);
  }

  sealed(maker: Maker, data: string): void {
    this.#items.sealed(maker, data);
  }

  redacted(maker: Maker, data: string): void {
    this.#items.redacted(maker, data);
  }

  call(ordinal: number, id: string, name: string): void {
    this.#items.call(ordinal, id, name);
  }

  input(ordinal: number, text: string): void {
    this.#items.input(ordinal, text);
  }

  stopped(stop: Stop): void {
    this.#response.stopped(stop);
  }

  usage(tokens: Tokens, tier: string | null): void {
    this.#response.usage(tokens, tier);
  }

  ended(): void {
    const explanation = this.#response.stop?.explanation ?? '';
    if (explanation !== '') this.#items.refusal(explanation);
  }

  failed(failure: Failure): void {
    this.failure = failure;
  }

  get answer(): ResponseAnswer {
    const isWhole = incompleteDetails(this.#response.stop) === null;
    return this.#response.ended(this.#items.end(isWhole ? 'completed' : 'incomplete'));
  }
}

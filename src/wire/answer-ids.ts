import { type EventSink, EventStream } from './event-stream.ts';
import { NamedTexts, type TextSink } from './named-texts.ts';
import { ANSWER_STATE, CONTAINER_STATE } from './state-places.ts';

const SPACE = 0x20;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;

/**
 * The ids of what an answer has stored, told once each while it streams by: of a JSON answer those at its root, of an event
 * stream those of its first event that has one. Behind it nothing is read any more, but where the answer may tell of
 * containers, and of files that they wrote.
 */
export class AnswerIds implements EventSink, TextSink {
  readonly #found: (id: string, place: string) => void;
  readonly #texts: NamedTexts;
  readonly #isRead: boolean;
  /** Null for JSON, and while nothing came. */
  #stream: EventStream | null = null;
  #hasBegun = false;
  #hasFound = false;
  #isOver = false;

  /**
   * @param found told each id and where it stands: the answer's own one as ANSWER_ID
   * @param mayHaveContainers a tool was asked for that leaves them
   */
  constructor(found: (id: string, place: string) => void, mayHaveContainers = false) {
    this.#found = found;
    this.#isRead = mayHaveContainers;
    this.#texts = new NamedTexts(mayHaveContainers ? CONTAINER_STATE : ANSWER_STATE, this);
  }

  /** @returns false when nothing more is to be read */
  push(chunk: Buffer): boolean {
    if (this.#isOver) return false;
    if (!this.#hasBegun) this.#begin(chunk);
    if (this.#stream === null) this.#texts.push(chunk);
    else this.#pushEvents(this.#stream, chunk);
    return !this.#isOver;
  }

  #begin(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && (chunk[at] ?? 0) <= SPACE) at++;
    if (at === chunk.length) return;
    const first = chunk[at];
    this.#hasBegun = true;
    if (first !== OPEN_BRACE && first !== OPEN_BRACKET) this.#stream = new EventStream();
  }

  #pushEvents(stream: EventStream, chunk: Buffer): void {
    let at = stream.begin(chunk);
    while (at >= 0 && at < chunk.length) {
      at = stream.read(chunk, at, this);
      if (at < 0) return;
      this.#texts.restart();
      if (!this.#hasFound || this.#isRead) continue;
      this.#isOver = true;
      return;
    }
  }

  onData(chunk: Buffer, from: number, to: number): void {
    this.#texts.read(chunk, from, to);
  }

  onText(place: string, id: string | null): void {
    if (id === null || id === '') return;
    this.#hasFound = true;
    this.#found(id, place);
  }
}

import { Buffer } from 'node:buffer';
import type { EventSink } from './event-stream.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const SPACE = 0x20;

/** Of what stands around the elements, in bytes: what they cost, and a model's name. */
const REST_MAX_BYTES = 64 * 1024;
const REST_FIRST_BYTES = 1_024;

/**
 * Tells the elements of a JSON array as an `EventStream` tells events, over any cuts: what each is made of, and where it ends. The
 * array is the text itself (Gemini's stream without `alt=sse`), or one member of the object that the text is (vectors). Nothing is
 * checked: whoever reads an element finds out whether it is JSON. Holds no byte of an element.
 */
export class JsonElements {
  /** No element has a name that could say so. */
  readonly wasError = false;
  /** Its name, as it stands before the array; null: the text is the array. */
  readonly #member: Buffer | null;
  /** Brackets around an element. */
  readonly #within: number;
  #rest = Buffer.allocUnsafe(REST_FIRST_BYTES);
  #restBytes = 0;
  #isRestCut = false;
  #depth = 0;
  #isText = false;
  #isEscaped = false;
  #isOpen = false;
  #wasOpen = false;
  #isElement = false;

  /** @param member of the root object, whose elements are told; null: the text is the array */
  constructor(member: string | null = null) {
    this.#member = member === null ? null : Buffer.from(JSON.stringify(member));
    this.#within = member === null ? 1 : 2;
  }

  /** @returns where to read on in the next chunk */
  begin(_chunk: Buffer): number {
    return 0;
  }

  /**
   * Reads on until an element ends.
   * @returns the offset behind its end, or -1 when it goes on behind the chunk, or none has begun
   */
  read(chunk: Buffer, from: number, sink: EventSink): number {
    let began = from;
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0;
      if (this.#isElement) {
        const isBehind = this.#endsElement(byte);
        if (!isBehind) this.#step(byte);
        if (isBehind || this.#isClosed(byte)) {
          this.#isElement = false;
          // What stands behind an element is read once more: it closes the array, or parts two.
          const end = isBehind ? at : at + 1;
          if (end > began) sink.onData(chunk, began, end);
          return end;
        }
      } else if (this.#isOpen && (byte <= SPACE || byte === COMMA)) {
        began = at + 1;
      } else if (this.#isOpen && byte !== CLOSE_BRACKET) {
        this.#isElement = true;
        began = at;
        this.#step(byte);
      } else {
        this.#around(byte);
      }
    }
    if (this.#isElement && chunk.length > began) sink.onData(chunk, began, chunk.length);
    return -1;
  }

  /** The text is over: its last element may have no end. */
  finish(): void {}

  /** What stands around the elements so far, the array empty in it; null where it is too long to be read. */
  get rest(): string | null {
    return this.#isRestCut ? null : this.#rest.toString('utf8', 0, this.#restBytes);
  }

  /** An object or a list ends with its bracket, and is told without what comes behind it: that may take a while. */
  #isClosed(byte: number): boolean {
    const isBracket = byte === CLOSE_BRACE || byte === CLOSE_BRACKET;
    return isBracket && !this.#isText && this.#depth === this.#within;
  }

  #endsElement(byte: number): boolean {
    if (this.#isText || this.#depth !== this.#within) return false;
    return byte === COMMA || byte === CLOSE_BRACKET;
  }

  #around(byte: number): void {
    if (this.#isOpen) this.#wasOpen = true;
    this.#isOpen = false;
    this.#step(byte);
    if (byte === OPEN_BRACKET && this.#depth === this.#within && !this.#isText)
      this.#isOpen = !this.#wasOpen && this.#isAwaited();
    this.#keep(byte);
  }

  #step(byte: number): void {
    if (this.#isText) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (byte === BACKSLASH) this.#isEscaped = true;
      else if (byte === QUOTE) this.#isText = false;
    } else if (byte === QUOTE) this.#isText = true;
    else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) this.#depth++;
    else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) this.#depth--;
  }

  /** Whether the array that opens here is the one: what was kept last is its name and a colon. */
  #isAwaited(): boolean {
    if (this.#member === null) return true;
    let end = this.#restBytes;
    const last = (): number => this.#rest[end - 1] ?? 0;
    while (end > 0 && last() <= SPACE) end--;
    if (last() !== COLON) return false;
    end--;
    while (end > 0 && last() <= SPACE) end--;
    const began = end - this.#member.length;
    return began >= 0 && this.#rest.subarray(began, end).equals(this.#member);
  }

  #keep(byte: number): void {
    if (this.#restBytes === this.#rest.length) {
      if (this.#restBytes >= REST_MAX_BYTES) {
        this.#isRestCut = true;
        return;
      }
      const grown = Buffer.allocUnsafe(this.#rest.length * 2);
      this.#rest.copy(grown, 0, 0, this.#restBytes);
      this.#rest = grown;
    }
    this.#rest[this.#restBytes++] = byte;
  }
}

import { JSON_PATH, pathBits } from './json-paths.ts';
import type { JsonEvents, JsonScan, JsonScanner } from './json-scanner.ts';
import { decodedString, ValueCapture } from './value-capture.ts';

/** What a request asks of `stream` at its root; the last one wins, as in every parser of note. */
export type StreamAsked = 'true' | 'false' | 'absent' | 'other';

/** Most bytes kept of a model's name: the longest recorded one has 74. */
export const MODEL_MAX_BYTES = 256;
/** A name of MODEL_MAX_BYTES bytes written wholly in six-byte escapes, and its quotes. */
const MODEL_RAW_BYTES = MODEL_MAX_BYTES * 6 + 2;

const LETTER_T = 0x74;
const LETTER_F = 0x66;

/** The root-level `model` and `stream` of a request body, read as it streams by. Nothing is kept but these. */
export class RequestFacts implements JsonEvents {
  /** Paths that `valueStarts` and `valueEnds` understand. */
  static readonly WANTED = pathBits(JSON_PATH.model, JSON_PATH.stream);

  stream: StreamAsked = 'absent';
  /** Bytes of the body before the first byte of the last root `model` value; -1 without one. */
  modelOffset = -1;
  readonly #model = new ValueCapture(MODEL_RAW_BYTES);
  readonly #scan: JsonScan;
  #chunk: Uint8Array | null = null;
  #captureFrom = -1;
  #bytesBefore = 0;

  constructor(scan: JsonScan) {
    this.#scan = scan;
  }

  /** @returns undefined when no scan is free: the facts stay unknown */
  static open(scanner: JsonScanner): RequestFacts | undefined {
    const scan = scanner.scan(RequestFacts.WANTED);
    return scan === undefined ? undefined : new RequestFacts(scan);
  }

  /** Reads the body's next bytes. */
  push(chunk: Uint8Array): void {
    this.beginChunk(chunk);
    this.#scan.feed(chunk, this);
    this.endChunk();
  }

  /** For a caller that feeds the scan itself and passes its events on: before the feed. */
  beginChunk(chunk: Uint8Array): void {
    this.#chunk = chunk;
    if (this.#captureFrom > 0) this.#captureFrom = 0;
  }

  /** For a caller that feeds the scan itself: after the feed. */
  endChunk(): void {
    const chunk = this.#chunk;
    if (chunk === null) return;
    if (this.#captureFrom >= 0) this.#model.take(chunk, this.#captureFrom, chunk.length);
    this.#bytesBefore += chunk.length;
    this.#chunk = null;
  }

  valueStarts(path: number, at: number): void {
    const first = this.#chunk?.[at];
    if (path === JSON_PATH.model) {
      this.#model.begin();
      this.#captureFrom = at;
      this.modelOffset = this.#bytesBefore + at;
    } else if (path === JSON_PATH.stream) {
      this.stream = first === LETTER_T ? 'true' : first === LETTER_F ? 'false' : 'other';
    }
  }

  valueEnds(path: number, at: number): void {
    if (path !== JSON_PATH.model || this.#chunk === null) return;
    this.#model.take(this.#chunk, this.#captureFrom, at);
    this.#captureFrom = -1;
  }

  /** True when the bytes so far are one JSON text; else what was read of it is not to be relied on. */
  get isJson(): boolean {
    return this.#scan.isWhole;
  }

  /** The root `model` so far, decoded, at most MODEL_MAX_BYTES of it; null when there is none or it is no string. */
  get model(): string | null {
    return this.#decoded()?.text ?? null;
  }

  get isModelTruncated(): boolean {
    return this.#decoded()?.isCut ?? false;
  }

  /** Root `model` keys seen: more than one is a request that two parsers may read differently. */
  get modelCount(): number {
    return this.#model.count;
  }

  release(): void {
    this.#scan.release();
  }

  #decoded() {
    return this.#model.count === 0 || this.#captureFrom >= 0
      ? null
      : decodedString(this.#model.bytes, MODEL_MAX_BYTES);
  }
}

import { pathBits, REQUEST_PATH, REQUEST_PATHS } from './json-paths.ts';
import type { JsonEvents, JsonScan, JsonScanner } from './json-scanner.ts';
import { SpendingFields } from './spending-fields.ts';
import { TextCount } from './text-count.ts';
import { decodedString, ValueCapture } from './value-capture.ts';

/**
 * What a request asks of `stream` at its root; the last one wins, as in every parser of note. Lax parsers (Pydantic, so
 * vLLM) read `1` and `"yes"` as true, and what no parser reads at all is refused: so everything that none of them reads
 * as false is true.
 */
type StreamAsked = 'true' | 'false' | 'absent';

/** What lax parsers read as false, in lower case (docs.pydantic.dev/latest/api/standard_library_types/#booleans). */
const FALSE = /^(?:false|null|-?0(?:\.0*)?|"(?:0|off|f|false|n|no)")$/;
/** No such value is longer. */
const FLAG_MAX_BYTES = 16;

/** Root `model` keys of one body whose places are kept. No client writes two; many are an attack on somebody's parser. */
export const MODELS_MAX = 4;

/** Most bytes kept of a model's name: the longest recorded one has 74. */
export const MODEL_MAX_BYTES = 256;
/** A name of MODEL_MAX_BYTES bytes written wholly in six-byte escapes, and its quotes. */
const MODEL_RAW_BYTES = MODEL_MAX_BYTES * 6 + 2;

const NO_BOUNDS: readonly number[] = [];

const WANTED = pathBits(
  REQUEST_PATH.model,
  REQUEST_PATH.stream,
  REQUEST_PATH.background,
  REQUEST_PATH.deferred,
  REQUEST_PATH.store,
);
/** Watched, and neither `model` nor what others watch beside. */
const SHORT = (WANTED & ~pathBits(REQUEST_PATH.model)) | SpendingFields.WANTED;

/** The root-level `model` and `stream` of a request body, and how much text it has, read as it streams by. */
export class RequestFacts implements JsonEvents {
  stream: StreamAsked = 'absent';
  /** The field that asks for an answer behind the response (OpenAI Responses, xAI chat); null without one that says yes. */
  goesOnAs: 'background' | 'deferred' | null = null;
  /** A root `deferred` says yes. */
  isDeferred = false;
  /** The last root `store` is false. */
  storesNothing = false;
  /** Null: nobody asks what its price depends on. */
  readonly spending: SpendingFields | null;
  /** Bytes of the body before the first byte of the last root `model` value; -1 without one. */
  modelOffset = -1;
  /**
   * Offsets in the body of each root `model` value's first byte and behind its last one, in turn; at most MODELS_MAX of
   * them, and only of values that have ended.
   */
  modelBounds: readonly number[] = NO_BOUNDS;
  readonly #model = new ValueCapture(MODEL_RAW_BYTES);
  /** The last one that ended, decoded when it is first asked for, because it is asked for many times; undefined before. */
  #decodedModel: ReturnType<typeof decodedString> | undefined = null;
  /** The short value that is being read: any but `model`. */
  readonly #flag = new ValueCapture(FLAG_MAX_BYTES);
  readonly #text = new TextCount();
  #flagFrom = -1;
  readonly #scan: JsonScan;
  #chunk: Buffer | null = null;
  #captureFrom = -1;
  #bytesBefore = 0;

  /** @param spending gets the values at its paths, where they are wanted of the scan too */
  constructor(scan: JsonScan, spending: SpendingFields | null) {
    this.#scan = scan;
    this.spending = spending;
  }

  /**
   * @param spending gets what the request's price depends on; null where nobody asks
   * @returns undefined when no scan is free: the facts stay unknown
   */
  static open(scanner: JsonScanner, spending: SpendingFields | null): RequestFacts | undefined {
    const scan = scanner.scan(REQUEST_PATHS, RequestFacts.wantedWith(spending));
    return scan === undefined ? undefined : new RequestFacts(scan, spending);
  }

  /** Paths that `valueStarts` and `valueEnds` are to be told of. */
  static wantedWith(spending: SpendingFields | null): number {
    return spending === null ? WANTED : WANTED | SpendingFields.WANTED;
  }

  /** Reads the body's next bytes. */
  push(chunk: Buffer): void {
    this.beginChunk(chunk);
    this.#scan.feed(chunk, this);
    this.endChunk();
  }

  /** For a caller that feeds the scan itself and passes its events on: before the feed. */
  beginChunk(chunk: Buffer): void {
    this.#chunk = chunk;
    if (this.#captureFrom > 0) this.#captureFrom = 0;
    if (this.#flagFrom > 0) this.#flagFrom = 0;
  }

  /** For a caller that feeds the scan itself: after the feed. */
  endChunk(): void {
    const chunk = this.#chunk;
    if (chunk === null) return;
    if (this.#captureFrom >= 0) this.#model.take(chunk, this.#captureFrom, chunk.length);
    if (this.#flagFrom >= 0) this.#flag.take(chunk, this.#flagFrom, chunk.length);
    this.#text.push(chunk);
    this.spending?.marks.push(chunk);
    this.#bytesBefore += chunk.length;
    this.#chunk = null;
  }

  valueStarts(path: number, at: number): void {
    if (path === REQUEST_PATH.model) {
      this.#model.begin();
      this.#decodedModel = null;
      this.#captureFrom = at;
      this.modelOffset = this.#bytesBefore + at;
    } else if (isShort(path)) {
      this.#flag.begin();
      this.#flagFrom = at;
    }
  }

  valueEnds(path: number, at: number): void {
    if (this.#chunk === null) return;
    if (path === REQUEST_PATH.model) {
      this.#model.take(this.#chunk, this.#captureFrom, at);
      this.#captureFrom = -1;
      this.#decodedModel = undefined;
      const end = this.#bytesBefore + at;
      // Not pushed to: that would make room for 17.
      if (this.modelBounds.length === 0) this.modelBounds = [this.modelOffset, end];
      else if (this.modelBounds.length < MODELS_MAX * 2)
        this.modelBounds = [...this.modelBounds, this.modelOffset, end];
    } else if (isShort(path)) {
      this.#flag.take(this.#chunk, this.#flagFrom, at);
      this.#flagFrom = -1;
      if (path === REQUEST_PATH.store) this.storesNothing = this.#flag.text() === 'false';
      else if (isFlag(path)) this.#readFlag(path, !FALSE.test(this.#flag.text().toLowerCase()));
      else this.spending?.read(path, this.#flag.text());
    }
  }

  #readFlag(path: number, value: boolean): void {
    if (path === REQUEST_PATH.stream) this.stream = value ? 'true' : 'false';
    // Not taken back by a second one: which of two a provider reads is not known.
    else if (value && path === REQUEST_PATH.deferred) this.isDeferred = true;
    if (path !== REQUEST_PATH.stream && value)
      this.goesOnAs ??= path === REQUEST_PATH.background ? 'background' : 'deferred';
  }

  /** The bytes so far are the beginning of a JSON text in UTF-8, or all of one. */
  get isSound(): boolean {
    return !this.#scan.isInvalid;
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

  /** Bytes of the body so far without pictures, sound and files in base64: what its tokens can be estimated from. */
  get textBytes(): number {
    return this.#text.textBytes;
  }

  /** Root `model` keys seen: more than one is a request that two parsers may read differently. */
  get modelCount(): number {
    return this.#model.count;
  }

  release(): void {
    this.#scan.release();
  }

  #decoded(): ReturnType<typeof decodedString> {
    if (this.#decodedModel === undefined)
      this.#decodedModel = decodedString(this.#model, MODEL_MAX_BYTES);
    return this.#decodedModel;
  }
}

function isShort(path: number): boolean {
  return (SHORT & (1 << path)) !== 0;
}

function isFlag(path: number): boolean {
  return (
    path === REQUEST_PATH.stream ||
    path === REQUEST_PATH.background ||
    path === REQUEST_PATH.deferred
  );
}

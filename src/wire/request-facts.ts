import { pathBits, REQUEST_PATH, REQUEST_PATHS } from './json-paths.ts';
import type { JsonEvents, JsonScan, JsonScanner } from './json-scanner.ts';
import type { SpendingMarks } from './spending-marks.ts';
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

/** The root-level `model` and `stream` of a request body, and how much text it has, read as it streams by. */
export class RequestFacts implements JsonEvents {
  /** Paths that `valueStarts` and `valueEnds` understand. */
  static readonly WANTED = pathBits(
    REQUEST_PATH.model,
    REQUEST_PATH.stream,
    REQUEST_PATH.background,
    REQUEST_PATH.deferred,
    REQUEST_PATH.store,
    REQUEST_PATH.maxTokens,
    REQUEST_PATH.maxCompletionTokens,
    REQUEST_PATH.maxOutputTokens,
    REQUEST_PATH.n,
    REQUEST_PATH.bestOf,
    REQUEST_PATH.serviceTier,
    REQUEST_PATH.speed,
    REQUEST_PATH.inferenceGeo,
    REQUEST_PATH.generationMaxOutputTokens,
    REQUEST_PATH.generationCandidateCount,
    REQUEST_PATH.generationMaxOutputTokensSnake,
    REQUEST_PATH.generationCandidateCountSnake,
    REQUEST_PATH.optionsNumPredict,
  );

  stream: StreamAsked = 'absent';
  /** The field that asks for an answer behind the response (OpenAI Responses, xAI chat); null without one that says yes. */
  goesOnAs: 'background' | 'deferred' | null = null;
  /** A root `deferred` says yes. */
  isDeferred = false;
  /** The last root `store` is false. */
  storesNothing = false;
  /** The most tokens that one answer may have; where several fields say it, the largest. Null: none does. */
  outputTokens: number | null = null;
  /** How many answers, the largest number that a field says. */
  choices = 1;
  serviceTier: string | null = null;
  /** Anthropic's (docs.anthropic.com, fast mode), like the place below. */
  speed: string | null = null;
  inferenceGeo: string | null = null;
  /** Null: nobody asked for them. */
  marks: SpendingMarks | null = null;
  /** Bytes of the body before the first byte of the last root `model` value; -1 without one. */
  modelOffset = -1;
  /**
   * Offsets in the body of each root `model` value's first byte and behind its last one, in turn; at most MODELS_MAX of
   * them, and only of values that have ended.
   */
  readonly modelBounds: number[] = [];
  readonly #model = new ValueCapture(MODEL_RAW_BYTES);
  /** The last one that ended, decoded when it is first asked for, because it is asked for many times; undefined before. */
  #decodedModel: ReturnType<typeof decodedString> | undefined = null;
  /** The short value that is being read: any but `model`. */
  readonly #flag = new ValueCapture(FLAG_MAX_BYTES);
  readonly #text = new TextCount();
  #flagFrom = -1;
  readonly #scan: JsonScan;
  #chunk: Uint8Array | null = null;
  #captureFrom = -1;
  #bytesBefore = 0;

  constructor(scan: JsonScan) {
    this.#scan = scan;
  }

  /** @returns undefined when no scan is free: the facts stay unknown */
  static open(scanner: JsonScanner): RequestFacts | undefined {
    const scan = scanner.scan(REQUEST_PATHS, RequestFacts.WANTED);
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
    if (this.#flagFrom > 0) this.#flagFrom = 0;
  }

  /** For a caller that feeds the scan itself: after the feed. */
  endChunk(): void {
    const chunk = this.#chunk;
    if (chunk === null) return;
    if (this.#captureFrom >= 0) this.#model.take(chunk, this.#captureFrom, chunk.length);
    if (this.#flagFrom >= 0) this.#flag.take(chunk, this.#flagFrom, chunk.length);
    this.#text.push(chunk);
    this.marks?.push(chunk);
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
      if (this.modelBounds.length < MODELS_MAX * 2)
        this.modelBounds.push(this.modelOffset, this.#bytesBefore + at);
    } else if (isShort(path)) {
      this.#flag.take(this.#chunk, this.#flagFrom, at);
      this.#flagFrom = -1;
      if (path === REQUEST_PATH.store) this.storesNothing = this.#flag.text() === 'false';
      else if (isFlag(path)) this.#readFlag(path, !FALSE.test(this.#flag.text().toLowerCase()));
      else if (isName(path)) this.#readName(path, plainText(this.#flag.text()));
      else this.#readCount(path, countOf(this.#flag.text()));
    }
  }

  #readName(path: number, text: string | null): void {
    if (path === REQUEST_PATH.serviceTier) this.serviceTier = text;
    else if (path === REQUEST_PATH.speed) this.speed = text;
    else this.inferenceGeo = text;
  }

  #readCount(path: number, count: number): void {
    if (count === 0) return;
    if (isChoices(path)) this.choices = Math.max(this.choices, count);
    else this.outputTokens = Math.max(this.outputTokens ?? 0, count);
  }

  #readFlag(path: number, value: boolean): void {
    if (path === REQUEST_PATH.stream) this.stream = value ? 'true' : 'false';
    // Not taken back by a second one: which of two a provider reads is not known.
    else if (value && path === REQUEST_PATH.deferred) this.isDeferred = true;
    if (path !== REQUEST_PATH.stream && value)
      this.goesOnAs ??= path === REQUEST_PATH.background ? 'background' : 'deferred';
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

/** Watched, and neither `model` nor what others watch beside. */
function isShort(path: number): boolean {
  return path !== REQUEST_PATH.model && (RequestFacts.WANTED & (1 << path)) !== 0;
}

function isFlag(path: number): boolean {
  return (
    path === REQUEST_PATH.stream ||
    path === REQUEST_PATH.background ||
    path === REQUEST_PATH.deferred
  );
}

function isName(path: number): boolean {
  return (
    path === REQUEST_PATH.serviceTier ||
    path === REQUEST_PATH.speed ||
    path === REQUEST_PATH.inferenceGeo
  );
}

function isChoices(path: number): boolean {
  return (
    path === REQUEST_PATH.n ||
    path === REQUEST_PATH.bestOf ||
    path === REQUEST_PATH.generationCandidateCount ||
    path === REQUEST_PATH.generationCandidateCountSnake
  );
}

/** A whole number above 0, as lax parsers read it too: `4096`, `4096.0`, `4e3`, `"4096"`; else 0. */
function countOf(text: string): number {
  const value = Number(text.startsWith('"') ? text.slice(1, -1) : text);
  return Number.isFinite(value) && value >= 1 ? Math.ceil(value) : 0;
}

function plainText(text: string): string | null {
  return /^"[A-Za-z0-9._-]{1,14}"$/.test(text) ? text.slice(1, -1) : null;
}

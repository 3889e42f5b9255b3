import { pathBits, REQUEST_PATH, REQUEST_PATHS } from './json-paths.ts';
import type { JsonEvents, JsonScan, JsonScanner } from './json-scanner.ts';
import type { PieceSink } from './piece-sink.ts';
import { RequestFacts } from './request-facts.ts';
import type { SpendingFields } from './spending-fields.ts';

// Decision: how a chat request is made to ask for its usage while it streams through.
//
// `stream_options.include_usage: true` must be what the provider's parser ends up with, the client's other options must
// survive, and no byte may be held back, so each place is decided when its first byte arrives.
// - An option object is corrected where it stands: a wrong `include_usage` is replaced, a missing one added before `}`.
//   This is also done while `stream` has not come yet. Should it turn out not to be true, nothing changes for the
//   client: an option object without streaming is refused or ignored whatever it says (OpenAI: "only set this when you
//   set stream: true", https://platform.openai.com/docs/api-reference/chat/create). Once `stream` is known not to be
//   true, nothing is touched.
// - `"stream_options": null` (and any other non-object) counts as absent with providers, so an object in its place
//   would make a request without streaming fail that was fine. It is replaced only when `stream: true` came before it.
// - Before the root's `}` everything is known: a streaming request whose last `stream_options` does not ask gets one
//   more member there. After an untouched `null` that is a second `stream_options` key. Parsers take the last one;
//   the few that refuse a repeated key would refuse this rare order. The alternatives were worse: to hold back
//   a body of any length until `stream` is seen, or to break requests that do not stream.
// - A body that repeats keys could be made to grow without end, so corrections in place share IN_PLACE_BYTES; beyond it
//   an occurrence is left alone, and the member before the root's `}`, which always has its room, decides.
// Not covered: text that is not JSON is passed on untouched from its error on; a correction made before it stays, in a
// body that the provider refuses anyway, and so does one made under a `stream: true` that a second `stream` takes back.
// Nor is what only lax parsers read: NaN in a body, UTF-16.

const OWN_PATHS = pathBits(
  REQUEST_PATH.root,
  REQUEST_PATH.streamOptions,
  REQUEST_PATH.includeUsage,
);

const MEMBER = Buffer.from('"include_usage":true');
const NEXT_MEMBER = Buffer.from(',"include_usage":true');
const OPTIONS = Buffer.from('{"include_usage":true}');
const NEXT_OPTIONS = Buffer.from(',"stream_options":{"include_usage":true}');
const TRUE = Buffer.from('true');
/** As long as `false`. */
const TRUE_AND_SPACE = Buffer.from('true ');

/** Room for one correction in place of each kind: the longest is an object (22 bytes) for a one-byte value. */
const IN_PLACE_BYTES = 24;

/** Bytes that a body of declared length is declared longer: one member at the root's end (40), and IN_PLACE_BYTES. */
export const RESERVE_BYTES = 64;

/** JSON white space for the rest of the declared length, behind the root. */
const PADDING = Buffer.alloc(4_096, ' ');

const BRACE = 0x7b;
const BRACKET = 0x5b;
const LETTER_T = 0x74;
const LETTER_F = 0x66;

/** The length to declare upstream for a body of `bytes`; an empty body stays empty. */
export function editedLength(bytes: number): number {
  return bytes === 0 ? 0 : bytes + RESERVE_BYTES;
}

/**
 * Edits one streaming chat/completions body so that its response reports usage. Pieces are views of the chunks that
 * came in, in order, with a few constant bytes between them; nothing is held back.
 */
export class UsageOptionEditor implements JsonEvents {
  readonly facts: RequestFacts;
  /** True once a byte was changed or added, padding apart. */
  edited = false;
  readonly #scan: JsonScan;
  #isSized: boolean;
  #chunk: Buffer | null = null;
  #sink: PieceSink | null = null;
  #takesMore = true;
  /** Bytes of the chunk that are sent or dropped. */
  #done = 0;
  #isDropping = false;
  #bytesIn = 0;
  #bytesOut = 0;
  #isObject = false;
  #hasInclude = false;
  /** What the last `stream_options` says: as the client wrote it, and as it was sent. */
  #isAsked = false;
  #isSentAsking = false;
  /** Of IN_PLACE_BYTES, taken. */
  #inPlace = 0;

  /** @param isSized the upstream will be told `lengthFor` the body's declared length */
  constructor(scan: JsonScan, isSized: boolean, spending: SpendingFields | null) {
    this.#scan = scan;
    this.facts = new RequestFacts(scan, spending);
    this.#isSized = isSized;
  }

  /**
   * @param spending as `RequestFacts.open` has it
   * @returns undefined when no scan is free: relay the body as it is, with its own length
   */
  static open(
    scanner: JsonScanner,
    isSized: boolean,
    spending: SpendingFields | null,
  ): UsageOptionEditor | undefined {
    const scan = scanner.scan(REQUEST_PATHS, RequestFacts.wantedWith(spending) | OWN_PATHS);
    return scan === undefined ? undefined : new UsageOptionEditor(scan, isSized, spending);
  }

  /** True when the client itself asked for usage on this stream; final once the body is over. */
  get clientAskedForUsage(): boolean {
    return this.#isAsked && this.facts.stream === 'true';
  }

  /**
   * The length to declare upstream, asked when the body's first chunk was edited. What turned out there to be no JSON in
   * UTF-8 (UTF-16, NaN) is left as it is to its end: in another encoding, spaces are no white space.
   */
  lengthFor(declaredBytes: number): number {
    if (this.#scan.isInvalid && !this.edited) this.#isSized = false;
    return this.#isSized ? editedLength(declaredBytes) : declaredBytes;
  }

  /**
   * Edits the next chunk.
   * @returns false when the sink takes no more for now
   */
  edit(chunk: Buffer, sink: PieceSink): boolean {
    this.#chunk = chunk;
    this.#sink = sink;
    this.#takesMore = true;
    this.#done = 0;
    this.facts.beginChunk(chunk);
    this.#scan.feed(chunk, this);
    this.facts.endChunk();
    this.#bytesIn += chunk.length;
    if (this.#scan.isInvalid) this.#isDropping = false;
    if (!this.#isDropping) this.#sendUpTo(chunk.length);
    this.#chunk = null;
    this.#sink = null;
    return this.#takesMore;
  }

  /**
   * The client's body is over: pads what was declared, so that the length is right with or without an edit.
   * @returns false when the sink takes no more for now
   */
  end(sink: PieceSink): boolean {
    let takesMore = true;
    if (!this.#isSized) return takesMore;
    while (this.#bytesOut < editedLength(this.#bytesIn)) {
      const rest = editedLength(this.#bytesIn) - this.#bytesOut;
      const piece = rest < PADDING.length ? PADDING.subarray(0, rest) : PADDING;
      this.#bytesOut += piece.length;
      takesMore = sink.push(piece) && takesMore;
    }
    return takesMore;
  }

  /** Gives the scan back; `facts` keeps what it read. */
  release(): void {
    this.#scan.release();
  }

  valueStarts(path: number, at: number): void {
    this.facts.valueStarts(path, at);
    const first = this.#chunk?.[at];
    if (path === REQUEST_PATH.streamOptions) this.#startOptions(at, first);
    else if (path === REQUEST_PATH.includeUsage) this.#startInclude(at, first);
  }

  valueEnds(path: number, at: number): void {
    this.facts.valueEnds(path, at);
    if (this.#isDropping) {
      this.#isDropping = false;
      this.#done = at;
    } else if (path === REQUEST_PATH.streamOptions) this.#endOptions(at);
    else if (path === REQUEST_PATH.root) this.#endRoot(at);
  }

  #startOptions(at: number, first: number | undefined): void {
    this.#isAsked = false;
    this.#isSentAsking = false;
    this.#hasInclude = false;
    this.#isObject = first === BRACE;
    // Only scalars: whether what a bracket opens is JSON shows too late.
    if (this.#isObject || first === BRACKET || this.facts.stream !== 'true') return;
    // The shortest value that may stand here has one byte.
    this.#replace(at, OPTIONS, OPTIONS.length - 1);
  }

  #startInclude(at: number, first: number | undefined): void {
    this.#hasInclude = true;
    this.#isAsked = first === LETTER_T;
    this.#isSentAsking = this.#isAsked;
    if (this.#isAsked || !this.#mayStream()) return;
    if (first === LETTER_F) this.#replace(at, TRUE_AND_SPACE, 0);
    else this.#replace(at, TRUE, TRUE.length - 1);
  }

  #endOptions(at: number): void {
    if (!this.#isObject || this.#hasInclude || !this.#mayStream()) return;
    const member = this.#scan.hasMembers ? NEXT_MEMBER : MEMBER;
    if (this.#takeRoom(member.length)) this.#insert(at - 1, member);
  }

  #endRoot(at: number): void {
    if (this.facts.stream === 'true' && !this.#isSentAsking) this.#insert(at - 1, NEXT_OPTIONS);
  }

  #mayStream(): boolean {
    return this.facts.stream === 'true' || this.facts.stream === 'absent';
  }

  /** Counts the most that a correction can add; false when that is more than there is room for. */
  #takeRoom(bytes: number): boolean {
    if (this.#inPlace + bytes > IN_PLACE_BYTES) return false;
    this.#inPlace += bytes;
    return true;
  }

  #insert(at: number, constant: Buffer): void {
    this.#sendUpTo(at);
    this.#send(constant);
    this.edited = true;
    this.#isSentAsking = true;
  }

  /** Sends `constant` for the value that starts at `at`, whose bytes are dropped until it ends. */
  #replace(at: number, constant: Buffer, growth: number): void {
    if (!this.#takeRoom(growth)) return;
    this.#insert(at, constant);
    this.#isDropping = true;
  }

  #sendUpTo(at: number): void {
    const chunk = this.#chunk;
    if (chunk === null || at <= this.#done) return;
    this.#send(this.#done === 0 && at === chunk.length ? chunk : chunk.subarray(this.#done, at));
    this.#done = at;
  }

  #send(piece: Buffer): void {
    this.#bytesOut += piece.length;
    if (this.#sink !== null) this.#takesMore = this.#sink.push(piece) && this.#takesMore;
  }
}

import { Buffer } from 'node:buffer';
import { type BodyFormat, FormatProbe } from './body-format.ts';
import { isError } from './error-object.ts';
import { lastBlockStart } from './event-stream.ts';
import type { EndingSink } from './key-watch.ts';
import type { SecretTraces } from './secret-traces.ts';

/** Held of an error, in bytes: the longest recorded one has 3 KiB. What is longer is none. */
export const ERROR_MAX_BYTES = 16_384;

/** In these many bytes the first member of an answer's first JSON text has its name. */
const BEGINNING_BYTES = 256;
const FIRST_MEMBER = /^[^{]{0,200}\{\s*"([^"]{0,40})"\s*:\s*([^\s])/;
/** Errors begin with them, and answers do not. */
const FIRST_OF_ERRORS =
  /^(?:error\w*|details?|message|msg|code|status|status_?code|statusCode|success|title|reason|fault)$/;

const IS_FIRST_LETTER = new Uint8Array(256);
for (const letter of Buffer.from('edmcstrf')) IS_FIRST_LETTER[letter] = 1;
/** So near its piece's start most answers' first text begins. */
const NEAR_BYTES = 64;
const OPEN_BRACE = 0x7b;
const QUOTE = 0x22;

/** A sign and what tells whether it is one are no longer, but for white space that nobody writes. */
const SIGN_BYTES = 24;
/** A member or a value `error` that is not null, and an event of that name; inside a text its quotes would be escaped. */
const SIGN = /"error"\s*(?:[,}\]]|:\s*[^\snf])|event: ?error/;
/** What a sign begins with, where a piece ends. */
const SIGN_BEGUN =
  /(?:"(?:e(?:r(?:r(?:o(?:r(?:"(?:\s*(?::\s*)?)?)?)?)?)?)?)?|e(?:v(?:e(?:n(?:t(?:: ?(?:e(?:r(?:ro?)?)?)?)?)?)?)?)?)$/;
const NAME_BYTES = '"error"'.length;
const ERROR_BYTES = 5;
/** Of `error` in a sign, what stands before it: `event: `. */
const SIGN_BEFORE_BYTES = 7;

/** Behind what a text ends that others follow: a blank line (WHATWG HTML §9.2.6), a line. */
const ENDS = { events: /\n\n|\n\r|\r\r/, lines: /\n/ } as const;
const LF = 0x0a;
const CR = 0x0d;
const LETTER_E = 0x65;
const LETTER_O = 0x6f;
const LETTER_R = 0x72;

/** Who is asked what an error in a success means. */
export interface ErrorJudge {
  /**
   * @param text the error's JSON text
   * @returns false when neither it nor what follows is the client's
   */
  mayTell(text: string): boolean;
}

/**
 * Finds the errors that a success holds (a JSON error or a page in a 200, an error event in a stream), and takes out of them
 * what they quote of a pool key: its ends beside a mask as well, which in an answer's own text may be anything. Each
 * hidden byte becomes a `*`, so that lengths stay. Whatever is no error passes at once.
 *
 * An error is held until it is whole (an event to its blank line), at most 16 KiB, and looked at as JSON: what only
 * looked like one passes as it came.
 */
export class ToldErrors {
  readonly #key: { readonly traces: SecretTraces };
  readonly #sink: EndingSink;
  readonly #judge: ErrorJudge | null;
  /** Until the format is known. */
  #probe: FormatProbe | null;
  #format: FormatProbe['format'] = null;
  /** Of the first JSON text, while it is not known how it begins. */
  #beginning: string | null = '';
  /** The last bytes that were passed on, where a sign may begin in them. */
  #tail = '';
  /** Nothing that was passed on belongs to what follows. */
  #isBetween = true;
  #held: Buffer[] | null = null;
  #heldBytes = 0;
  /** The held text begins where a JSON text does, or an event. */
  #isWhole = false;
  #isOver = false;

  /**
   * @param declared by the content type; null: packed, nothing can be read
   * @param key its traces are made when an error is met
   */
  constructor(
    key: { readonly traces: SecretTraces },
    declared: BodyFormat | null,
    sink: EndingSink,
    judge: ErrorJudge | null = null,
  ) {
    this.#judge = judge;
    this.#key = key;
    this.#sink = sink;
    this.#probe = new FormatProbe(declared ?? 'json');
    this.#isOver = declared === null;
  }

  /**
   * @param piece lent
   * @param mayTell false when it is known to hold no error: whole events of which none names one
   * @param last nothing follows
   */
  push(piece: Buffer, mayTell: boolean, last: boolean): boolean {
    if (this.#held !== null) return this.#hold(piece);
    if (this.#isOver || (!mayTell && this.#beginning === null)) {
      this.#tail = '';
      this.#isBetween = true;
      return this.#sink.push(piece);
    }
    const from = this.#errorIn(piece);
    if (from < 0) {
      if (!last) this.#remember(piece);
      return this.#sink.push(piece);
    }
    this.#isWhole = from > 0 || this.#isBetween;
    this.#tail = '';
    this.#beginning = null;
    this.#held = [];
    this.#heldBytes = 0;
    const more = from === 0 || this.#sink.push(piece.subarray(0, from));
    return this.#hold(from === 0 ? piece : piece.subarray(from)) && more;
  }

  /** The answer is over. */
  end(): void {
    if (this.#held !== null) this.#release(true);
    this.#sink.end();
  }

  /** @returns from where on the piece is to be held; -1 when nothing in it looks like an error */
  #errorIn(piece: Buffer): number {
    if (!this.#isRecognised(piece)) return -1;
    const format = this.#format;
    if (format === 'page') return 0;
    if (format === 'packed') {
      this.#isOver = true;
      return -1;
    }
    const at = this.#signIn(piece);
    if (at >= 0 && format === 'events') return lastBlockStart(piece, 0, at);
    if (at >= 0) return format === 'lines' ? piece.lastIndexOf(LF, at) + 1 : 0;
    return this.#beginning !== null && this.#beginsAsError(piece, this.#beginning) ? 0 : -1;
  }

  /** @returns whether it is known what the answer is made of */
  #isRecognised(piece: Buffer): boolean {
    if (this.#probe === null) return true;
    if (this.#probe.push(piece) < 0) return false;
    this.#format = this.#probe.format;
    this.#probe = null;
    return true;
  }

  #beginsAsError(piece: Buffer, before: string): boolean {
    if (before === '' && beginsOtherwise(piece)) {
      this.#beginning = null;
      return false;
    }
    const beginning = before + piece.toString('latin1', 0, BEGINNING_BYTES);
    const first = FIRST_MEMBER.exec(beginning);
    this.#beginning = first !== null || beginning.length >= BEGINNING_BYTES ? null : beginning;
    const [, name = '', value] = first ?? [];
    // Ollama's answers may begin with a message: an object.
    return FIRST_OF_ERRORS.test(name) && value !== '{' && value !== 'n';
  }

  /** @returns the offset of a sign, 0 for one that began before; -1 without one */
  #signIn(piece: Buffer): number {
    const begun = this.#tail;
    if (begun !== '' && SIGN.test(begun + piece.toString('latin1', 0, SIGN_BYTES))) return 0;
    const next = this.#format === 'events' ? nextError : nextName;
    for (let at = next(piece, 0); at >= 0; at = next(piece, at + ERROR_BYTES)) {
      const from = Math.max(0, at - SIGN_BEFORE_BYTES);
      if (SIGN.test(piece.toString('latin1', from, at + SIGN_BYTES))) return at;
    }
    return -1;
  }

  #remember(piece: Buffer): void {
    const { length } = piece;
    const last = piece[length - 1];
    const format = this.#format;
    const endsLine = last === LF || last === CR;
    this.#isBetween = endsLine && (format === 'lines' || endsBlank(piece));
    if (endsLine) this.#tail = '';
    else {
      const tail = this.#tail + piece.toString('latin1', Math.max(0, length - SIGN_BYTES));
      this.#tail = SIGN_BEGUN.exec(tail)?.[0] ?? '';
    }
  }

  #hold(piece: Buffer): boolean {
    const end = this.#endIn(piece);
    const kept = end < 0 ? piece : piece.subarray(0, end);
    // Lent.
    this.#held?.push(Buffer.from(kept));
    this.#heldBytes += kept.length;
    if (end >= 0) {
      const more = this.#release(true);
      return (end === piece.length || this.push(piece.subarray(end), true, false)) && more;
    }
    if (this.#heldBytes <= ERROR_MAX_BYTES) return true;
    const format = this.#format;
    this.#isOver = format !== 'events' && format !== 'lines';
    // A page may be as long as it likes.
    return this.#release(format === 'page');
  }

  /** @returns the offset behind the held text's end; -1 when that does not stand in the piece */
  #endIn(piece: Buffer): number {
    const format = this.#format;
    if (format !== 'events' && format !== 'lines') return -1;
    const last = this.#held?.at(-1);
    const before = last === undefined ? '' : last.toString('latin1', last.length - 1);
    const found = ENDS[format].exec(before + piece.toString('latin1'));
    return found === null ? -1 : found.index + found[0].length - before.length;
  }

  /** @param mayBeError else it is too long for one */
  #release(mayBeError: boolean): boolean {
    const held = Buffer.concat(this.#held ?? []);
    this.#held = null;
    if (held.length === 0) return true;
    const text = held.toString('latin1');
    if (!mayBeError || !this.#isError(text)) return this.#sink.push(held);
    if (this.#judge?.mayTell(this.#dataIn(text)) === false) return true;
    return this.#sink.push(Buffer.from(this.#key.traces.cover(text), 'latin1'));
  }

  /** What is no whole JSON text, and stands where an error was announced, is taken for one. */
  #isError(text: string): boolean {
    const isEvent = this.#format === 'events';
    if (!this.#isWhole || this.#format === 'page' || (isEvent && /^event: ?error/m.test(text)))
      return true;
    try {
      return isError(JSON.parse(this.#dataIn(text)));
    } catch {
      return true;
    }
  }

  /** The JSON text of what is held, of an event its data. */
  #dataIn(text: string): string {
    if (this.#format !== 'events') return text;
    return [...text.matchAll(/^data: ?(.*)$/gm)].map(([, data]) => data).join('\n');
  }
}

/** Whether the first member's name begins with a letter that no error's does: `id`, `object`. */
function beginsOtherwise(piece: Buffer): boolean {
  const to = Math.min(piece.length - 2, NEAR_BYTES);
  for (let at = 0; at < to; at++) {
    if (piece[at] !== OPEN_BRACE) continue;
    return piece[at + 1] === QUOTE && IS_FIRST_LETTER[piece[at + 2] ?? 0] === 0;
  }
  return false;
}

/** The offset of the next `"error"`; -1 without one. Seven bytes a step: a native search stops at every quote. */
function nextName(piece: Buffer, from: number): number {
  const { length } = piece;
  let end = from + NAME_BYTES - 1;
  while (end < length) {
    const byte = piece[end];
    if (byte === QUOTE) {
      const at = end - NAME_BYTES + 1;
      if (piece[at] === QUOTE && isErrorAt(piece, at + 1)) return at;
      end += NAME_BYTES - 1;
    } else if (byte === LETTER_R) end += 1;
    else if (byte === LETTER_O) end += 2;
    else end += byte === LETTER_E ? 5 : NAME_BYTES;
  }
  return -1;
}

function isErrorAt(piece: Buffer, at: number): boolean {
  return (
    piece[at] === LETTER_E &&
    piece[at + 1] === LETTER_R &&
    piece[at + 2] === LETTER_R &&
    piece[at + 3] === LETTER_O &&
    piece[at + 4] === LETTER_R
  );
}

/** The offset of the next `error`; -1 without one. Five bytes a step: a native search would stop at every `e`. */
function nextError(piece: Buffer, from: number): number {
  const { length } = piece;
  let end = from + ERROR_BYTES - 1;
  while (end < length) {
    const byte = piece[end];
    if (byte === LETTER_R) {
      if (isErrorAt(piece, end - 4)) return end - 4;
      end += 2;
    } else if (byte === LETTER_O) end += 1;
    else end += byte === LETTER_E ? 4 : ERROR_BYTES;
  }
  return -1;
}

function endsBlank(piece: Buffer): boolean {
  const { length } = piece;
  const before = piece[length - 2];
  return before === LF || (before === CR && (piece[length - 1] === CR || piece[length - 3] === LF));
}

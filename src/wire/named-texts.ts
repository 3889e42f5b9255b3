import { Buffer } from 'node:buffer';

/** A place in a JSON text: an object's members by name. Arrays are looked through. */
export interface Place {
  /** What a text at this place, or each text of an array there, is told as; null: the place is only on the way. */
  readonly tells: string | null;
  readonly members: ReadonlyMap<string, Place>;
  /** Every member that is not named; null: they are passed over. */
  readonly others: Place | null;
  /** The members' names, as `spelled` has them. */
  readonly spelled: SpelledNames;
}

/** Names by their length in bytes: a body's names are compared where they stand, and most have no length that is wanted. */
type SpelledNames = readonly (readonly Spelled[] | undefined)[];
interface Spelled {
  readonly name: string;
  readonly bytes: Buffer;
}

/** @param names in ASCII */
export function spelled(names: readonly string[]): SpelledNames {
  const byLength: Spelled[][] = [];
  for (const name of names) {
    const others = byLength[name.length] ?? [];
    byLength[name.length] = [...others, { name, bytes: Buffer.from(name) }];
  }
  return byLength;
}

export interface TextSink {
  /**
   * @param text decoded; null when it is longer than TEXT_MAX_BYTES, or no text that can be decoded
   * @param beginning of one that is not told, as it stands in the JSON text; '' of one that is
   */
  onText(place: string, text: string | null, beginning: string): void;
}

/** Longest text that is read, and longest name, in raw bytes: recorded ids have 80 at most, six bytes for each if escaped. */
export const TEXT_MAX_BYTES = 1_024;

/** Told of a text that is too long, in raw bytes: enough for a prefix that says whose it is. */
const BEGINNING_BYTES = 32;

/** What is kept at first: most names and ids are shorter. */
const KEPT_BYTES = 96;

/** Nested this deep on the way to a place nobody's API goes: what is deeper is passed over. */
const DEPTH_MAX = 64;

/** A string longer than this is searched natively; up to here a native call would cost more. */
const NEAR_BYTES = 32;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
/** What a character beyond ASCII is read as where a body is in UTF-16 or UTF-32. */
const BEYOND_ASCII = 0x80;

const OUTSIDE = 0;
const PASSING = 1;
const NAME = 2;
const TEXT = 3;

const NOTHING = Buffer.alloc(0);

/** Bytes that tell a body's encoding (RFC 4627 §3). */
const OPENING_BYTES = 4;

/**
 * Reads the texts at a few places of a JSON text while it streams by, over any cuts, in memory bounded by DEPTH_MAX and
 * TEXT_MAX_BYTES. Where the scanner of `json-scanner.ts` tells of members of objects, this one looks through arrays.
 *
 * Decision: it accepts more than JSON and never gives up, because what it reads decides who may reach what: a body that one
 * parser refuses may be read by another one. Of a name given twice both values are told. Names are compared decoded. UTF-16
 * and UTF-32 are read as well (Python's `json.loads` takes them from bytes).
 */
export class NamedTexts {
  readonly #root: Place;
  readonly #sink: TextSink;
  /** The open containers that lead somewhere, and whether each is an object. */
  readonly #places: (Place | null)[] = [null, null, null, null];
  readonly #isObject: boolean[] = [false, false, false, false];
  /** How many they are. With room from the start: an array that is pushed to makes room for 17. */
  #depth = 0;
  /** Open containers that lead nowhere, within those. */
  #passed = 0;
  #state = OUTSIDE;
  #isEscaped = false;
  /** In an object: the next string is a name. */
  #expectsName = false;
  /** Where the next value stands. */
  #next: Place | null;
  /** Made for the first text, or name that is not to be read where it stands. */
  #kept = NOTHING;
  #keptBytes = 0;
  #isOver = false;
  #hasEscapes = false;
  /** The first bytes, until there are enough to know the encoding. */
  #opening: Buffer | null = NOTHING;
  #wide: Narrowing | null = null;

  constructor(root: Place, sink: TextSink) {
    this.#root = root;
    this.#next = root;
    this.#sink = sink;
  }

  push(chunk: Buffer): void {
    this.read(chunk, 0, chunk.length);
  }

  /** Reads chunk bytes [from, to) as the text's next ones. */
  read(chunk: Buffer, from: number, to: number): void {
    if (this.#opening !== null)
      this.#open(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to));
    else if (this.#wide !== null) this.#narrow(this.#wide.narrowed(chunk.subarray(from, to)));
    else this.#read(chunk, from, to);
  }

  /** The next byte begins another text. */
  restart(): void {
    this.#depth = 0;
    this.#passed = 0;
    this.#state = OUTSIDE;
    this.#isEscaped = false;
    this.#expectsName = false;
    this.#next = this.#root;
  }

  #open(bytes: Buffer): void {
    const before = this.#opening ?? bytes;
    const opening = before.length === 0 ? bytes : Buffer.concat([before, bytes]);
    if (opening.length < OPENING_BYTES) {
      this.#opening = Buffer.from(opening);
      return;
    }
    this.#opening = null;
    this.#wide = narrowingOf(opening);
    if (this.#wide === null) this.#read(opening, 0, opening.length);
    else this.#narrow(this.#wide.narrowed(opening));
  }

  #narrow(bytes: Buffer): void {
    this.#read(bytes, 0, bytes.length);
  }

  #read(chunk: Buffer, from: number, to: number): void {
    let at = from;
    while (at < to) {
      if (this.#state === OUTSIDE)
        at = this.#passed > 0 ? this.#passContainers(chunk, at, to) : this.#outside(chunk, at, to);
      else if (this.#state === PASSING) at = this.#pass(chunk, at, to);
      else at = this.#keep(chunk, at, to);
    }
  }

  /** Reads up to and with the next quote. */
  #outside(chunk: Buffer, from: number, to: number): number {
    for (let at = from; at < to; at++) {
      switch (chunk[at]) {
        case QUOTE:
          return this.#beginString(chunk, at + 1, to);
        case OPEN_BRACE:
        case OPEN_BRACKET:
          this.#enter(chunk[at] === OPEN_BRACE);
          if (this.#passed > 0) return at + 1;
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          if (this.#depth > 0) this.#depth--;
          this.#left();
          break;
        case COMMA:
          this.#afterComma();
          break;
        case COLON:
          this.#expectsName = false;
          break;
        default:
      }
    }
    return to;
  }

  /** Reads to the end of the containers that lead nowhere: one loop, because most of a large body is there. */
  #passContainers(chunk: Buffer, from: number, to: number): number {
    let passed = this.#passed;
    let at = from;
    while (at < to && passed > 0) {
      const byte = chunk[at++];
      if (byte === QUOTE) {
        const near = Math.min(to, at + NEAR_BYTES);
        while (at < near && chunk[at] !== QUOTE && chunk[at] !== BACKSLASH) at++;
        if (at < near && chunk[at] === QUOTE) {
          at++;
          continue;
        }
        this.#state = PASSING;
        at = this.#pass(chunk, at, to);
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) passed++;
      else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) passed--;
    }
    this.#passed = passed;
    if (passed === 0) this.#left();
    return at;
  }

  #enter(isObject: boolean): void {
    const place = this.#next;
    if (place === null || this.#depth === DEPTH_MAX) {
      this.#passed++;
      return;
    }
    this.#places[this.#depth] = place;
    this.#isObject[this.#depth] = isObject;
    this.#depth++;
    this.#expectsName = isObject;
    this.#next = isObject ? null : place;
  }

  /** Of the innermost open container that leads somewhere; null outside of all. */
  get #place(): Place | null {
    return this.#depth === 0 ? null : (this.#places[this.#depth - 1] ?? null);
  }

  #left(): void {
    this.#next = this.#depth === 0 ? this.#root : null;
  }

  #afterComma(): void {
    const depth = this.#depth - 1;
    if (depth < 0) return;
    const isObject = this.#isObject[depth] === true;
    this.#expectsName = isObject;
    this.#next = isObject ? null : (this.#places[depth] ?? null);
  }

  /** @param from behind the quote. @returns where to read on */
  #beginString(chunk: Buffer, from: number, to: number): number {
    if (!this.#expectsName && this.#next?.tells == null) {
      this.#state = PASSING;
      return from;
    }
    if (this.#expectsName) {
      const end = plainEnd(chunk, from, to);
      if (end >= 0) {
        this.#named(this.#memberAt(chunk, from, end));
        return end + 1;
      }
    }
    this.#state = this.#expectsName ? NAME : TEXT;
    this.#keptBytes = 0;
    this.#isOver = false;
    this.#hasEscapes = false;
    return from;
  }

  /** The name that stands in the chunk, if it is one that is wanted. */
  #memberAt(chunk: Buffer, from: number, end: number): string | null {
    const candidates = this.#place?.spelled[end - from];
    if (candidates === undefined) return null;
    for (const { name, bytes } of candidates) {
      let at = 0;
      while (at < bytes.length && bytes[at] === chunk[from + at]) at++;
      if (at === bytes.length) return name;
    }
    return null;
  }

  /** Passes a string by, up to and with its quote. */
  #pass(chunk: Buffer, from: number, to: number): number {
    let at = from;
    const near = Math.min(to, from + NEAR_BYTES);
    for (; at < near; at++) {
      const byte = chunk[at];
      if (this.#isEscaped) this.#isEscaped = false;
      else if (byte === BACKSLASH) this.#isEscaped = true;
      else if (byte === QUOTE) return this.#endString(at);
    }
    if (this.#isEscaped && at < to) {
      this.#isEscaped = false;
      at++;
    }
    while (at < to) {
      const quote = chunk.indexOf(QUOTE, at);
      const end = quote < 0 || quote >= to ? to : quote;
      const isEscaped = backslashesBefore(chunk, at, end) % 2 === 1;
      if (end === to) {
        this.#isEscaped = isEscaped;
        return to;
      }
      if (!isEscaped) return this.#endString(end);
      at = end + 1;
    }
    return to;
  }

  #endString(at: number): number {
    this.#state = OUTSIDE;
    return at + 1;
  }

  /** Reads a name, or a text that is wanted, up to and with its quote. */
  #keep(chunk: Buffer, from: number, to: number): number {
    for (let at = from; at < to; at++) {
      const byte = chunk[at] ?? 0;
      if (this.#isEscaped) this.#isEscaped = false;
      else if (byte === BACKSLASH) {
        this.#isEscaped = true;
        this.#hasEscapes = true;
      } else if (byte === QUOTE) {
        const isName = this.#state === NAME;
        this.#state = OUTSIDE;
        if (isName) this.#named(this.#text());
        else this.#tell(this.#next?.tells ?? '', this.#text());
        return at + 1;
      }
      if (this.#keptBytes === this.#kept.length) this.#grow();
      if (this.#keptBytes < this.#kept.length) this.#kept[this.#keptBytes++] = byte;
      else this.#isOver = true;
    }
    return to;
  }

  #tell(place: string, text: string | null): void {
    const beginning = text === null ? this.#kept.toString('latin1', 0, BEGINNING_BYTES) : '';
    this.#sink.onText(place, text, beginning);
  }

  #grow(): void {
    if (this.#kept.length >= TEXT_MAX_BYTES) return;
    const larger = Buffer.allocUnsafe(this.#kept.length === 0 ? KEPT_BYTES : TEXT_MAX_BYTES);
    this.#kept.copy(larger);
    this.#kept = larger;
  }

  /** @param name null: none that is wanted */
  #named(name: string | null): void {
    const place = this.#place;
    this.#next = (name === null ? undefined : place?.members.get(name)) ?? place?.others ?? null;
  }

  #text(): string | null {
    if (this.#isOver) return null;
    const raw = this.#kept.toString('utf8', 0, this.#keptBytes);
    if (!this.#hasEscapes) return raw;
    try {
      const text: unknown = JSON.parse(`"${raw}"`);
      return typeof text === 'string' ? text : null;
    } catch {
      return null;
    }
  }
}

/** Where a name without escapes ends that lies in the chunk; -1 for every other one. */
function plainEnd(chunk: Buffer, from: number, to: number): number {
  const near = Math.min(to, from + KEPT_BYTES);
  for (let at = from; at < near; at++) {
    if (chunk[at] === QUOTE) return at;
    if (chunk[at] === BACKSLASH) return -1;
  }
  return -1;
}

function backslashesBefore(chunk: Buffer, from: number, end: number): number {
  let count = 0;
  for (let at = end - 1; at >= from && chunk[at] === BACKSLASH; at--) count++;
  return count;
}

/** Makes one byte of each character of UTF-16 or UTF-32: what JSON's own characters are, and a stand-in for the others. */
class Narrowing {
  readonly #width: number;
  /** Where in a character its low byte is. */
  readonly #low: number;
  #rest: Buffer = Buffer.alloc(0);

  constructor(width: number, low: number) {
    this.#width = width;
    this.#low = low;
  }

  narrowed(bytes: Buffer): Buffer {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const count = Math.floor(all.length / this.#width);
    const narrow = Buffer.allocUnsafe(count);
    for (let unit = 0; unit < count; unit++) narrow[unit] = this.#one(all, unit * this.#width);
    this.#rest = Buffer.from(all.subarray(count * this.#width));
    return narrow;
  }

  #one(bytes: Buffer, from: number): number {
    for (let at = 0; at < this.#width; at++)
      if (at !== this.#low && bytes[from + at] !== 0) return BEYOND_ASCII;
    return Math.min(bytes[from + this.#low] ?? 0, BEYOND_ASCII);
  }
}

/** As Python's `json.detect_encoding` has it; null for UTF-8. */
function narrowingOf(opening: Buffer): Narrowing | null {
  // Taken out by a pattern, they would come by an iterator: 0.2 us of each request.
  const first = opening[0];
  const second = opening[1];
  const isWide = opening[2] === 0 && opening[3] === 0;
  if (first === 0xff && second === 0xfe) return isWide ? new Narrowing(4, 0) : new Narrowing(2, 0);
  if (first === 0xfe && second === 0xff) return new Narrowing(2, 1);
  if (first === 0) return second === 0 ? new Narrowing(4, 3) : new Narrowing(2, 1);
  if (second !== 0) return null;
  return isWide ? new Narrowing(4, 0) : new Narrowing(2, 0);
}

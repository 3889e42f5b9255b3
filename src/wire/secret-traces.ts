/**
 * Finds a secret in a text that a provider wrote: all of it or a part that is long enough to be recognised, as it is or
 * in another spelling, and its ends beside a mask (`sk-proj-****abcd`). Providers quote keys so in their errors.
 */

/** Where a trace stands: offsets into the text, the second one exclusive. */
type Span = readonly [from: number, to: number];

/** What stands in a trace's place. */
const HIDDEN = '***';

/** A part of a secret that stands by itself has as many characters; what vendors begin all their keys with is shorter. */
const PART_CHARACTERS = 12;
/** A part of so many characters holds one piece of half that, cut at its multiples, whole: only those are searched for. */
const PIECE_CHARACTERS = PART_CHARACTERS / 2;
/** Beside a mask, or words that announce an end, fewer are enough. */
const END_CHARACTERS = 4;

/** A longer mask is as good as two. */
const MASK_CHARACTERS = 256;
const MASK = new RegExp(
  `[*#]{1,${MASK_CHARACTERS}}|[xX]{3,${MASK_CHARACTERS}}|\\.{2,${MASK_CHARACTERS}}|[-_]{3,${MASK_CHARACTERS}}|\\[[^\\]]{1,24}\\]|<[^>]{1,24}>`,
  'g',
);
const ANNOUNCED =
  /\b(?:end(?:s|ing|ed)?\s{1,4}(?:in|with)|last\s{1,4}\w{1,8}\s{1,4}\w{1,16}(?:\s{1,4}(?:is|are))?)[\s:"'`(]{1,8}/gi;

/** The longest that such words are, escaped. */
const WORDS_CHARACTERS = 512;

// Percent, JSON and HTML escapes, and characters that masks are made of, in UTF-8: bullets, dots, blocks, ellipses. Bytes
// of zero are what UTF-16 and UTF-32 put beside those of ASCII: they are nothing.
const SPELLED =
  /\0+|%(?:u00)?([0-9a-fA-F]{2})|\\(?:u00|x)([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\(["\\/])|&#(?:[xX]([0-9a-fA-F]{1,6})|([0-9]{1,7}));|\xe2(?:\x80[\xa2\xa4-\xa7]|\x97[\x8b-\x8f]|\x96[\x80-\x9f]|\x88\x99)|\xc2\xb7/g;
/** A text in a text in a text: each of them may escape what it quotes. */
const SPELLED_LEVELS = 4;
/** The longest of those spellings of one character, one in another. */
const SPELLED_CHARACTERS = 16;

const NOWHERE: readonly Span[] = [];

// Length is kept: one character per byte, and none of those has a longer small letter.
const folded = (text: string): string => text.toLowerCase();

/** One secret, prepared for searching: made once for each, when a provider first answers with an error. */
export class SecretTraces {
  /** In small letters: a key in capitals opens nothing, but whoever reads it knows most of the true one. */
  readonly #secret: string;
  readonly #pieces: readonly string[];
  /** The secret in each encoding of its bytes, where case counts, with the pieces that a part of it must hold. */
  readonly #spellings: readonly (readonly [spelling: string, pieces: readonly string[]])[];
  /** No trace is longer. In characters. */
  readonly #longest: number;

  /** @param secret visible ASCII, not empty */
  constructor(secret: string) {
    this.#secret = folded(secret);
    this.#pieces = piecesOf(this.#secret);
    const spellings = encodings(secret).filter(({ length }) => length >= PART_CHARACTERS);
    this.#spellings = spellings.map((spelling) => [spelling, piecesOf(spelling)]);
    const longest = Math.max(secret.length, ...spellings.map(({ length }) => length));
    this.#longest = (longest + MASK_CHARACTERS) * SPELLED_CHARACTERS;
  }

  /** @param text one character per byte */
  isIn(text: string): boolean {
    return this.#spans(text).length > 0;
  }

  /** @param text one character per byte */
  hide(text: string): string {
    return this.#hideUpTo(text, text.length)[0];
  }

  /**
   * Hides without changing the length.
   * @param text one character per byte
   */
  cover(text: string): string {
    let shown = '';
    let done = 0;
    for (const [from, to] of this.#spans(text)) {
      shown += text.slice(done, from) + covered(text.slice(from, to));
      done = to;
    }
    return shown + text.slice(done);
  }

  /**
   * Of a text that goes on, what may be shown by now.
   * @param text one character per byte
   * @returns that, without traces, and the rest, which is to come again with what follows it
   */
  hideBegun(text: string): readonly [shown: string, rest: string] {
    const kept = this.#longest + WORDS_CHARACTERS;
    // Searched when there is as much again: a body that drips would else be searched once for each of its bytes.
    return text.length < 2 * kept ? ['', text] : this.#hideUpTo(text, text.length - kept);
  }

  /** @param end what begins so near behind it that it depends on words before it is hidden as well */
  #hideUpTo(text: string, end: number): readonly [shown: string, rest: string] {
    let shown = '';
    let done = 0;
    for (const [from, to] of this.#spans(text)) {
      if (from >= end + WORDS_CHARACTERS) break;
      const trace = text.slice(from, to);
      // In UTF-16 each character keeps its bytes: what follows would else begin in the middle of one.
      shown += text.slice(done, from) + (trace.includes('\0') ? covered(trace) : HIDDEN);
      done = to;
    }
    const cut = Math.max(done, end);
    return [shown + text.slice(done, cut), text.slice(cut)];
  }

  /** In order, none touching another. */
  #spans(text: string): readonly Span[] {
    const found: Span[] = [];
    let { plain, starts } = plainText(text);
    for (let level = 1; ; level++) {
      for (const [from, to] of this.#spansIn(plain))
        found.push([startAt(starts, from), startAt(starts, to)]);
      if (level === SPELLED_LEVELS || starts === null) break;
      const inner = plainText(plain);
      if (inner.starts === null) break;
      const outer = starts;
      starts = inner.starts.map((at) => startAt(outer, at));
      plain = inner.plain;
    }
    return found.length === 0 ? NOWHERE : merged(found);
  }

  /** @param plain without escapes that are to be undone */
  #spansIn(plain: string): readonly Span[] {
    const found: Span[] = [];
    for (const [spelling, pieces] of this.#spellings) addParts(plain, spelling, pieces, found);
    const small = folded(plain);
    addParts(small, this.#secret, this.#pieces, found);
    this.#addEnds(small, found);
    return found;
  }

  /** Ends of the secret beside a mask, the mask included, and ends that are announced as such. */
  #addEnds(plain: string, found: Span[]): void {
    for (const { 0: mask, index } of plain.matchAll(MASK)) {
      const to = index + mask.length;
      const before = this.#beginningBefore(plain, index);
      const after = this.#endAfter(plain, to);
      if (before + after > 0) found.push([index - before, to + after]);
    }
    for (const { 0: words, index } of plain.matchAll(ANNOUNCED)) {
      const from = index + words.length;
      const length = this.#endAfter(plain, from);
      if (length > 0) found.push([from, from + length]);
    }
  }

  /** How many of the secret's first characters end at `to`. */
  #beginningBefore(plain: string, to: number): number {
    const secret = this.#secret;
    const nearest = plain.slice(Math.max(0, to - END_CHARACTERS), to);
    if (nearest.length < END_CHARACTERS) return 0;
    for (
      let at = secret.lastIndexOf(nearest);
      at !== -1;
      at = secret.lastIndexOf(nearest, at - 1)
    ) {
      const length = at + END_CHARACTERS;
      if (length <= to && plain.startsWith(secret.slice(0, length), to - length)) return length;
      if (at === 0) return 0;
    }
    return 0;
  }

  /** How many of the secret's last characters begin at `from`. */
  #endAfter(plain: string, from: number): number {
    const secret = this.#secret;
    const nearest = plain.slice(from, from + END_CHARACTERS);
    if (nearest.length < END_CHARACTERS) return 0;
    for (let at = secret.indexOf(nearest); at !== -1; at = secret.indexOf(nearest, at + 1)) {
      if (plain.startsWith(secret.slice(at), from)) return secret.length - at;
    }
    return 0;
  }
}

/** Base64 of the secret wherever it begins in a group of three bytes (behind `Bearer `, `user:`), and hexadecimal. */
function encodings(secret: string): readonly string[] {
  const inBase64 = [0, 1, 2].map((before) => {
    const text = Buffer.from('\0'.repeat(before) + secret, 'latin1').toString('base64');
    // What shares bits with the bytes around it is left away.
    const end = Math.floor(((before + secret.length) * 8) / 6);
    return text.slice(Math.ceil((before * 8) / 6), end);
  });
  const inUrls = inBase64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
  const hex = Buffer.from(secret, 'latin1').toString('hex');
  return [...new Set([...inBase64, ...inUrls, hex, hex.toUpperCase()])];
}

/** A short secret is searched for whole. */
function piecesOf(spelling: string): readonly string[] {
  if (spelling.length < PART_CHARACTERS) return [spelling];
  const count = Math.floor(spelling.length / PIECE_CHARACTERS);
  return Array.from({ length: count }, (_, at) =>
    spelling.slice(at * PIECE_CHARACTERS, (at + 1) * PIECE_CHARACTERS),
  );
}

function addParts(plain: string, spelling: string, pieces: readonly string[], found: Span[]): void {
  const enough = Math.min(PART_CHARACTERS, spelling.length);
  for (const [index, piece] of pieces.entries()) {
    const offset = index * PIECE_CHARACTERS;
    for (let at = plain.indexOf(piece); at !== -1; at = plain.indexOf(piece, at + 1)) {
      let from = at;
      let to = at + piece.length;
      while (
        from > 0 &&
        at - from < offset &&
        plain[from - 1] === spelling[offset - (at - from) - 1]
      )
        from--;
      while (to < plain.length && plain[to] === spelling[offset + (to - at)]) to++;
      if (to - from >= enough) found.push([from, to]);
    }
  }
}

/** A text with its escapes undone, and where each of its characters began; null: it is the text itself. */
interface Plain {
  readonly plain: string;
  readonly starts: readonly number[] | null;
}

function plainText(text: string): Plain {
  if (text.search(SPELLED) === -1) return { plain: text, starts: null };
  const starts: number[] = [];
  let plain = '';
  let done = 0;
  const copyTo = (end: number): void => {
    plain += text.slice(done, end);
    for (; done < end; done++) starts.push(done);
  };
  for (const match of text.matchAll(SPELLED)) {
    copyTo(match.index);
    const one = spelledOut(match);
    if (one !== '') starts.push(done);
    plain += one;
    done = match.index + match[0].length;
  }
  copyTo(text.length);
  starts.push(text.length);
  return { plain, starts };
}

/** Beyond ASCII there is nothing of a secret: what it may be there is a mask. */
function spelledOut([
  spelling,
  percent,
  byte,
  json,
  literal,
  hex,
  decimal,
]: RegExpMatchArray): string {
  if (spelling.startsWith('\0')) return '';
  if (literal !== undefined) return literal;
  const digits = percent ?? byte ?? json ?? hex;
  const code = digits === undefined ? Number(decimal ?? 0x2a) : Number.parseInt(digits, 16);
  return code < 0x80 ? String.fromCharCode(code) : '*';
}

/** Zeros are kept: they are halves of characters. */
function covered(trace: string): string {
  return trace.replace(/[^\0]/g, '*');
}

function startAt(starts: readonly number[] | null, at: number): number {
  return starts === null ? at : (starts[at] ?? 0);
}

function merged(spans: readonly Span[]): readonly Span[] {
  const result: Span[] = [];
  for (const [from, to] of spans.toSorted(([a], [b]) => a - b)) {
    const last = result.at(-1);
    if (last !== undefined && from <= last[1])
      result[result.length - 1] = [last[0], Math.max(last[1], to)];
    else result.push([from, to]);
  }
  return result;
}

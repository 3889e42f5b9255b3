/**
 * What a request asks for, anywhere in its body, that makes it dearer: marks of what is to be cached, tools that the provider runs
 * itself, pictures that are named and not sent. Looked for as texts while the body streams by, over any cuts, and only for who
 * has a budget. Quotes inside of a string are escaped, so that what begins with one is a key or a whole value. Names that are
 * written with escapes are not found: this is for an estimate.
 */

import { Buffer } from 'node:buffer';

/** Digits of a number of uses that are read. */
const DIGITS_MAX = 6;
/** A mark with what stands around it is shorter. */
const TAIL_BYTES = 64;
const NOTHING = Buffer.alloc(0);

type Kind = 'cache' | 'hour' | 'uses' | 'picture' | 'tool';
/** Ends that begin with a rare byte are looked for, and then their beginnings: JSON is full of quotes. */
type Mark = readonly [kind: Kind, begin: string, end: string];

/** Writes of an hour are asked for by `"ttl":"1h"` (docs.anthropic.com, prompt caching). */
const MARKS: readonly Mark[] = [
  ['cache', '"cache', '_control"'],
  ['cache', '"prompt_cache', '_options"'],
  ['hour', '"', '1h"'],
  ['uses', '"max', '_uses"'],
  ['picture', '"image', '_url"'],
  ['picture', '"input', '_image"'],
  ['picture', '"file', '_uri"'],
  ['picture', '"file', 'Uri"'],
  ['picture', '"file', '_url"'],
  ['tool', '"web', '_search'],
  ['tool', '"web', '_fetch'],
  ['tool', '"google', '_search'],
  ['tool', '"google', 'Search'],
  ['tool', '"x', '_search'],
  ['tool', '"code', '_execution'],
  ['tool', '"code', '_interpreter'],
  ['tool', '"file', '_search'],
  ['tool', '"ad', 'visor'],
  ['tool', '"image', '_generation'],
];

interface MarkBytes {
  readonly kind: Kind;
  readonly begin: Uint8Array;
  readonly end: Uint8Array;
}

const BYTES: readonly MarkBytes[] = MARKS.map(([kind, begin, end]) => ({
  kind,
  begin: Buffer.from(begin),
  end: Buffer.from(end),
}));
/** Nearly all of them: one search for all in place of one for each, which were 8 us of a request of 1 KB. */
const UNDERSCORE = 0x5f;
const BEHIND_UNDERSCORE = BYTES.filter(({ end }) => end[0] === UNDERSCORE);
const OTHERS = BYTES.filter(({ end }) => end[0] !== UNDERSCORE);

/**
 * What may stand behind a tool's name where it is offered: Anthropic's types have a date, OpenAI's may say `preview`, some are keys.
 * Calls and results of earlier turns (`web_search_call`, `web_search_tool_result`) go on otherwise.
 */
const OFFERED = /^(?:"|_2|_preview|_options|_retrieval"|Retrieval")/;
/** The same tool once more: its name beside its type, or a choice of it. */
const NAMED = /"name"\s*:\s*$/;
/** Looked at before and behind a mark. */
const CONTEXT_BYTES = 14;

export class SpendingMarks {
  /** Made for the first piece; what stands at its end. */
  #tail: Buffer = NOTHING;
  marksCache = false;
  /** What is cached is to live for an hour. */
  isHour = false;
  /** Tools that the provider runs itself. */
  tools = 0;
  /** How many `max_uses` were read, and the sum of them. */
  limits = 0;
  uses = 0;
  pictures = 0;

  /** Bytes before the chunk that is read, and up to where every mark that ends there was seen with what stands around it. */
  #before = 0;
  #seen = 0;
  /** One that ends behind that. */
  #isLeft = false;

  push(bytes: Buffer): void {
    const all = this.#before + bytes.length;
    this.#find(bytes, all - CONTEXT_BYTES);
    this.#tail = tailOf(this.#tail, bytes);
    this.#before = all;
  }

  /** Nothing comes any more: what stands at the end is seen too. */
  end(): void {
    if (this.#isLeft) this.#find(NOTHING, this.#before);
  }

  /** @param until marks that end behind it are left for the next time */
  #find(bytes: Buffer, until: number): void {
    // So little has come that nothing of it was looked at.
    this.#isLeft = until <= this.#seen;
    if (this.#isLeft) return;
    // What stands over the cut is looked at apart: the chunk is not copied for it.
    const tail = this.#tail;
    const start = this.#before;
    if (tail.length > 0) {
      const joined = Buffer.concat([tail, bytes.subarray(0, TAIL_BYTES)]);
      this.#findIn(joined, start - tail.length, until, 0, start + CONTEXT_BYTES);
    }
    this.#findIn(
      bytes,
      start,
      until,
      tail.length > 0 ? start + CONTEXT_BYTES : 0,
      start + bytes.length,
    );
    this.#seen = until;
  }

  /**
   * @param start where these bytes begin in the body
   * @param from marks that begin before it are the other's
   * @param to and those that begin from there on
   */
  #findIn(bytes: Buffer, start: number, until: number, from: number, to: number): void {
    for (let at = bytes.indexOf(UNDERSCORE); at >= 0; at = bytes.indexOf(UNDERSCORE, at + 1))
      for (const mark of BEHIND_UNDERSCORE)
        if (holds(bytes, at, mark.end)) this.#endsAt(mark, bytes, at, start, until, from, to);
    for (const mark of OTHERS)
      for (let at = bytes.indexOf(mark.end); at >= 0; at = bytes.indexOf(mark.end, at + 1))
        this.#endsAt(mark, bytes, at, start, until, from, to);
  }

  /** @param at where its end begins */
  #endsAt(
    { kind, begin, end }: MarkBytes,
    bytes: Buffer,
    at: number,
    start: number,
    until: number,
    from: number,
    to: number,
  ): void {
    const begins = at - begin.length;
    const ends = at + end.length;
    if (!holds(bytes, begins, begin)) return;
    if (start + begins < from || start + begins >= to) return;
    if (start + ends <= this.#seen) return;
    if (start + ends > until) this.#isLeft = true;
    else this.#found(kind, bytes, begins, ends);
  }

  #found(kind: Kind, bytes: Buffer, from: number, to: number): void {
    if (kind === 'cache') this.marksCache = true;
    else if (kind === 'hour') this.isHour = true;
    else if (kind === 'picture') this.pictures++;
    else if (kind === 'tool') {
      const behind = bytes.toString('latin1', to, to + CONTEXT_BYTES);
      const before = bytes.toString('latin1', Math.max(0, from - CONTEXT_BYTES), from);
      if (OFFERED.test(behind) && !NAMED.test(before)) this.tools++;
    } else {
      const uses = numberAt(bytes, to);
      if (uses > 0) this.limits++;
      this.uses += uses;
    }
  }
}

/** A copy: pieces are lent. */
function tailOf(tail: Buffer, bytes: Buffer): Buffer {
  if (tail.length > 0 && bytes.length < TAIL_BYTES)
    return Buffer.concat([tail, bytes]).subarray(-TAIL_BYTES);
  const kept = Buffer.allocUnsafe(Math.min(TAIL_BYTES, bytes.length));
  bytes.copy(kept, 0, bytes.length - kept.length);
  return kept;
}

/** Whether these bytes stand there. */
function holds(bytes: Buffer, from: number, what: Uint8Array): boolean {
  if (from < 0 || from + what.length > bytes.length) return false;
  // From behind: what begins alike ends otherwise.
  for (let at = what.length - 1; at >= 0; at--) if (bytes[from + at] !== what[at]) return false;
  return true;
}

/** The whole number behind a colon; 0 where none stands there, or where it is cut. */
function numberAt(bytes: Buffer, from: number): number {
  const text = bytes.toString('latin1', from, from + DIGITS_MAX + 4);
  const match = /^\s*:\s*(\d{1,6})\D/.exec(text);
  return match === null ? 0 : Number(match[1]);
}

import { DeltaCount } from './usage-deltas.ts';

const QUOTE = 0x22;
const COLON = 0x3a;
const SPACE = 0x20;
const LETTER_N = 0x6e;
const LETTER_O = 0x6f;
const LETTER_G = 0x67;
const LETTER_R = 0x72;
const CLOSE_BRACKET = 0x5d;
const DONE = Buffer.from('[DONE]');
/** The end of every end sign's name. */
const EASON = Buffer.from('eason');
const END_SIGNS = ['"finish_reason"', '"stop_reason"', '"finishReason"'].map((name) =>
  Buffer.from(name),
);
/** The type of Anthropic's last event: behind it nothing changes any more. */
const STOP = Buffer.from('message_stop"');

/** Every needle has seven bytes, so that one window serves them all. */
const WINDOW_BYTES = 7;
const NEEDLES = [
  '"usage"',
  '"usageM',
  '"error"',
  '"model"',
  '"modelV',
  '"delta"',
  '"parts"',
  '"messag',
  ' [DONE]',
  ':[DONE]',
  // The name of an event; inside a text it costs a look at that event.
  ': error',
  // Why an answer ended (`finish_reason`, `stop_reason`, Gemini's `finishReason`): its end sign.
  '_reason',
  'hReason',
] as const;
/** By the byte at a window's end: whether a needle ends with it, and how far the window may move on if none does. */
const ENDS = new Uint8Array(256);
const SHIFT = shiftTable(NEEDLES);
for (const needle of NEEDLES) ENDS[needle.charCodeAt(WINDOW_BYTES - 1)] = 1;

/**
 * Skims event stream bytes for the few keys that matter, and counts answer text on its way.
 *
 * Decision: a hand-written Horspool search for all keys at once. Most events carry nothing of interest; making a string of
 * each and parsing it costs two to five times as much as all of the reading (`npm run bench:usage`).
 * A key inside a JSON string never matches: its quotes are escaped there. A key that chunks cut apart is not found:
 * unfinished events are not left to the skim.
 */
export class UsageSkim {
  readonly deltas = new DeltaCount();
  /** An event said why its answer ended. */
  sawEndSign = false;

  /**
   * The offset of the next key in [from, to) that makes its event worth reading: usage or error that is not null, an event
   * named error, a stop, and a model while `wantsModel`. Deltas on the way are counted.
   * @returns -1 when there is none
   */
  next(chunk: Buffer, from: number, to: number, wantsModel: boolean): number {
    let end = from + WINDOW_BYTES - 1;
    while (end < to) {
      const byte = chunk[end] ?? 0;
      if (ENDS[byte] === 1 && this.#matters(chunk, end, to, wantsModel)) return end - 6;
      end += SHIFT[byte] ?? WINDOW_BYTES;
    }
    return -1;
  }

  /** Counts the deltas of a range that is not skimmed, and looks for an end sign in it. */
  countIn(chunk: Buffer, from: number, to: number): void {
    this.deltas.countIn(chunk, from, to);
    let at = chunk.indexOf(EASON, from);
    while (!this.sawEndSign && at >= 0 && at < to) {
      this.sawEndSign = isEndSign(chunk, at + EASON.length - 1, to);
      at = chunk.indexOf(EASON, at + EASON.length);
    }
  }

  /** Told apart by the fifth and sixth byte, which differ in all needles; the others are checked after. */
  #matters(chunk: Buffer, end: number, to: number, wantsModel: boolean): boolean {
    if (chunk[end] === LETTER_N) {
      if (isEndSign(chunk, end, to)) this.sawEndSign = true;
      return false;
    }
    if (chunk[end] === CLOSE_BRACKET) return DONE.equals(chunk.subarray(end - 5, end + 1));
    if (chunk[end] === LETTER_R)
      return chunk[end - 6] === COLON && spells(chunk, end - 4, 0x65, 0x72, 0x72, 0x6f);
    if (chunk[end - 6] !== QUOTE) return false;
    const isQuoted = chunk[end] === QUOTE;
    switch (chunk[end - 1]) {
      case 0x65: // usage
        return spells(chunk, end - 5, 0x75, 0x73, 0x61, 0x67) && !isNull(chunk, end + 1, to);
      case 0x72: // error
        return (
          isQuoted && spells(chunk, end - 5, 0x65, 0x72, 0x72, 0x6f) && !isNull(chunk, end + 1, to)
        );
      case 0x6c: // model
        return wantsModel && spells(chunk, end - 5, 0x6d, 0x6f, 0x64, 0x65);
      case 0x61: // delta, message_stop
        if (chunk[end] === LETTER_G)
          return STOP.equals(chunk.subarray(end - 5, end - 5 + STOP.length));
        if (isQuoted && spells(chunk, end - 5, 0x64, 0x65, 0x6c, 0x74))
          this.deltas.count(chunk, end + 1, to);
        return false;
      case 0x73: // parts
        if (isQuoted && spells(chunk, end - 5, 0x70, 0x61, 0x72, 0x74))
          this.deltas.countParts(chunk, end + 1, to);
        return false;
      default:
        return false;
    }
  }
}

/** Whether one of their names ends behind `end`, with a text that is not empty: while an answer goes on it is null. */
function isEndSign(chunk: Buffer, end: number, to: number): boolean {
  if (chunk[end - 1] !== LETTER_O || chunk[end + 1] !== QUOTE) return false;
  let at = end + 2;
  while (at < to && chunk[at] === SPACE) at++;
  if (chunk[at] !== COLON) return false;
  at++;
  while (at < to && chunk[at] === SPACE) at++;
  if (at + 1 >= to || chunk[at] !== QUOTE || chunk[at + 1] === QUOTE) return false;
  // Last, because it makes views: most events hold a null.
  return endsWithSign(chunk, end + 2);
}

function endsWithSign(chunk: Buffer, to: number): boolean {
  for (const name of END_SIGNS) {
    if (to >= name.length && name.equals(chunk.subarray(to - name.length, to))) return true;
  }
  return false;
}

function spells(chunk: Buffer, at: number, a: number, b: number, c: number, d: number): boolean {
  return chunk[at] === a && chunk[at + 1] === b && chunk[at + 2] === c && chunk[at + 3] === d;
}

/** Whether a key whose name ends before `at` has the value null. Not, when there is any doubt. */
export function isNull(chunk: Buffer, from: number, to: number): boolean {
  let at = from;
  while (at < to && chunk[at] === SPACE) at++;
  if (chunk[at] !== COLON) return false;
  at++;
  while (at < to && chunk[at] === SPACE) at++;
  return at < to && chunk[at] === LETTER_N;
}

/** Horspool's table for several needles of one length: the shortest way that any of them allows. */
function shiftTable(needles: readonly string[]): Uint8Array {
  const table = new Uint8Array(256).fill(WINDOW_BYTES);
  for (const needle of needles) {
    for (let at = 0; at < WINDOW_BYTES - 1; at++) {
      const byte = needle.charCodeAt(at);
      table[byte] = Math.min(table[byte] ?? WINDOW_BYTES, WINDOW_BYTES - 1 - at);
    }
  }
  return table;
}

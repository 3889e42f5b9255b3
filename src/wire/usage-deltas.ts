const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const COLON = 0x3a;
const SPACE = 0x20;

/**
 * Most bytes that one text of a delta counts for. Recorded texts are far below; what is longer is often no text (audio
 * in base64), and the count errs low.
 */
const TEXT_MAX_BYTES = 512;

/** Keys of a delta that hold what a model wrote: chat completions, reasoning, tool calls, Anthropic messages, Gemini's parts. */
const TEXT_KEYS: ReadonlySet<string> = new Set([
  'content',
  'text',
  'thinking',
  'partial_json',
  'arguments',
  'reasoning_content',
  'reasoning',
  'refusal',
]);

const DELTA = Buffer.from('"delta"');
/** Gemini's name for it: a list, in each event of a stream (ai.google.dev/api/generate-content). */
const PARTS = Buffer.from('"parts"');

/** Two names for the same thought: some providers send it under both. */
const REASONING_KEY = 'reasoning';
const OTHER_REASONING_KEY = 'reasoning_content';

/** OpenRouter repeats `reasoning` in here. */
const REPEATED_KEY = 'reasoning_details';

/** Keys of a whole answer whose strings a model wrote: texts, and what it wants tools to be called with. */
const ANSWER_KEYS = ['"content"', '"text"', '"arguments"'].map((key) => Buffer.from(key));

/** Most bytes that one text of a whole answer, or of Gemini's long pieces, counts for: about 3,000 tokens. */
const ANSWER_TEXT_MAX_BYTES = 16_384;

/** No key of interest is longer. */
const KEY_MAX_BYTES = REPEATED_KEY.length;

/**
 * Counts the text of an answer: what an estimate has to go by when the provider does not say, or its stream is cut.
 * What chunks cut apart is counted as far as it can be seen: the count errs low.
 */
export class DeltaCount {
  /** Bytes of text as they stand in the JSON. */
  textBytes = 0;

  /** @param from behind the key `"delta"` */
  count(chunk: Buffer, from: number, to: number): void {
    const colon = skipSpaces(chunk, from, to);
    if (chunk[colon] !== COLON) return;
    const at = skipSpaces(chunk, colon + 1, to);
    if (chunk[at] === QUOTE) this.#addText(at + 1, stringEnd(chunk, at + 1, to), TEXT_MAX_BYTES);
    else if (chunk[at] === OPEN_OBJECT) this.#addMembers(chunk, at + 1, to, TEXT_MAX_BYTES);
  }

  /**
   * Not each of Gemini's events says how many tokens its text has (2.0 says so in its last one alone).
   * @param from behind the key `"parts"`
   */
  countParts(chunk: Buffer, from: number, to: number): void {
    const colon = skipSpaces(chunk, from, to);
    const at = skipSpaces(chunk, colon + 1, to);
    if (chunk[colon] === COLON && chunk[at] === OPEN_ARRAY)
      this.#addMembers(chunk, at + 1, to, ANSWER_TEXT_MAX_BYTES);
  }

  /** Counts the text of the deltas in a range. */
  countIn(chunk: Buffer, from: number, to: number): void {
    for (let at = chunk.indexOf(DELTA, from); at >= 0 && at < to; at = chunk.indexOf(DELTA, at + 1))
      this.count(chunk, at + DELTA.length, to);
    for (let at = chunk.indexOf(PARTS, from); at >= 0 && at < to; at = chunk.indexOf(PARTS, at + 1))
      this.countParts(chunk, at + PARTS.length, to);
  }

  /** Counts the texts of a piece of a JSON answer. Texts that the piece cuts count as far as they are in it. */
  countAnswer(chunk: Buffer): void {
    for (const key of ANSWER_KEYS) {
      for (let at = chunk.indexOf(key); at >= 0; at = chunk.indexOf(key, at + key.length)) {
        const colon = skipSpaces(chunk, at + key.length, chunk.length);
        const quote = skipSpaces(chunk, colon + 1, chunk.length);
        if (chunk[colon] !== COLON || chunk[quote] !== QUOTE) continue;
        const most = Math.min(chunk.length, quote + 1 + ANSWER_TEXT_MAX_BYTES);
        this.textBytes += Math.max(0, stringEnd(chunk, quote + 1, most) - quote - 1);
      }
    }
  }

  /** @param from behind what opens an object, or a list */
  #addMembers(chunk: Buffer, from: number, to: number, most: number): void {
    let depth = 1;
    let isText = false;
    let reasoning = '';
    for (let at = from; at < to && depth > 0; at++) {
      const byte = chunk[at];
      if (byte === QUOTE) {
        const end = stringEnd(chunk, at + 1, to);
        if (chunk[skipSpaces(chunk, end + 1, to)] === COLON) {
          const key = end - at <= KEY_MAX_BYTES + 1 ? chunk.toString('latin1', at + 1, end) : '';
          if (key === REPEATED_KEY) return;
          isText = TEXT_KEYS.has(key);
          if (key === REASONING_KEY || key === OTHER_REASONING_KEY) {
            isText = reasoning === '' || reasoning === key;
            reasoning = key;
          }
        } else if (isText) {
          this.#addText(at + 1, end, most);
        }
        at = end;
      } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth++;
      else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth--;
    }
  }

  #addText(from: number, end: number, most: number): void {
    this.textBytes += Math.min(end - from, most);
  }
}

/** The offset of the quote that ends the string, or `to`. */
function stringEnd(chunk: Buffer, from: number, to: number): number {
  for (let at = from; at < to; at++) {
    if (chunk[at] === BACKSLASH) at++;
    else if (chunk[at] === QUOTE) return at;
  }
  return to;
}

function skipSpaces(chunk: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to && chunk[at] === SPACE) at++;
  return at;
}

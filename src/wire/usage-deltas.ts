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

/** Keys of a delta that hold what a model wrote: chat completions, reasoning, tool calls, Anthropic messages. */
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

/** OpenRouter repeats `reasoning` in here. */
const REPEATED_KEY = 'reasoning_details';

/** No key of interest is longer. */
const KEY_MAX_BYTES = REPEATED_KEY.length;

/**
 * Counts the text in the deltas of a stream: what an estimate has to go by when the stream is cut. Deltas that chunks
 * cut apart are counted as far as they can be seen: the count errs low.
 */
export class DeltaCount {
  /** Bytes of text as they stand in the JSON. */
  textBytes = 0;

  /** @param from behind the key `"delta"` */
  count(chunk: Buffer, from: number, to: number): void {
    const colon = skipSpaces(chunk, from, to);
    if (chunk[colon] !== COLON) return;
    const at = skipSpaces(chunk, colon + 1, to);
    if (chunk[at] === QUOTE) this.#addText(at + 1, stringEnd(chunk, at + 1, to));
    else if (chunk[at] === OPEN_OBJECT) this.#addObject(chunk, at + 1, to);
  }

  #addObject(chunk: Buffer, from: number, to: number): void {
    let depth = 1;
    let isText = false;
    for (let at = from; at < to && depth > 0; at++) {
      const byte = chunk[at];
      if (byte === QUOTE) {
        const end = stringEnd(chunk, at + 1, to);
        if (chunk[skipSpaces(chunk, end + 1, to)] === COLON) {
          const key = end - at <= KEY_MAX_BYTES + 1 ? chunk.toString('latin1', at + 1, end) : '';
          if (key === REPEATED_KEY) return;
          isText = TEXT_KEYS.has(key);
        } else if (isText) {
          this.#addText(at + 1, end);
        }
        at = end;
      } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth++;
      else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth--;
    }
  }

  #addText(from: number, end: number): void {
    this.textBytes += Math.min(end - from, TEXT_MAX_BYTES);
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

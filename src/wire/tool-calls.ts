import { Buffer } from 'node:buffer';
import type { ToolUses } from './billed-usage.ts';

/** Items of a Responses answer that are calls of the provider's own tools, as `"type"` names them, and what they are called. */
const CALLS: readonly (readonly [type: Buffer, tool: string])[] = [
  'web_search',
  'file_search',
  'code_interpreter',
  'image_generation',
].map((tool) => [Buffer.from(`"${tool}_call"`), tool]);

const END = Buffer.from('_call"');
const TYPE = Buffer.from('"type"');
const COLON = 0x3a;
const SPACE = 0x20;

/** The longest type, its key, and white space between: what has to be seen at once. */
const SEEN_BYTES = 64;
const NOTHING = Buffer.alloc(0);

/**
 * Counts the calls of a provider's tools in a Responses answer, over any chunk cuts: where no counter tells how often a tool
 * was used, its items do (OpenAI's price list counts them so). A type inside a text never matches: its quotes are escaped
 * there.
 */
export class ToolCalls {
  readonly #uses: Record<string, number> = {};
  /** The last bytes of what came, as many as a type may need. */
  #tail: Buffer = NOTHING;

  push(chunk: Buffer): void {
    if (this.#tail.length > 0) {
      const seam = Buffer.concat([this.#tail, chunk.subarray(0, SEEN_BYTES)]);
      this.#count(seam, this.#tail.length);
    }
    this.#count(chunk, this.#tail.length > 0 ? SEEN_BYTES : 0);
    const kept =
      chunk.length >= SEEN_BYTES ? chunk.subarray(-SEEN_BYTES) : Buffer.concat([this.#tail, chunk]);
    this.#tail = Buffer.from(kept.subarray(-SEEN_BYTES));
  }

  get uses(): ToolUses {
    return this.#uses;
  }

  /** Counts the types that end behind `from`. */
  #count(bytes: Buffer, from: number): void {
    let at = bytes.indexOf(END, Math.max(0, from - END.length + 1));
    for (; at >= 0; at = bytes.indexOf(END, at + END.length)) {
      const end = at + END.length;
      for (const [type, tool] of CALLS) {
        const start = end - type.length;
        if (start < 0 || type.compare(bytes, start, end) !== 0 || !isTypes(bytes, start)) continue;
        this.#uses[tool] = (this.#uses[tool] ?? 0) + 1;
      }
    }
  }
}

/** Whether the value that starts at `at` is one of a key `type`. */
function isTypes(bytes: Buffer, at: number): boolean {
  let end = beforeSpaces(bytes, at);
  if (bytes[end - 1] !== COLON) return false;
  end = beforeSpaces(bytes, end - 1);
  const start = end - TYPE.length;
  return start >= 0 && TYPE.compare(bytes, start, end) === 0;
}

function beforeSpaces(bytes: Buffer, at: number): number {
  let end = at;
  while (end > 0 && bytes[end - 1] === SPACE) end--;
  return end;
}

import type { Buffer } from 'node:buffer';
import { OUTLINE_PATHS, pathBits } from './json-paths.ts';
import type { JsonEvents, JsonScanner } from './json-scanner.ts';

const ROWS = OUTLINE_PATHS.rows.length;
const WANTED = pathBits(...Array.from({ length: ROWS - 1 }, (_, at) => at + 1));

/** Where the parts of a whole request body stand, read in one pass; nothing of it is copied. The last of two keys counts. */
export class RequestOutline implements JsonEvents {
  readonly body: Buffer;
  /** First byte and the one behind the last, by path; 0 for what is not there: a value never ends at 0. */
  readonly #from: number[] = new Array<number>(ROWS).fill(0);
  readonly #to: number[] = new Array<number>(ROWS).fill(0);
  #twice = 0;

  private constructor(body: Buffer) {
    this.body = body;
  }

  /**
   * @param body lent: the outline is good as long as it is
   * @returns null when no scan is free, or the body is no JSON
   */
  static of(scanner: JsonScanner, body: Buffer): RequestOutline | null {
    const scan = scanner.scan(OUTLINE_PATHS, WANTED);
    if (scan === undefined) return null;
    const outline = new RequestOutline(body);
    try {
      scan.feed(body, outline);
      return scan.isWhole ? outline : null;
    } finally {
      scan.release();
    }
  }

  valueStarts(path: number, at: number): void {
    if (this.#to[path] !== 0) this.#twice |= pathBits(path);
    this.#from[path] = at;
    this.#to[path] = 0;
  }

  valueEnds(path: number, at: number): void {
    this.#to[path] = at;
  }

  /** Whether it stands there more than once: providers differ in which one they read. */
  isTwice(path: number): boolean {
    return (this.#twice & pathBits(path)) !== 0;
  }

  /** A value's bytes as they stand in the body; null when it is not there. */
  at(path: number): Buffer | null {
    const to = this.#to[path] ?? 0;
    return to === 0 ? null : this.body.subarray(this.#from[path] ?? 0, to);
  }

  /**
   * A string's bytes without its quotes, escapes as they are written: enough to tell one from another.
   * @returns null for what is no string, or an empty one
   */
  text(path: number): Buffer | null {
    const value = this.at(path);
    return value === null || value[0] !== QUOTE || value.length < 3 ? null : value.subarray(1, -1);
  }
}

const QUOTE = 0x22;

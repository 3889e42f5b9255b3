import type { PathTable } from './json-paths.ts';
import type { JsonEvents, JsonScan, JsonScanner } from './json-scanner.ts';
import { ValueCapture } from './value-capture.ts';

/**
 * Most raw bytes kept of one value. The longest recorded usage object has 1.4 KB; Anthropic's `iterations` make it grow
 * by a quarter of a KB with every pass, and its counts must stay exact.
 */
export const CAPTURE_MAX_BYTES = 131_072;

const ROOT = 0;

/**
 * Keeps the raw bytes of the values at a few paths of one JSON text while it streams by: for usage that stands ahead of
 * a long answer, or in an event larger than any tail. The last value of a path wins. Paths must not lie in each other.
 * The root itself is not kept: where it ends is told.
 * Memory: a scan's slot, and at most CAPTURE_MAX_BYTES for each path that occurs.
 */
export class JsonCaptures implements JsonEvents {
  readonly #scan: JsonScan;
  readonly #captures: (ValueCapture | undefined)[] = [];
  /** Bits of the paths that occurred. */
  #seen = 0;
  #chunk: Buffer | null = null;
  #open: ValueCapture | undefined;
  #from = 0;
  #lends = false;
  /** The open value began in this chunk. */
  #beganHere = false;
  /** The text is over, where the root was asked for: what follows is not its. */
  hasEnded = false;
  /** Where in the chunk pushed last it was over. */
  endedAt = 0;

  constructor(scan: JsonScan) {
    this.#scan = scan;
  }

  /**
   * @param wanted bits of the table's paths (see `pathBits`)
   * @returns undefined when no scan is free
   */
  static open(scanner: JsonScanner, table: PathTable, wanted: number): JsonCaptures | undefined {
    const scan = scanner.scan(table, wanted);
    return scan === undefined ? undefined : new JsonCaptures(scan);
  }

  /**
   * Reads the text's next bytes.
   * @param lends what is found is asked for while `chunk` is still valid: what lies whole in it need not be copied
   */
  push(chunk: Buffer, lends = false): void {
    this.#chunk = chunk;
    this.#from = 0;
    this.#lends = lends;
    this.#beganHere = false;
    this.#scan.feed(chunk, this);
    this.#open?.take(chunk, this.#from, chunk.length);
    this.#chunk = null;
  }

  valueStarts(path: number, at: number): void {
    if (path === ROOT) return;
    this.#seen |= 1 << path;
    let capture = this.#captures[path];
    if (capture === undefined) {
      capture = new ValueCapture(CAPTURE_MAX_BYTES);
      this.#captures[path] = capture;
    }
    capture.begin();
    this.#open = capture;
    this.#from = at;
    this.#beganHere = true;
  }

  valueEnds(path: number, at: number): void {
    if (path === ROOT) {
      this.hasEnded = true;
      this.endedAt = at;
      return;
    }
    if (this.#chunk !== null) {
      if (this.#lends && this.#beganHere) this.#open?.lend(this.#chunk, this.#from, at);
      else this.#open?.take(this.#chunk, this.#from, at);
    }
    this.#open = undefined;
  }

  /** False when no value was seen at `path`: most texts have few of those that are asked for. */
  has(path: number): boolean {
    return ((this.#seen >>> path) & 1) === 1;
  }

  /** True when the bytes so far are one JSON text. Captures hold what was seen either way. */
  get isJson(): boolean {
    return this.#scan.isWhole;
  }

  /** The last value seen at `path`: raw bytes, whether they were cut, how often the path occurred. */
  at(path: number): Omit<ValueCapture, 'begin' | 'lend' | 'take'> | undefined {
    const capture = this.#captures[path];
    // A value that the text's end cut off is no value.
    return capture === this.#open ? undefined : capture;
  }

  release(): void {
    this.#scan.release();
  }
}

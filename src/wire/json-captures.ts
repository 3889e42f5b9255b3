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
 * Captures that wait for the next text, on this thread: a text that is whole in its chunk is read within one call, so that
 * one of them serves nearly all; more are out only for texts that chunks cut.
 */
const IDLE_MAX = 4;
const IDLE: JsonCaptures[] = [];
/** Values that one of them keeps room for. */
const IDLE_VALUES_MAX = 8;

/**
 * Keeps the raw bytes of the values at a few paths of one JSON text while it streams by: for usage that stands ahead of
 * a long answer, or in an event larger than any tail. The last value of a path wins. Paths must not lie in each other.
 * The root itself is not kept: where it ends is told.
 * Memory: a scan's slot, and at most CAPTURE_MAX_BYTES for each path that occurs.
 */
export class JsonCaptures implements JsonEvents {
  #scan: JsonScan;
  /** In the order in which their paths occurred first; few do of those that are asked for. */
  readonly #captures: ValueCapture[] = [];
  readonly #paths: number[] = [];
  #count = 0;
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
    if (scan === undefined) return undefined;
    const idle = IDLE.pop();
    if (idle === undefined) return new JsonCaptures(scan);
    idle.#scan = scan;
    return idle;
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
    const capture = this.#find(path) ?? this.#add(path);
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
    const capture = this.#find(path);
    // A value that the text's end cut off is no value.
    return capture === this.#open ? undefined : capture;
  }

  release(): void {
    this.#scan.release();
  }

  /** Released, and nothing of it will be asked any more: it may be the next text's. */
  recycle(): void {
    this.#scan.release();
    if (IDLE.length >= IDLE_MAX) return;
    if (this.#captures.length > IDLE_VALUES_MAX) this.#captures.length = IDLE_VALUES_MAX;
    for (const capture of this.#captures) capture.reset();
    this.#count = 0;
    this.#seen = 0;
    this.#open = undefined;
    this.hasEnded = false;
    this.endedAt = 0;
    IDLE.push(this);
  }

  #find(path: number): ValueCapture | undefined {
    if (!this.has(path)) return undefined;
    let at = 0;
    while (this.#paths[at] !== path) at++;
    return this.#captures[at];
  }

  #add(path: number): ValueCapture {
    const at = this.#count++;
    this.#seen |= 1 << path;
    this.#paths[at] = path;
    const kept = this.#captures[at];
    if (kept !== undefined) return kept;
    const made = new ValueCapture(CAPTURE_MAX_BYTES);
    this.#captures[at] = made;
    return made;
  }
}

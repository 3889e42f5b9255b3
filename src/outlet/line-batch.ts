import { Buffer } from 'node:buffer';

/**
 * How long a line may wait for others, in milliseconds: a message to the main thread costs more than a line. It is also what a
 * `kill -9` takes of a worker's facts. 25 were tried: 0.99 (0.95 to 1.04) of a metered request's CPU in a flood, no gain at 200
 * requests a second that could be told from noise, which is not worth facts.
 */
const BATCH_MS = 10;

/**
 * A batch of this size goes at once, in bytes. More than a busy worker gathers in that time: with 64 KiB, which were full in
 * 4 ms, the messages of a flood cost 1.5 us a fact more, on three threads.
 */
const BATCH_BYTES = 262_144;

const LF = 0x0a;

/**
 * Gathers a worker's log lines into few messages. As bytes, because a string put together of a hundred lines is copied
 * twice more on its way to the main thread, and its message cost 2.7 us a line here.
 */
export class LineBatch {
  readonly #send: (lines: Uint8Array<ArrayBuffer>) => void;
  /** What is gathered; for who writes a line of its own where `open` says. */
  bytes = Buffer.allocUnsafeSlow(BATCH_BYTES);
  #length = 0;
  #timer: NodeJS.Timeout | null = null;

  /** @param send takes whole lines, each ended by a newline, and owns their buffer */
  constructor(send: (lines: Uint8Array<ArrayBuffer>) => void) {
    this.#send = send;
  }

  /** @param line in ASCII, without its newline */
  add(line: string): void {
    const at = this.open(line.length);
    this.close(at + this.bytes.write(line, at, 'latin1'));
  }

  /**
   * Room for a line that is written in place. What is not closed before the next one counts for nothing.
   * @param lineBytes without its newline
   * @returns where in `bytes` it begins
   */
  open(lineBytes: number): number {
    const bytes = lineBytes + 1;
    if (this.#length + bytes > BATCH_BYTES) this.#sendAll();
    // A line longer than a batch: a request target can have 36 KiB.
    if (bytes > this.bytes.length) this.bytes = Buffer.allocUnsafeSlow(bytes);
    return this.#length;
  }

  /** The line that was opened is there: it ends before `end`. */
  close(end: number): void {
    this.bytes[end] = LF;
    this.#length = end + 1;
    if (this.#length >= BATCH_BYTES) this.#sendAll();
    // One that is set stays: where batches fill up, it need not be set anew for each.
    else this.#timer ??= setTimeout(() => this.flush(), BATCH_MS);
  }

  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#sendAll();
  }

  #sendAll(): void {
    if (this.#length === 0) return;
    // Not filled with zeros first.
    const lines = Buffer.allocUnsafeSlow(this.#length);
    this.bytes.copy(lines, 0, 0, this.#length);
    this.#length = 0;
    this.#send(lines);
  }
}

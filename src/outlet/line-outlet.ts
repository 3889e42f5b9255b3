import type { ByteSink } from './stdout.ts';

/** Takes facts that stdout does not. Nothing here waits for it. */
export interface Spill {
  /**
   * @param lines whole ones; owned from then on
   * @returns false when there is no room: then nobody has them
   */
  append(lines: Uint8Array): boolean;
  /** Lines that it has brought to where they are kept. */
  readonly written: number;
  /** Of what it has taken and not yet written; at most `maxBytes`. */
  readonly waitingBytes: number;
  readonly maxBytes: number;
  /** A thread of Node's pool is in a system call, for which the end of the process would wait. */
  readonly isBusy: boolean;
  /** Told when something was written, or could not be. */
  onProgress: () => void;
  /** Told when writing begins to fail, and when it works again. */
  onChange: (error: Error | null) => void;
  /**
   * Takes no more, and resolves when all is written, or after `limitMs`.
   * @returns lines that were not written
   */
  close(limitMs: number): Promise<number>;
}

/**
 * Log lines that wait for a reader of stdout, in bytes. A consumer that stalls must not stop the relay: at this size
 * (half a minute of access log at 2,000 requests a second) lines are dropped and counted.
 */
export const LOG_QUEUE_MAX_BYTES = 16 * 1_048_576;

/**
 * Usage facts that wait, in bytes: apart from the log, which must not push them out. About 80,000 facts, 40 s of a node
 * that meters 2,000 requests a second. What does not fit is spilled.
 */
export const FACT_QUEUE_MAX_BYTES = 64 * 1_048_576;

/** Handed to stdout at once, in bytes: enough that a fast reader costs few system calls. */
const WRITE_BYTES = 262_144;

/**
 * Shares of those bounds: from the first one on there is said to be no more room, so that what is under way still finds
 * some; below the second one there is room again.
 */
const NO_ROOM_FROM = 3 / 4;
const ROOM_BELOW = 1 / 2;

const LF = 0x0a;

interface Batch {
  readonly lines: Uint8Array;
  readonly isFacts: boolean;
}

/**
 * The one way to stdout: whole lines, never mixed, bounded. Log lines that find no room are dropped; facts are spilled,
 * and where that fails too, lost and counted. Nothing here ever waits for a reader.
 */
export class LineOutlet {
  readonly #out: ByteSink;
  readonly #spill: Spill | null;
  readonly #queue: Batch[] = [];
  #writing: readonly Batch[] = [];
  #logBytes = 0;
  #factBytes = 0;
  /** Nothing will be written any more. */
  #isBroken = false;
  #writeFails = false;
  #waiting: (() => void)[] = [];
  /** Log lines that nobody took. */
  linesDropped = 0;
  factsLost = 0;
  #hasRoom = true;
  /** Told when a fact that comes now would be lost, and when it is kept again. */
  onRoomChange: (hasRoom: boolean) => void = () => {};
  /** Told when writing begins to fail, and when it works again. */
  onWriteChange: (error: Error | null) => void = () => {};

  /** @param spill where facts go that stdout does not take; null = nowhere */
  constructor(out: ByteSink, spill: Spill | null) {
    this.#out = out;
    this.#spill = spill;
    if (spill !== null) spill.onProgress = () => this.#judgeRoom();
  }

  /** Whether a fact that comes now will be kept. */
  get hasRoom(): boolean {
    return this.#hasRoom;
  }

  /** Whoever read stdout has gone, for good. */
  get isGone(): boolean {
    return this.#isBroken;
  }

  /** Facts that the spill has kept. */
  get factsSpilled(): number {
    return this.#spill?.written ?? 0;
  }

  /** A thread of Node's pool is in a system call, for which the end of the process would wait. */
  get isBusy(): boolean {
    return this.#out.isBusy || this.#spill?.isBusy === true;
  }

  /** @param lines each ended by a newline; owned from then on */
  log(lines: Uint8Array): void {
    if (this.#isBroken || this.#logBytes + lines.length > LOG_QUEUE_MAX_BYTES) {
      this.linesDropped += countLines(lines);
      return;
    }
    this.#logBytes += lines.length;
    this.#push({ lines, isFacts: false });
  }

  /** @param lines usage facts, each ended by a newline; owned from then on */
  facts(lines: Uint8Array): void {
    if (this.#isBroken || this.#factBytes + lines.length > FACT_QUEUE_MAX_BYTES) {
      this.#spillFacts(lines);
    } else {
      this.#factBytes += lines.length;
      this.#push({ lines, isFacts: true });
    }
    this.#judgeRoom();
  }

  /** Resolves when everything was taken, or after `limitMs`. */
  async flush(limitMs: number): Promise<void> {
    if (this.#isIdle) return;
    await new Promise<void>((resolve) => {
      const limit = setTimeout(resolve, limitMs);
      this.#waiting.push(() => {
        clearTimeout(limit);
        resolve();
      });
    });
  }

  /**
   * The process ends: facts that stdout has not confirmed are spilled, or counted as lost. Those in the write that is
   * under way may have been taken as well; `request_id` tells. Resolves after `limitMs` at the latest.
   */
  async close(limitMs: number): Promise<void> {
    // Nothing comes any more: whether there is room for it is no question.
    this.onRoomChange = () => {};
    this.#break();
    this.factsLost += (await this.#spill?.close(limitMs)) ?? 0;
  }

  get #isIdle(): boolean {
    return this.#writing.length === 0 && this.#queue.length === 0;
  }

  #push(batch: Batch): void {
    this.#queue.push(batch);
    if (this.#writing.length === 0) this.#write();
  }

  #write(): void {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && (count === 0 || bytes < WRITE_BYTES)) {
      bytes += this.#queue[count++]?.lines.length ?? 0;
    }
    const batches = this.#queue.splice(0, count);
    this.#writing = batches;
    this.#out.write(joined(batches.map(({ lines }) => lines)), (error) => {
      if (this.#isBroken) return;
      this.#tellWrite(error);
      if (error !== null && this.#out.isGone) {
        this.#break();
        return;
      }
      this.#writing = [];
      for (const batch of batches) this.#taken(batch);
      this.#judgeRoom();
      // What a full disk did not take may be in part on it: `request_id` tells.
      if (error !== null) this.#leave(batches);
      if (this.#queue.length > 0) this.#write();
      else this.#wake();
    });
  }

  #tellWrite(error: Error | null): void {
    if ((error !== null) === this.#writeFails) return;
    this.#writeFails = error !== null;
    this.onWriteChange(error);
  }

  /** Stdout did not take these. */
  #leave(batches: readonly Batch[]): void {
    for (const { lines, isFacts } of batches) {
      if (isFacts) this.#spillFacts(lines);
      else this.linesDropped += countLines(lines);
    }
  }

  #judgeRoom(): void {
    const share = this.#hasRoom ? NO_ROOM_FROM : ROOM_BELOW;
    const inQueue = !this.#isBroken && this.#factBytes < FACT_QUEUE_MAX_BYTES * share;
    const inSpill = this.#spill !== null && this.#spill.waitingBytes < this.#spill.maxBytes * share;
    const hasRoom = inQueue || inSpill;
    if (hasRoom === this.#hasRoom) return;
    this.#hasRoom = hasRoom;
    this.onRoomChange(hasRoom);
  }

  #taken({ lines, isFacts }: Batch): void {
    if (isFacts) this.#factBytes -= lines.length;
    else this.#logBytes -= lines.length;
  }

  /** Stdout takes nothing any more. */
  #break(): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    const left = [...this.#writing, ...this.#queue.splice(0)];
    this.#writing = [];
    this.#logBytes = 0;
    this.#factBytes = 0;
    this.#leave(left);
    this.#judgeRoom();
    this.#wake();
  }

  #spillFacts(lines: Uint8Array): void {
    if (this.#spill?.append(lines) !== true) this.factsLost += countLines(lines);
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** One piece, which is not copied where it is one already. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const [first] = pieces;
  return pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces);
}

export function countLines(lines: Uint8Array): number {
  let count = 0;
  for (let at = lines.indexOf(LF); at >= 0; at = lines.indexOf(LF, at + 1)) count++;
  return count;
}

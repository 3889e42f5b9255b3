import { constants, fstatSync, openSync, write } from 'node:fs';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** Takes bytes, in order: the next piece is given when the last one is done. */
export interface ByteSink {
  /** @param done told an error when not all of it was taken */
  write(bytes: Uint8Array, done: (error: Error | null) => void): void;
  /** True when nothing will be taken any more. */
  readonly isGone: boolean;
  /** A thread of Node's pool is in a system call, for which the end of the process would wait. */
  readonly isBusy: boolean;
}

const STDOUT = 1;
const LF = 0x0a;
const NEWLINE = Buffer.of(LF);

/**
 * Opens stdout so that a reader that stalls stops nobody.
 *
 * Decision: not process.stdout, whose writes to a pipe block the thread, and not the thread pool: a write that is stuck
 * there takes a thread from DNS and files, and the process could not even exit (measured with pino's own destination).
 * A pipe is opened anew instead, which gives this process an open file description of its own: O_NONBLOCK on the
 * inherited one would also hold for whoever shares it.
 */
export function openStdout(): ByteSink {
  const stat = fstatSync(STDOUT);
  if (stat.isFIFO()) return new StreamSink(socketOf(ownPipe()));
  if (stat.isSocket()) return new StreamSink(socketOf(STDOUT));
  // Files and terminals do not stall.
  return new FileSink(STDOUT);
}

function socketOf(fd: number): Socket {
  return new Socket({ fd, readable: false, writable: true });
}

function ownPipe(): number {
  try {
    return openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // No /proc, or a pipe of another user: then the inherited one.
    return STDOUT;
  }
}

/** A pipe or a socket: its reader may go away, and then it stays away. */
export class StreamSink implements ByteSink {
  readonly #stream: Writable;
  /** Written without blocking. */
  readonly isBusy = false;
  /** Of the write that is under way. */
  #done: ((error: Error | null) => void) | null = null;
  #gone: Error | null = null;

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.on('error', (error) => this.#end(error));
    stream.on('close', () => this.#end(new Error('closed')));
  }

  get isGone(): boolean {
    return this.#gone !== null;
  }

  write(bytes: Uint8Array, done: (error: Error | null) => void): void {
    if (this.#gone !== null) {
      done(this.#gone);
      return;
    }
    this.#done = done;
    this.#stream.write(bytes, (error) => {
      if (error == null) this.#tell(null);
    });
  }

  #end(error: Error): void {
    this.#gone ??= error;
    this.#tell(this.#gone);
  }

  #tell(error: Error | null): void {
    const done = this.#done;
    this.#done = null;
    done?.(error);
  }
}

/** A file or a terminal: a disk that is full now may have room later. */
export class FileSink implements ByteSink {
  readonly isGone = false;
  isBusy = false;
  readonly #fd: number;
  /** The last thing written was part of a line. */
  #isTorn = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(bytes: Uint8Array, done: (error: Error | null) => void): void {
    this.#writeFrom(this.#isTorn ? Buffer.concat([NEWLINE, bytes]) : bytes, 0, done);
  }

  #writeFrom(bytes: Uint8Array, at: number, done: (error: Error | null) => void): void {
    this.isBusy = true;
    write(this.#fd, bytes, at, bytes.length - at, null, (error, written) => {
      this.isBusy = false;
      const end = error === null ? at + written : at;
      if (end > 0) this.#isTorn = bytes[end - 1] !== LF;
      if (error !== null) done(error);
      else if (end < bytes.length) this.#writeFrom(bytes, end, done);
      else done(null);
    });
  }
}

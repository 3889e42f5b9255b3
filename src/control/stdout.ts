import { constants, createWriteStream, fstatSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

const STDOUT = 1;

/**
 * Opens stdout so that a reader that stalls stops nobody.
 *
 * Decision: not process.stdout, whose writes to a pipe block the thread, and not the thread pool: a write that is stuck
 * there takes a thread from DNS and files, and the process could not even exit (measured with pino's own destination).
 * A pipe is opened anew instead, which gives this process an open file description of its own: O_NONBLOCK on the
 * inherited one would also hold for whoever shares it.
 */
export function openStdout(): Writable {
  const stat = fstatSync(STDOUT);
  if (stat.isFIFO()) return new Socket({ fd: ownPipe(), readable: false, writable: true });
  if (stat.isSocket()) return new Socket({ fd: STDOUT, readable: false, writable: true });
  // Files and terminals do not stall.
  return createWriteStream('', { fd: STDOUT, autoClose: false });
}

function ownPipe(): number {
  try {
    return openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // No /proc, or a pipe of another user: then the inherited one.
    return STDOUT;
  }
}

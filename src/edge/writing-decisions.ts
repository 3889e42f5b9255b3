import type { ResponseSize } from './door.ts';

/**
 * What one cork may hold, in bytes, framing counted. The front end's cork buffer has 16,384; a write that does not fit
 * flushes it first, and if that flush fails the new piece is dropped while write() says "buffered" (161 of 200
 * responses damaged). At 15,000 and less per cork: 0 of 200, and 0 of 30 over TLS (platform facts B).
 */
export const CORK_BUDGET_BYTES = 15_000;

/** What the front end adds itself: `Date`, `Transfer-Encoding: chunked` or `Content-Length`, and one chunk's framing. */
export const FRAMING_BYTES = 128;

/** A longer head leaves in a cork of its own. */
const HEAD_ALONE_BYTES = 12_000;

/**
 * Sized bodies go through tryEnd, which never drops: it takes what fits and says how much. Bigger pieces mean fewer
 * system calls; one upstream read is at most 64 KiB.
 */
export const SIZED_PIECE_BYTES = 65_536;

/**
 * The kernel takes so much of a response whether or not its client reads (SEND_BUFFER_BYTES has room for more). Behind
 * it, chunks from PROBE_FROM_BYTES on, all chunks of a client that was ever slow, and what may be the message's end leave
 * in two corks, the last byte alone. A cork's flush can fail silently; only the next write that carries data reports it.
 * Without that probe the end of a message is declared while its tail waits in the front end, whose 10 s timer then cuts
 * a client that does not read for so long (17 of 241 lengths around a full connection; with it none). Over TLS no such
 * end was met without it (0 of 1,060 lengths), so no test fails there; it stays on, because nothing promises that.
 */
export const UNREAD_BYTES = 65_536;
export const PROBE_FROM_BYTES = 4_096;

/** What the decisions below are made from: how far one response has come. */
export interface WritingProgress {
  size: ResponseSize;
  /** Of the head as long as it was not written; 0 afterwards. */
  headBytes: number;
  /** Body bytes off our hands. */
  bytesOut: number;
  /** The client was slow at least once. */
  slow: boolean;
  /** What was given last may be the end of the message. */
  mayBeLast: boolean;
}

/** Whether the head fills a cork of its own, so that nothing may share it. */
export function headLeavesAlone(headBytes: number): boolean {
  return headBytes > HEAD_ALONE_BYTES;
}

/** How many of the next `chunkBytes` bytes (1 or more) one cork may carry: 1 or more. */
export function pieceBytes(progress: WritingProgress, chunkBytes: number): number {
  const { size, headBytes } = progress;
  const unprobed = isProbed(progress, chunkBytes) ? chunkBytes - 1 : chunkBytes;
  if (typeof size === 'number') return Math.min(unprobed, SIZED_PIECE_BYTES);
  const budget = CORK_BUDGET_BYTES - FRAMING_BYTES;
  return Math.min(unprobed, headLeavesAlone(headBytes) ? budget : budget - headBytes);
}

/** Whether a chunk's last byte waits for a cork of its own. Of a sized body only the very last one has to. */
export function isProbed(progress: WritingProgress, chunkBytes: number): boolean {
  const { size, bytesOut, slow, mayBeLast } = progress;
  if (chunkBytes === 1) return false;
  if (!slow && bytesOut + chunkBytes <= UNREAD_BYTES) return false;
  if (!slow && !mayBeLast && chunkBytes < PROBE_FROM_BYTES) return false;
  return typeof size !== 'number' || bytesOut + chunkBytes >= size;
}

/** Whether the message's end may share a cork with its last piece: only where nothing of it can be left behind. */
export function endSharesCork(progress: WritingProgress, lastBytes: number): boolean {
  const { size, headBytes, bytesOut, slow } = progress;
  if (slow || headLeavesAlone(headBytes)) return false;
  if (size === 'chunked') return bytesOut + lastBytes <= UNREAD_BYTES;
  // A sized message: nothing of it has left, and all of it fits.
  if (headBytes === 0 || lastBytes !== size) return false;
  return headBytes + lastBytes + FRAMING_BYTES <= CORK_BUDGET_BYTES;
}

/** Whether a sized body has fewer bytes than its head promised: then it must not end, but be cut. */
export function isShort({ size, bytesOut }: WritingProgress): boolean {
  return typeof size === 'number' && bytesOut < size;
}

import { readSync } from 'node:fs';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type KernelCalls, kernelCalls } from '../../kernel-calls.ts';

/** What the kernel knows of a peer and Node does not tell. Only for `_handle`, which Node has on sockets. */

const ONE_BYTE = Buffer.alloc(1);

/** poll(2): a `struct pollfd` is a descriptor and two shorts, asked and told. */
const POLLED = new Int32Array(2);
const POLLED_EVENTS = new Int16Array(POLLED.buffer);
const POLLIN = 1;

/**
 * Whether what Node told as a peer's orderly end was in truth a reset.
 *
 * libuv (1.x, `uv__stream_io` in src/unix/stream.c) makes an end of every hang-up that comes together with the last
 * bytes, resets included: measured here, 2 of 3 resets right behind a response's bytes. For a content that only the
 * connection's end delimits, that would be a cut taken for a clean end. The kernel keeps the error until somebody reads
 * it, so this reads (test/faults/breaks.test.ts breaks without it).
 * Not for TLS: by the time its end is told, our own farewell may have been answered with a reset.
 */
export function wasReset(socket: Socket): boolean {
  if (socket instanceof TLSSocket) return false;
  const fd = descriptor(socket);
  if (fd < 0) return false;
  try {
    return readSync(fd, ONE_BYTE) > 0;
  } catch {
    return true;
  }
}

/**
 * One look at a connection that nobody uses, which blocks nothing: whether the kernel holds neither bytes of its peer, nor
 * its end, nor an error. The loop learns of them only when it comes round, and a request that is sent before that has met
 * a dead connection. What TLS makes of bytes is not looked into: a farewell, an alert and half of a record are bytes that
 * nobody asked for, like any other.
 *
 * Costs 0.4 us through poll(2). Without that call it is a read of one byte that finds none, at 3 us, most of them for the
 * exception; a byte that it does find is lost to a connection that ends here.
 */
export function isQuiet(socket: Socket, calls: KernelCalls | null = kernelCalls()): boolean {
  const fd = descriptor(socket);
  if (fd < 0) return !socket.destroyed;
  if (calls === null) return hasNothingToRead(fd);
  POLLED[0] = fd;
  POLLED_EVENTS[2] = POLLIN;
  return calls.poll(POLLED, 1, 0) === 0;
}

function hasNothingToRead(fd: number): boolean {
  try {
    readSync(fd, ONE_BYTE);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EAGAIN';
  }
}

/**
 * Its peer's address, as the system writes it; empty when it has none. Node's own `remoteAddress` keeps an object of it on
 * the socket, which costs more than a hundred bytes for as long as it is open.
 */
export function peerAddress(socket: Socket): string {
  const told: { readonly address?: string } = {};
  const { _handle: handle } = socket as Handled;
  if (handle?.getpeername === undefined) return socket.remoteAddress ?? '';
  return handle.getpeername(told) === 0 ? (told.address ?? '') : '';
}

type Handled = Socket & {
  readonly _handle?: { readonly fd?: number; getpeername?(told: object): number } | null;
};

/** @returns -1 when there is none */
export function descriptor(socket: Socket): number {
  return (socket as Handled)._handle?.fd ?? -1;
}

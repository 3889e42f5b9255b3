import { readSync } from 'node:fs';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

const ONE_BYTE = Buffer.alloc(1);

/**
 * Whether what Node told as a peer's orderly end was in truth a reset.
 *
 * libuv (1.x, `uv__stream_io` in src/unix/stream.c) makes an end of every hang-up that comes together with the last
 * bytes, resets included: measured here, 2 of 3 resets right behind a response's bytes. For a content that only the
 * connection's end delimits, that would be a cut taken for a clean end. The kernel keeps the error until somebody reads
 * it, so this reads. Only for `_handle.fd`, which Node has on sockets (test/faults/breaks.test.ts breaks without it).
 * Not for TLS: by the time its end is told, our own farewell may have been answered with a reset.
 */
export function wasReset(socket: Socket): boolean {
  if (socket instanceof TLSSocket) return false;
  const { _handle: handle } = socket as Socket & {
    readonly _handle?: { readonly fd?: number } | null;
  };
  if (handle?.fd === undefined || handle.fd < 0) return false;
  try {
    return readSync(handle.fd, ONE_BYTE) > 0;
  } catch {
    return true;
  }
}

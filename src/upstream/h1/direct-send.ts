import type { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type KernelCalls, kernelCalls } from '../../kernel-calls.ts';
import { descriptor } from './peer-state.ts';

// asm-generic/socket.h, as on every Linux that uWebSockets.js has a binary for: the call does not wait, and no signal is
// raised. Other systems have other numbers.
const IS_LINUX = process.platform === 'linux';
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** Whether bytes for a plain connection can be given to the kernel past Node's stream. */
export function canSendDirectly(): boolean {
  return IS_LINUX && kernelCalls() !== null;
}

/**
 * Gives bytes to the kernel past Node's stream, which keeps books of each write and comes back to it in a later turn: 2 us
 * of a request on a busy machine. Only on a plain connection that stands, and behind which nothing waits.
 * @param calls null: there is no such call here
 * @returns how many it took; 0 where the stream has to write them, or to say what is wrong
 */
export function sendDirectly(
  socket: Socket,
  bytes: Buffer,
  calls: KernelCalls | null = IS_LINUX ? kernelCalls() : null,
): number {
  if (calls === null || socket instanceof TLSSocket) return 0;
  if (!socket.writable || socket.writableLength > 0) return 0;
  const fd = descriptor(socket);
  return fd < 0 ? 0 : Math.max(0, calls.send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL));
}

import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** System calls that Node has no door to. */
export interface KernelCalls {
  /** setsockopt(2). @returns 0, or -1 */
  setsockopt(fd: number, level: number, name: number, value: Int32Array, bytes: number): number;
  /** poll(2). @param fds `struct pollfd`s @returns how many of them have something to tell, or -1 */
  poll(fds: Int32Array, count: number, timeoutMs: number): number;
  /** send(2). @returns how many bytes the kernel took, or -1 */
  send(fd: number, bytes: Uint8Array, count: number, flags: number): number;
}

let calls: KernelCalls | null | undefined;

/**
 * The system's C library through koffi, or null where that binary does not load: an architecture that it has none for,
 * a file system without execution, an installation without it. Whoever asks has a way without.
 *
 * Loaded by the first who asks: a thread that is ended while it loads this binary aborts the process (2 of 120 starts on
 * a port that was taken), and the first worker loads its modules before anybody knows whether there will be a start.
 */
export function kernelCalls(): KernelCalls | null {
  if (calls === undefined) calls = loaded();
  return calls;
}

function loaded(): KernelCalls | null {
  try {
    const koffi = require('koffi') as typeof import('koffi');
    const library = koffi.load(null);
    return {
      setsockopt: library.func(
        'int setsockopt(int fd, int level, int name, const void *value, uint32_t bytes)',
      ),
      poll: library.func('int poll(void *fds, unsigned long count, int timeout)'),
      send: library.func('long send(int fd, const void *bytes, unsigned long count, int flags)'),
    };
  } catch {
    return null;
  }
}

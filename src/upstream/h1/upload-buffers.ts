import { Buffer } from 'node:buffer';

/** One has room for what the front end reads at once (512 KiB, uSockets' receive buffer) and a chunk's framing, in bytes. */
export const UPLOAD_BUFFER_BYTES = 524_288 + 64;

/** Of one thread: 2 MiB that stay once an upload was large. An upload that waits for its provider has one or two of them. */
export const UPLOAD_BUFFERS_MAX = 4;

/** What is smaller is copied into a buffer of its own: a stalled upload of a few bytes must not hold half a MiB. */
export const UPLOAD_BUFFER_MIN_BYTES = 32_768;

/** A buffer that the pieces of uploads are copied into, one after the other. */
export interface UploadBuffer {
  readonly bytes: Buffer;
  /** For whoever writes it, to be called once, when nothing reads it any more. */
  readonly written: (error?: Error | null) => void;
}

/**
 * The buffers of large uploads, used again and again. A new one for each piece lay around until the collector came by, and
 * was given back to the system by a thread that a busy machine runs late: 1 GiB to a slow provider rose 9 to 34 MiB
 * above idle (test/support/upload-memory.ts).
 */
export class UploadBuffers {
  readonly #free: UploadBuffer[] = [];
  #made = 0;

  /** Those that somebody writes. */
  get taken(): number {
    return this.#made - this.#free.length;
  }

  /**
   * @param bytes that it has to hold
   * @returns null where a buffer of its own is better, or none is free
   */
  take(bytes: number): UploadBuffer | null {
    if (bytes < UPLOAD_BUFFER_MIN_BYTES || bytes > UPLOAD_BUFFER_BYTES) return null;
    const free = this.#free.pop();
    if (free !== undefined) return free;
    return this.#made < UPLOAD_BUFFERS_MAX ? this.#make() : null;
  }

  #make(): UploadBuffer {
    this.#made++;
    const made: UploadBuffer = {
      bytes: Buffer.allocUnsafeSlow(UPLOAD_BUFFER_BYTES),
      written: (error) => {
        // A write that failed may still be under way in the kernel's or the library's hands: that one is not used again.
        if (error == null) this.#free.push(made);
        else this.#made--;
      },
    };
    return made;
  }
}

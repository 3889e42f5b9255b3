import { createHash } from 'node:crypto';
import { seededRandom } from './fixtures.ts';

/** No power of two, so that a lost, doubled or swapped block of any usual size shows. */
const PERIOD_BYTES = 1_048_573;
const PERIOD = (() => {
  const random = seededRandom(0x51_1c_e);
  const once = Uint8Array.from({ length: PERIOD_BYTES }, () => random() * 256);
  return Buffer.concat([once, once]);
})();

/** A body of any length of which each byte is known, without ever being in memory as a whole. */
export class KnownBytes {
  readonly length: number;
  readonly #shift: number;

  /** @param seed bodies of different seeds differ */
  constructor(length: number, seed: number) {
    this.length = length;
    this.#shift = seed % PERIOD_BYTES;
  }

  /** @param length at most one period (1 MiB); less is returned at the end */
  slice(from: number, length: number): Buffer {
    const at = (from + this.#shift) % PERIOD_BYTES;
    const wanted = Math.min(length, PERIOD_BYTES, this.length - from);
    return PERIOD.subarray(at, at + wanted);
  }

  sha256(): string {
    const hash = createHash('sha256');
    for (let at = 0; at < this.length; at += PERIOD_BYTES)
      hash.update(this.slice(at, PERIOD_BYTES));
    return hash.digest('hex');
  }
}

/** Compares a body with what it has to be while it arrives. */
export class BodyCheck {
  readonly #expected: KnownBytes;
  bytes = 0;
  /** Offset of the first piece with a wrong byte in it; null as long as all is right. */
  wrongAt: number | null = null;

  constructor(expected: KnownBytes) {
    this.#expected = expected;
  }

  push(piece: Buffer): void {
    for (let at = 0; at < piece.length; ) {
      const right = this.#expected.slice(this.bytes, piece.length - at);
      if (right.length === 0 || !right.equals(piece.subarray(at, at + right.length))) {
        this.wrongAt ??= this.bytes;
        this.bytes += piece.length - at;
        return;
      }
      at += right.length;
      this.bytes += right.length;
    }
  }

  get whole(): boolean {
    return this.wrongAt === null && this.bytes === this.#expected.length;
  }
}

/**
 * A keyed 64-bit hash of a credential: HalfSipHash-1-3 over its Latin-1 bytes, two words of output.
 *
 * Decision: keyed, because whoever knows the hash could send credentials that share a stranger's bucket; a SipHash,
 * because without the key (random per boot) collisions cannot be prepared at home; its 32-bit form, because that is
 * what JavaScript integers do: 0.4 µs for a token, where node:crypto's cheapest digest takes more than 1 µs.
 * The first word is HalfSipHash-1-3's 32-bit tag (the Linux kernel's `hsiphash` on 32-bit machines, whose test
 * vectors pin it), the second one is squeezed from the same state in the manner of the 64-bit form.
 */

/** Longer than any token: of what is longer only this much counts, so that a head of 32 KiB costs no more than a token. */
const SCRATCH_BYTES = 256;

// Constants of SipHash: "lyge" and "tedb" as little-endian words.
const INIT_2 = 0x6c796765;
const INIT_3 = 0x74656462;

/** One hasher per thread: `update`, then read both words. */
export class CredentialHash {
  /** First word of the last hash, int32. */
  first = 0;
  /** Second word of the last hash, int32. */
  second = 0;
  readonly #key0: number;
  readonly #key1: number;
  readonly #bytes = Buffer.alloc(SCRATCH_BYTES + 4);
  readonly #words = new Int32Array(
    this.#bytes.buffer,
    this.#bytes.byteOffset,
    this.#bytes.length >> 2,
  );

  /** The 64-bit key as two int32, low word first. */
  constructor(key0: number, key1: number) {
    this.#key0 = key0;
    this.#key1 = key1;
  }

  /** Hashes a credential; characters beyond U+00FF count by their low byte. */
  update(credential: string): void {
    const words = this.#words;
    const length = this.#bytes.write(credential, 0, SCRATCH_BYTES, 'latin1');
    // The last word holds the bytes left over, and the length modulo 256 on top.
    const last = length >> 2;
    const left = (words[last] ?? 0) & ((1 << ((length & 3) << 3)) - 1);
    words[last] = left | (length << 24);
    this.#absorb(last + 1);
  }

  #absorb(count: number): void {
    const words = this.#words;
    let v0 = this.#key0;
    let v1 = this.#key1;
    let v2 = INIT_2 ^ this.#key0;
    let v3 = INIT_3 ^ this.#key1;
    // One round per word, then three without input for each word of output.
    const rounds = count + 6;
    for (let i = 0; i < rounds; i++) {
      const word = i < count ? (words[i] ?? 0) : 0;
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
      if (i === count - 1) v2 ^= 0xff;
      if (i === count + 2) {
        this.first = v1 ^ v3;
        v1 ^= 0xdd;
      }
    }
    this.second = v1 ^ v3;
  }
}

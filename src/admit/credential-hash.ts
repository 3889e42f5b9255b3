/**
 * A keyed 64-bit hash of a credential: HalfSipHash-1-3 over its Latin-1 bytes, two words of output.
 *
 * Decision: keyed, because whoever knows the hash could send credentials that share a stranger's bucket; a SipHash,
 * because without the key (random per boot) collisions cannot be prepared at home; its 32-bit form, because that is
 * what JavaScript integers do: 0.4 µs for a token, where node:crypto's cheapest digest takes more than 1 µs.
 * The first word is HalfSipHash-1-3's 32-bit tag (the Linux kernel's `hsiphash` on 32-bit machines, whose test
 * vectors pin it), the second one is squeezed from the same state in the manner of the 64-bit form.
 */

/**
 * Of a longer credential only its end counts: of a managed key that is signature, 190 bits that nobody has who does not
 * have the key, and hashing the whole of it took 0.3 us a request.
 */
const HASHED_MAX_CHARACTERS = 32;

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
  readonly #words = new Int32Array((HASHED_MAX_CHARACTERS >> 2) + 1);

  /** The 64-bit key as two int32, low word first. */
  constructor(key0: number, key1: number) {
    this.#key0 = key0;
    this.#key1 = key1;
  }

  /** Hashes the end of a credential; characters beyond U+00FF count by their low byte. */
  update(credential: string): void {
    const words = this.#words;
    const length = Math.min(credential.length, HASHED_MAX_CHARACTERS);
    const from = credential.length - length;
    const last = length >> 2;
    for (let word = 0; word < last; word++) words[word] = packed(credential, from + word * 4, 4);
    // The last word holds the bytes left over, and the length modulo 256 on top.
    words[last] = packed(credential, from + last * 4, length & 3) | (length << 24);
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

/** So many characters, at most four, as the bytes of a little-endian word. */
function packed(text: string, from: number, count: number): number {
  let word = 0;
  for (let i = 0; i < count; i++) word |= (text.charCodeAt(from + i) & 0xff) << (i << 3);
  return word;
}

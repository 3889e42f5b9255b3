const MAGIC = 0xfd2fb528;
const MAGIC_AND_DESCRIPTOR_BYTES = 5;
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;
const BLOCK_RLE = 1;

type Stage = 'begin' | 'fields' | 'block' | 'content' | 'checksum' | 'whole' | 'broken';

/**
 * Whether a Zstandard frame (RFC 8878 §3.1.1) has come to its end. Node's stream takes one that breaks off for a whole
 * one, and gives what it has: a request would be billed, and answered, that nobody sent.
 */
export class ZstdFrame {
  #stage: Stage = 'begin';
  /** Of the stage, still to come. */
  #wanted = MAGIC_AND_DESCRIPTOR_BYTES;
  /** Header bytes of the stage so far, least significant first. */
  #value = 0;
  #shift = 0;
  #hasChecksum = false;
  #isLastBlock = false;

  get isWhole(): boolean {
    return this.#stage === 'whole';
  }

  /** The next bytes, in any cuts. */
  push(piece: Buffer): void {
    let at = 0;
    while (at < piece.length && this.#stage !== 'whole' && this.#stage !== 'broken') {
      if (this.#stage === 'begin' || this.#stage === 'block') {
        this.#value += (piece[at] ?? 0) * 2 ** this.#shift;
        this.#shift += 8;
        at++;
        this.#wanted--;
      } else {
        const skipped = Math.min(this.#wanted, piece.length - at);
        at += skipped;
        this.#wanted -= skipped;
      }
      while (this.#wanted === 0 && this.#next());
    }
  }

  /** The stage is complete. @returns false when there is no further one */
  #next(): boolean {
    switch (this.#stage) {
      case 'begin':
        return this.#beginFrame();
      case 'fields':
        return this.#enter('block', BLOCK_HEADER_BYTES);
      case 'block':
        return this.#beginBlock();
      case 'content':
        if (!this.#isLastBlock) return this.#enter('block', BLOCK_HEADER_BYTES);
        return this.#enter('checksum', this.#hasChecksum ? CHECKSUM_BYTES : 0);
      case 'checksum':
        this.#stage = 'whole';
        return false;
      default:
        return false;
    }
  }

  #beginFrame(): boolean {
    const descriptor = Math.floor(this.#value / 2 ** 32);
    if (this.#value % 2 ** 32 !== MAGIC) {
      this.#stage = 'broken';
      return false;
    }
    const isSingleSegment = (descriptor & 0x20) !== 0;
    this.#hasChecksum = (descriptor & 0x04) !== 0;
    const sizeFlag = descriptor >> 6;
    const sizeBytes = sizeFlag === 0 && isSingleSegment ? 1 : (CONTENT_SIZE_BYTES[sizeFlag] ?? 0);
    const dictionaryBytes = DICTIONARY_ID_BYTES[descriptor & 0x03] ?? 0;
    return this.#enter('fields', (isSingleSegment ? 0 : 1) + dictionaryBytes + sizeBytes);
  }

  #beginBlock(): boolean {
    this.#isLastBlock = (this.#value & 1) === 1;
    const type = (this.#value >> 1) & 3;
    return this.#enter('content', type === BLOCK_RLE ? 1 : this.#value >> 3);
  }

  #enter(stage: Stage, bytes: number): boolean {
    this.#stage = stage;
    this.#wanted = bytes;
    this.#value = 0;
    this.#shift = 0;
    return true;
  }
}

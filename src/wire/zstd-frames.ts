const MAGIC = 0xfd2fb528;
/** RFC 8878 §3.1.2: of skippable frames the low four bits are free. */
const SKIPPABLE_MAGIC = 0x184d2a50;
const MAGIC_BYTES = 4;
const SIZE_BYTES = 4;
const DESCRIPTOR_BYTES = 1;
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;
const BLOCK_RLE = 1;

type Stage =
  | 'magic'
  | 'descriptor'
  | 'fields'
  | 'block'
  | 'content'
  | 'checksum'
  | 'size'
  | 'skipped'
  | 'broken';

/** Their values are read; of the others the bytes are passed over. */
const READ: ReadonlySet<Stage> = new Set(['magic', 'descriptor', 'block', 'size']);

/**
 * Where each of a content's Zstandard frames ends (RFC 8878 §3): compressors that flush write several, and put their own
 * notes into skippable ones. Node's stream stops at the first end that it meets within a write, and takes a frame that
 * breaks off for a whole one: a request would be billed, and answered, that nobody sent.
 */
export class ZstdFrames {
  #stage: Stage = 'magic';
  /** Of the stage, still to come. */
  #wanted = MAGIC_BYTES;
  /** Frames that are whole. */
  count = 0;
  /** Header bytes of the stage so far, least significant first. */
  #value = 0;
  #shift = 0;
  #hasChecksum = false;
  #isLastBlock = false;

  /** Between two frames: what came is whole. */
  get isWhole(): boolean {
    return this.count > 0 && this.#stage === 'magic' && this.#wanted === MAGIC_BYTES;
  }

  /**
   * Reads on to the end of a frame.
   * @returns the offset behind it; the piece's length when it goes on, or is broken
   */
  read(piece: Buffer, from: number): number {
    const { count } = this;
    let at = from;
    while (at < piece.length && !this.#isBroken && this.count === count) {
      if (READ.has(this.#stage)) {
        this.#value += (piece[at] ?? 0) * 2 ** this.#shift;
        this.#shift += 8;
        at++;
        this.#wanted--;
      } else {
        const skipped = Math.min(this.#wanted, piece.length - at);
        at += skipped;
        this.#wanted -= skipped;
      }
      while (this.#wanted === 0 && !this.#isBroken) this.#next();
    }
    return this.#isBroken ? piece.length : at;
  }

  get #isBroken(): boolean {
    return this.#stage === 'broken';
  }

  /** The stage is complete. */
  #next(): void {
    switch (this.#stage) {
      case 'magic':
        this.#beginFrame();
        break;
      case 'descriptor':
        this.#readDescriptor(this.#value);
        break;
      case 'fields':
        this.#enter('block', BLOCK_HEADER_BYTES);
        break;
      case 'block':
        this.#beginBlock();
        break;
      case 'content':
        if (!this.#isLastBlock) this.#enter('block', BLOCK_HEADER_BYTES);
        else this.#enter('checksum', this.#hasChecksum ? CHECKSUM_BYTES : 0);
        break;
      case 'size':
        this.#enter('skipped', this.#value);
        break;
      case 'checksum':
      case 'skipped':
        this.count++;
        this.#enter('magic', MAGIC_BYTES);
        break;
      case 'broken':
        break;
    }
  }

  #beginFrame(): void {
    if (this.#value === MAGIC) this.#enter('descriptor', DESCRIPTOR_BYTES);
    else if (this.#value - (this.#value % 16) === SKIPPABLE_MAGIC) this.#enter('size', SIZE_BYTES);
    else this.#stage = 'broken';
  }

  #readDescriptor(descriptor: number): void {
    const isSingleSegment = (descriptor & 0x20) !== 0;
    this.#hasChecksum = (descriptor & 0x04) !== 0;
    const sizeFlag = descriptor >> 6;
    const sizeBytes = sizeFlag === 0 && isSingleSegment ? 1 : (CONTENT_SIZE_BYTES[sizeFlag] ?? 0);
    const dictionaryBytes = DICTIONARY_ID_BYTES[descriptor & 0x03] ?? 0;
    this.#enter('fields', (isSingleSegment ? 0 : 1) + dictionaryBytes + sizeBytes);
  }

  #beginBlock(): void {
    this.#isLastBlock = (this.#value & 1) === 1;
    const type = (this.#value >> 1) & 3;
    this.#enter('content', type === BLOCK_RLE ? 1 : this.#value >> 3);
  }

  #enter(stage: Stage, bytes: number): void {
    this.#stage = stage;
    this.#wanted = bytes;
    this.#value = 0;
    this.#shift = 0;
  }
}

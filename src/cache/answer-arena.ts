/**
 * A node's answers in one piece of memory, in blocks: what a process takes for them is what they are, whatever sizes come and go.
 *
 * Decision: not a buffer for each. With those, 64 MiB of answers made a process larger by 63 MiB, and by 118 once their sizes had
 * changed twice: the allocator's holes, and what the collector had not come to yet. With this one it was 65, and then 95: what was
 * written once stays, and what many small answers take beside their content comes on top. Pages that were never written are not
 * there.
 */

/** A quarter of a small answer: what its last block leaves empty is half of this. */
export const BLOCK_BYTES = 1_024;

/** Behind a content's last block, and where none is free. */
const NO_BLOCK = -1;

/** Where a content is. */
export interface Stored {
  readonly first: number;
  readonly bytes: number;
}

export class AnswerArena {
  readonly #memory: Uint8Array<ArrayBuffer>;
  /** By block: the one behind it, of the same content or free. */
  readonly #next: Int32Array<ArrayBuffer>;
  #free = NO_BLOCK;
  /** Blocks from here on were never used. */
  #fresh = 0;

  /** @param maxBytes rounded up to whole blocks */
  constructor(maxBytes: number) {
    const blocks = Math.ceil(maxBytes / BLOCK_BYTES);
    this.#memory = new Uint8Array(blocks * BLOCK_BYTES);
    this.#next = new Int32Array(blocks);
  }

  /** @returns null where there is no room */
  put(content: Uint8Array): Stored | null {
    let first = NO_BLOCK;
    let last = NO_BLOCK;
    for (let from = 0; from < content.length; from += BLOCK_BYTES) {
      const block = this.#take();
      if (block === NO_BLOCK) {
        this.drop({ first, bytes: from });
        return null;
      }
      this.#memory.set(content.subarray(from, from + BLOCK_BYTES), block * BLOCK_BYTES);
      if (last === NO_BLOCK) first = block;
      else this.#next[last] = block;
      this.#next[block] = NO_BLOCK;
      last = block;
    }
    return { first, bytes: content.length };
  }

  /** A copy, which has all of its buffer. */
  get({ first, bytes }: Stored): Uint8Array<ArrayBuffer> {
    const content = new Uint8Array(bytes);
    let block = first;
    for (let to = 0; to < bytes; to += BLOCK_BYTES) {
      const at = block * BLOCK_BYTES;
      const part = Math.min(BLOCK_BYTES, bytes - to);
      content.set(this.#memory.subarray(at, at + part), to);
      block = this.#next[block] ?? NO_BLOCK;
    }
    return content;
  }

  drop({ first }: Stored): void {
    let block = first;
    while (block !== NO_BLOCK) {
      const next = this.#next[block] ?? NO_BLOCK;
      this.#next[block] = this.#free;
      this.#free = block;
      block = next;
    }
  }

  #take(): number {
    const block = this.#free;
    if (block !== NO_BLOCK) {
      this.#free = this.#next[block] ?? NO_BLOCK;
      return block;
    }
    return this.#fresh < this.#next.length ? this.#fresh++ : NO_BLOCK;
  }
}

import type { Buffer } from 'node:buffer';
import { FirstContent } from '../upstream/transport.ts';
import type { PieceSink } from '../wire/piece-sink.ts';

/** A part of what is gathered: where it stands in the copy, so that a copy which was outgrown is held by nobody. */
interface Place {
  readonly from: number;
  to: number;
}

/** What of a body leaves for its default provider, while it is gathered: parts of the copy, and what is put in between. */
export class GatheredContent implements PieceSink {
  readonly #parts: (Place | Buffer)[] = [];
  #copy: Buffer | null = null;

  /** @param copy what is gathered so far: a view of the buffer that the next pieces may be views of */
  gatheredIn(copy: Buffer): void {
    this.#copy = copy;
  }

  push(piece: Buffer): boolean {
    const copy = this.#copy;
    const from = copy === null ? -1 : piece.byteOffset - copy.byteOffset;
    const to = from + piece.length;
    // Small buffers share a slab: what stands in it beside the copy is none of it.
    const isOfCopy = copy !== null && piece.buffer === copy.buffer && from >= 0;
    if (!isOfCopy || to > copy.length) {
      this.#parts.push(piece);
      return false;
    }
    const last = this.#parts.at(-1);
    if (last !== undefined && 'from' in last && last.to === from) last.to = to;
    else this.#parts.push({ from, to });
    return false;
  }

  /** @param copy all that was gathered */
  in(copy: Buffer): FirstContent {
    const content = new FirstContent();
    for (const part of this.#parts)
      content.push('from' in part ? copy.subarray(part.from, part.to) : part);
    return content;
  }
}

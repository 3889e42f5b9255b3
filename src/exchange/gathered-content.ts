import type { Buffer } from 'node:buffer';
import { FirstContent } from '../upstream/transport.ts';
import { spelledModel } from '../wire/model-edit.ts';
import type { PieceSink } from '../wire/piece-sink.ts';

/** A part of what is gathered: where it stands in the body, so that a copy which was outgrown is held by nobody. */
interface Place {
  readonly from: number;
  to: number;
}

/** What of a body leaves for its provider, while it is gathered: parts of it, and what is put in between. */
export class GatheredContent implements PieceSink {
  #parts: (Place | Buffer)[] = [];
  #body: Buffer | null = null;

  /** All of a body, and nothing put in. */
  static of(body: Buffer): GatheredContent {
    const all = new GatheredContent();
    all.#parts = [{ from: 0, to: body.length }];
    return all;
  }

  /** @param body what is gathered so far: a view of the buffer that the next pieces may be views of */
  gatheredIn(body: Buffer): void {
    this.#body = body;
  }

  push(piece: Buffer): boolean {
    const body = this.#body;
    const from = body === null ? -1 : piece.byteOffset - body.byteOffset;
    const to = from + piece.length;
    // Small buffers share a slab: what stands in it beside the body is none of it.
    const isOfBody = body !== null && piece.buffer === body.buffer && from >= 0;
    if (!isOfBody || to > body.length) {
      this.#add(piece);
      return false;
    }
    const last = this.#parts.at(-1);
    if (last !== undefined && 'from' in last && last.to === from) last.to = to;
    else this.#add({ from, to });
    return false;
  }

  /** Mostly it is one part: an array that grows has room for seventeen. */
  #add(part: Place | Buffer): void {
    if (this.#parts.length === 0) this.#parts = [part];
    else this.#parts.push(part);
  }

  /** @param body all that was gathered, wherever it stands by now */
  in(body: Buffer): FirstContent {
    const content = new FirstContent();
    for (const part of this.#parts)
      content.push('from' in part ? slice(body, part.from, part.to) : part);
    return content;
  }

  /**
   * The same with another model in every place where one stands; nothing else is touched.
   * @param bounds as `withModel` of `wire/model-edit.ts` has them
   */
  withModel(body: Buffer, bounds: readonly number[], model: string): FirstContent {
    const value = spelledModel(model);
    const content = new FirstContent();
    for (const part of this.#parts) {
      if (!('from' in part)) {
        content.push(part);
        continue;
      }
      let at = part.from;
      for (let nth = 0; nth + 1 < bounds.length; nth += 2) {
        const from = bounds[nth] ?? 0;
        if (from < at || from >= part.to) continue;
        content.push(slice(body, at, from));
        content.push(value);
        at = bounds[nth + 1] ?? from;
      }
      if (at < part.to) content.push(slice(body, at, part.to));
    }
    return content;
  }
}

/** A view costs 40 ns: of most bodies there is one part, which is all of it. */
function slice(body: Buffer, from: number, to: number): Buffer {
  return from === 0 && to === body.length ? body : body.subarray(from, to);
}

import type { Edit, RunKind } from '../guard.ts';
import type { RunStage, TextPiece } from './text-piece.ts';

/** Says what of a run's text is to be changed. */
export interface Editor {
  /** @returns null: nothing of it may leave, nor anything behind it */
  edits(
    text: string,
    kind: RunKind,
    isEnd: boolean,
  ): { readonly edits: readonly Edit[]; readonly settledTo: number } | null;
  /**
   * What was to be changed has left in part, because it was held for too long before it could be known.
   * @returns what stands in place of its rest; null: nothing of it may leave
   */
  straddled(edit: Edit, rest: string): string | null;
}

/** Kept of what has left unsettled, and of what nobody holds: no detector's longest find is longer. */
const KEPT_MAX_UNITS = 1_024;

/**
 * Holds a run's text back for as long as it can become a part of what is to be changed, and no longer. An edit that reaches over
 * pieces stands in the first of them: the others lose their part of it.
 */
export class EditStage implements RunStage {
  readonly #editor: Editor;
  readonly #kind: RunKind;
  readonly #next: RunStage;
  #pieces: TextPiece[] = [];
  /** Of each of them: what is still in `#text`, in units, and what of it is settled. */
  #rests: number[] = [];
  #settled: string[] = [];
  /** What is not settled of all of them. */
  #text = '';
  /** What has left without being settled: what may still become a part of something, and was held for too long. */
  #left = '';
  /** Edits of the last scan. */
  #changes = 0;

  constructor(editor: Editor, kind: RunKind, next: RunStage) {
    this.#editor = editor;
    this.#kind = kind;
    this.#next = next;
  }

  get heldUnits(): number {
    return this.#text.length + this.#left.length + this.#next.heldUnits;
  }

  push(piece: TextPiece): void {
    this.#pieces.push(piece);
    this.#rests.push(piece.text.length);
    this.#settled.push('');
    this.#text += piece.text;
    this.#scan(false);
  }

  end(): void {
    if (this.#pieces.length > 0) this.#scan(true);
    this.#left = '';
    this.#next.end();
  }

  flush(): boolean {
    const isHeld = this.#text !== '';
    if (this.#pieces.length > 0) {
      const unsettled = this.#left + this.#text;
      this.#scan(true);
      // What was found is over and done: nothing begins within it.
      this.#left = this.#changes === 0 ? unsettled.slice(-KEPT_MAX_UNITS) : '';
    }
    return this.#next.flush() || isHeld;
  }

  compact(): void {
    const last = this.#rests.length - 1;
    if (last > 0) {
      for (let at = 0; at < last; at++) {
        const rest = this.#rests[at] ?? 0;
        const piece = this.#pieces[at];
        if (rest === 0 || piece === undefined) continue;
        piece.isChanged = true;
        this.#rests[at] = 0;
        this.#rests[last] = (this.#rests[last] ?? 0) + rest;
        const heir = this.#pieces[last];
        if (heir !== undefined) heir.isChanged = true;
      }
      this.#pass();
    }
    this.#next.compact();
  }

  #scan(isEnd: boolean): void {
    const before = this.#left.length;
    const found = this.#editor.edits(this.#left + this.#text, this.#kind, isEnd);
    if (found === null) return;
    const { edits, settledTo } = found;
    this.#changes = 0;
    let at = 0;
    for (const edit of edits) {
      if (edit.to <= before) continue;
      const from = Math.max(0, edit.from - before);
      const to = edit.to - before;
      const text =
        edit.from >= before ? edit.text : this.#editor.straddled(edit, this.#text.slice(0, to));
      if (text === null) return;
      this.#changes++;
      this.#take(from - at, true);
      this.#put(text);
      this.#take(to - from, false);
      at = to;
    }
    const settled = Math.max(0, settledTo - before);
    this.#take(settled - at, true);
    this.#left = settledTo >= before ? '' : this.#left.slice(settledTo);
    this.#pass();
  }

  /** The next units are settled. @param isKept else they are gone */
  #take(units: number, isKept: boolean): void {
    let missing = units;
    for (let at = 0; missing > 0 && at < this.#rests.length; at++) {
      const taken = Math.min(this.#rests[at] ?? 0, missing);
      if (taken === 0) continue;
      const piece = this.#pieces[at];
      if (isKept) this.#settled[at] += this.#text.slice(0, taken);
      else if (piece !== undefined) piece.isChanged = true;
      this.#text = this.#text.slice(taken);
      this.#rests[at] = (this.#rests[at] ?? 0) - taken;
      missing -= taken;
    }
  }

  /** In the piece that the next unit is of. */
  #put(text: string): void {
    let at = this.#rests.findIndex((rest) => rest > 0);
    if (at < 0) at = this.#rests.length - 1;
    const piece = this.#pieces[at];
    if (piece === undefined) return;
    piece.isChanged = true;
    this.#settled[at] += text;
  }

  #pass(): void {
    let count = 0;
    while (count < this.#rests.length && this.#rests[count] === 0) count++;
    if (count === 0) return;
    const pieces = this.#pieces.splice(0, count);
    const texts = this.#settled.splice(0, count);
    this.#rests.splice(0, count);
    for (const [at, piece] of pieces.entries()) {
      piece.text = texts[at] ?? '';
      this.#next.push(piece);
    }
  }
}

/** Reads a run, and changes nothing: nothing is held for it. */
export class WatchStage implements RunStage {
  readonly #editor: Editor;
  readonly #kind: RunKind;
  readonly #next: RunStage;
  #text = '';

  /** @param editor whose edits nobody makes */
  constructor(editor: Editor, kind: RunKind, next: RunStage) {
    this.#editor = editor;
    this.#kind = kind;
    this.#next = next;
  }

  get heldUnits(): number {
    return this.#text.length + this.#next.heldUnits;
  }

  push(piece: TextPiece): void {
    this.#text += piece.text;
    this.#scan(false);
    this.#next.push(piece);
  }

  end(): void {
    if (this.#text !== '') this.#scan(true);
    this.#next.end();
  }

  flush(): boolean {
    return this.#next.flush();
  }

  compact(): void {
    this.#next.compact();
  }

  #scan(isEnd: boolean): void {
    const settledTo = this.#editor.edits(this.#text, this.#kind, isEnd)?.settledTo ?? 0;
    this.#text = isEnd ? '' : this.#text.slice(settledTo);
    // A detector that settles nothing would have all of a stream kept.
    if (this.#text.length > KEPT_MAX_UNITS * 4) this.#text = this.#text.slice(-KEPT_MAX_UNITS);
  }
}

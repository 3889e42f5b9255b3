import type { PieceOwner, RunStage, TextPiece } from './text-piece.ts';

const QUOTE = '"';
const BACKSLASH = '\\';
/** What parts two values. */
const BETWEEN = /[\s{}[\]:,]/;
/** `\u` and four digits. */
const ESCAPE_UNITS = 6;

/** A part of a piece that is settled, or that waits for a stage. */
class Inner implements TextPiece {
  text: string;
  isChanged = false;
  readonly owner: PieceOwner;
  /** As it stands in the source. */
  readonly raw: string;
  readonly isQuoted: boolean;
  isSettled = false;

  constructor(text: string, raw: string, isQuoted: boolean, owner: PieceOwner) {
    this.text = text;
    this.raw = raw;
    this.isQuoted = isQuoted;
    this.owner = owner;
  }

  get source(): string {
    if (!this.isChanged) return this.raw;
    const written = JSON.stringify(this.text);
    if (this.isQuoted) return written.slice(1, -1);
    return this.text === '' ? '' : written;
  }
}

/** One piece of the source, and what it is made of. */
interface Slot {
  readonly piece: TextPiece;
  readonly parts: (string | Inner)[];
  /** It is being read, or an escape that it ends within goes on in the next one. */
  isOpen: boolean;
}

/**
 * A run that is JSON as it is being written: a call's arguments. Each text and each value in it is a run of its own, told without
 * its escapes; what stands between them stays. Nothing is checked: a model may write what is no JSON.
 */
export class SourceRun implements RunStage, PieceOwner {
  readonly #inner: RunStage;
  #slots: Slot[] = [];
  #isText = false;
  #isValue = false;
  /** The beginning of an escape. */
  #escape = '';

  /** @param inner what each text goes through; its pieces come back */
  constructor(inner: RunStage) {
    this.#inner = inner;
  }

  get heldUnits(): number {
    return this.#inner.heldUnits + this.#escape.length;
  }

  push(piece: TextPiece): void {
    const slot: Slot = { piece, parts: [], isOpen: true };
    const before = this.#slots.at(-1);
    this.#slots.push(slot);
    this.#read(piece.text, slot);
    if (before !== undefined) before.isOpen = false;
    slot.isOpen = this.#escape !== '';
    this.#pass();
  }

  end(): void {
    if (this.#escape !== '') this.#slots.at(-1)?.parts.push(this.#escape);
    this.#escape = '';
    this.#isText = this.#isValue = false;
    this.#inner.end();
    for (const slot of this.#slots) slot.isOpen = false;
    this.#pass();
  }

  flush(): boolean {
    const hasLeft = this.#inner.flush();
    this.#pass();
    return hasLeft;
  }

  compact(): void {
    this.#inner.compact();
    this.#pass();
  }

  settled(piece: TextPiece): void {
    if (piece instanceof Inner) piece.isSettled = true;
    this.#pass();
  }

  #read(source: string, slot: Slot): void {
    let at = 0;
    while (at < source.length) {
      if (this.#isText) at = this.#readText(source, at, slot);
      else if (this.#isValue) at = this.#readValue(source, at, slot);
      else at = this.#readBetween(source, at, slot);
    }
  }

  #readBetween(source: string, from: number, slot: Slot): number {
    let at = from;
    while (at < source.length && BETWEEN.test(source[at] ?? '')) at++;
    if (source[at] === QUOTE) {
      at++;
      this.#isText = true;
    } else if (at < source.length) this.#isValue = true;
    if (at > from) slot.parts.push(source.slice(from, at));
    return at;
  }

  #readValue(source: string, from: number, slot: Slot): number {
    let at = from;
    while (at < source.length && source[at] !== QUOTE && !BETWEEN.test(source[at] ?? '')) at++;
    const raw = source.slice(from, at);
    if (raw !== '') this.#give(raw, raw, false, slot);
    if (at < source.length) {
      this.#isValue = false;
      this.#inner.end();
    }
    return at;
  }

  #readText(source: string, from: number, slot: Slot): number {
    let raw = '';
    let text = '';
    for (let at = from; at < source.length; at++) {
      const unit = source[at] ?? '';
      if (this.#escape === '' && unit === QUOTE) {
        if (raw !== '') this.#give(text, raw, true, slot);
        this.#isText = false;
        this.#inner.end();
        slot.parts.push(unit);
        return at + 1;
      }
      if (this.#escape === '' && unit !== BACKSLASH) {
        raw += unit;
        text += unit;
        continue;
      }
      this.#escape += unit;
      const isUnicode = this.#escape[1] === 'u';
      if (this.#escape.length < (isUnicode ? ESCAPE_UNITS : 2)) continue;
      raw += this.#escape;
      text += unescaped(this.#escape);
      this.#escape = '';
    }
    if (raw !== '') this.#give(text, raw, true, slot);
    return source.length;
  }

  #give(text: string, raw: string, isQuoted: boolean, slot: Slot): void {
    const inner = new Inner(text, raw, isQuoted, this);
    slot.parts.push(inner);
    this.#inner.push(inner);
  }

  /** Pieces leave in their order. */
  #pass(): void {
    for (;;) {
      const slot = this.#slots[0];
      if (slot === undefined || slot.isOpen) return;
      if (!slot.parts.every((part) => typeof part === 'string' || part.isSettled)) return;
      this.#slots.shift();
      const { piece } = slot;
      const text = slot.parts
        .map((part) => (typeof part === 'string' ? part : part.source))
        .join('');
      if (text !== piece.text) {
        piece.text = text;
        piece.isChanged = true;
      }
      piece.owner.settled(piece);
    }
  }
}

function unescaped(written: string): string {
  try {
    const text: unknown = JSON.parse(`"${written}"`);
    return typeof text === 'string' ? text : written;
  } catch {
    // None that JSON has: it stays as it is.
    return written;
  }
}

import type { Guard, GuardPhase, JudgedRun, Judgement, RunKind } from '../guard.ts';
import type { RunStage, TextPiece } from './text-piece.ts';

/** Of a run, in UTF-16 units: what is judged at once. Enough for a few sentences, and for a reader not to notice the wait. */
const JUDGED_UNITS = 1_024;

/** Who asks a judge. */
export interface Asking {
  /** @param settle called once, later, unless the exchange is over */
  ask(
    guard: Guard,
    phase: GuardPhase,
    runs: readonly JudgedRun[],
    settle: (judgement: Judgement) => void,
  ): void;
  /** @returns what stands in place of each text, null for what stays; null: none may pass */
  outcome(
    guard: Guard,
    runs: readonly JudgedRun[],
    judgement: Judgement,
  ): readonly (string | null)[] | null;
  /** Something that was held may have left. */
  judged(): void;
}

/**
 * Gathers a run until there is enough of it to be judged, or it is over, or it was held for as long as it may be; holds it while it is
 * judged, and what comes meanwhile behind it.
 */
export class JudgeStage implements RunStage {
  readonly #asking: Asking;
  readonly #guard: Guard;
  readonly #kind: RunKind;
  readonly #next: RunStage;
  #pieces: TextPiece[] = [];
  #units = 0;
  /** What came while it was judged: pieces, and null for the end of a run. */
  #waiting: (TextPiece | null)[] = [];
  #isAsked = false;

  constructor(asking: Asking, guard: Guard, kind: RunKind, next: RunStage) {
    this.#asking = asking;
    this.#guard = guard;
    this.#kind = kind;
    this.#next = next;
  }

  get heldUnits(): number {
    const waiting = this.#waiting.reduce((sum, piece) => sum + (piece?.text.length ?? 0), 0);
    return this.#units + waiting + this.#next.heldUnits;
  }

  push(piece: TextPiece): void {
    if (this.#isAsked) {
      this.#waiting.push(piece);
      return;
    }
    this.#pieces.push(piece);
    this.#units += piece.text.length;
    if (this.#units >= JUDGED_UNITS) this.#ask();
  }

  end(): void {
    if (this.#isAsked) {
      this.#waiting.push(null);
      return;
    }
    this.#ask();
    // Before whatever waits already: the next texts are none of this run.
    if (this.#isAsked) this.#waiting.unshift(null);
    else this.#next.end();
  }

  flush(): boolean {
    if (!this.#isAsked) this.#ask();
    // What stands behind may go on with what is being judged.
    return !this.#isAsked && this.#next.flush();
  }

  /** They are held for a verdict, and not for a place. */
  compact(): void {
    this.#next.compact();
  }

  #ask(): void {
    const pieces = this.#pieces;
    if (pieces.length === 0) return;
    const runs: readonly JudgedRun[] = [
      { kind: this.#kind, text: pieces.map(({ text }) => text).join('') },
    ];
    if (this.#units === 0) {
      this.#pass(pieces, null);
      return;
    }
    this.#isAsked = true;
    this.#asking.ask(this.#guard, 'response', runs, (judgement) => {
      const texts = this.#asking.outcome(this.#guard, runs, judgement);
      if (texts === null) return;
      this.#isAsked = false;
      this.#pass(pieces, texts[0] ?? null);
      this.#goOn();
      this.#asking.judged();
    });
  }

  /** @param instead in place of all of them together: it stands in the first one */
  #pass(pieces: readonly TextPiece[], instead: string | null): void {
    this.#pieces = [];
    this.#units = 0;
    for (const [at, piece] of pieces.entries()) {
      if (instead !== null) {
        piece.text = at === 0 ? instead : '';
        piece.isChanged = true;
      }
      this.#next.push(piece);
    }
  }

  #goOn(): void {
    while (!this.#isAsked) {
      const piece = this.#waiting.shift();
      if (piece === undefined) return;
      if (piece === null) this.end();
      else this.push(piece);
    }
  }
}

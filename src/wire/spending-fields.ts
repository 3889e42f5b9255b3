import { pathBits, REQUEST_PATH } from './json-paths.ts';
import { SpendingMarks } from './spending-marks.ts';

/** What a request says that its price depends on, read as its body streams by; only for who has a budget. */
export class SpendingFields {
  /** Paths that `read` understands. */
  static readonly WANTED = pathBits(
    REQUEST_PATH.maxTokens,
    REQUEST_PATH.maxCompletionTokens,
    REQUEST_PATH.maxOutputTokens,
    REQUEST_PATH.n,
    REQUEST_PATH.bestOf,
    REQUEST_PATH.serviceTier,
    REQUEST_PATH.speed,
    REQUEST_PATH.inferenceGeo,
    REQUEST_PATH.generationMaxOutputTokens,
    REQUEST_PATH.generationCandidateCount,
    REQUEST_PATH.generationMaxOutputTokensSnake,
    REQUEST_PATH.generationCandidateCountSnake,
    REQUEST_PATH.optionsNumPredict,
  );

  /** The most tokens that one answer may have; where several fields say it, the largest. Null: none does. */
  outputTokens: number | null = null;
  /** How many answers, the largest number that a field says. */
  choices = 1;
  serviceTier: string | null = null;
  /** Anthropic's (docs.anthropic.com, fast mode), like the place below. */
  speed: string | null = null;
  inferenceGeo: string | null = null;
  /** What makes it dearer wherever it stands. */
  readonly marks = new SpendingMarks();

  /** @param text of the value at `path`, as it is written; cut where it is longer than any of use */
  read(path: number, text: string): void {
    if (path === REQUEST_PATH.serviceTier) this.serviceTier = plainText(text);
    else if (path === REQUEST_PATH.speed) this.speed = plainText(text);
    else if (path === REQUEST_PATH.inferenceGeo) this.inferenceGeo = plainText(text);
    else this.#readCount(path, countOf(text));
  }

  #readCount(path: number, count: number): void {
    if (count === 0) return;
    if (isChoices(path)) this.choices = Math.max(this.choices, count);
    else this.outputTokens = Math.max(this.outputTokens ?? 0, count);
  }
}

function isChoices(path: number): boolean {
  return (
    path === REQUEST_PATH.n ||
    path === REQUEST_PATH.bestOf ||
    path === REQUEST_PATH.generationCandidateCount ||
    path === REQUEST_PATH.generationCandidateCountSnake
  );
}

/** A whole number above 0, as lax parsers read it too: `4096`, `4096.0`, `4e3`, `"4096"`; else 0. */
function countOf(text: string): number {
  const value = Number(text.startsWith('"') ? text.slice(1, -1) : text);
  return Number.isFinite(value) && value >= 1 ? Math.ceil(value) : 0;
}

function plainText(text: string): string | null {
  return /^"[A-Za-z0-9._-]{1,14}"$/.test(text) ? text.slice(1, -1) : null;
}

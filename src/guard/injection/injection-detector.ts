import type { Detector, Finding, RunKind } from '../guard.ts';
import { TextWindow } from '../text-window.ts';
import { WordTrie } from '../word-trie.ts';
import { USUAL_THRESHOLD } from './injection-kinds.ts';
import { FIRST_HEADING, FRAMES } from './phrases.ts';
import { Sentence, SHOWN_TAGS } from './sentence.ts';
import { SentenceScore } from './sentence-score.ts';

const frames = new WordTrie(FRAMES);

/**
 * Looks for instructions to a model in what is none: sentence by sentence, in prompts, tool results and documents. What the
 * operator says (`system`) and what a model says is not looked at, and is never held back. A finding is a whole sentence, for
 * flagging and blocking; it is a heuristic of phrases, and `docs/guards.md` says how often it is right.
 */
export class InjectionDetector implements Detector {
  readonly name = 'injection';
  readonly #points: number;
  readonly #window = new TextWindow();
  readonly #sentence = new Sentence();
  readonly #score = new SentenceScore();

  /** @param threshold how sure it must be, above 0 and up to 1 */
  constructor(threshold: number = USUAL_THRESHOLD) {
    this.#points = Math.round(threshold * 100);
  }

  scan(
    text: string,
    kind: RunKind,
    isEnd: boolean,
  ): { readonly findings: readonly Finding[]; readonly settledTo: number } {
    const findings: Finding[] = [];
    const isUntrusted = kind === 'tool_result' || kind === 'document';
    if (!isUntrusted && kind !== 'prompt') return { findings, settledTo: text.length };
    const window = this.#window;
    window.open(text);
    let at = 0;
    while (at < text.length) {
      window.touched = false;
      const from = at;
      // Blanks in front of a sentence are none of it.
      while (at < text.length && text.charCodeAt(at) <= 0x20) at++;
      const start = at;
      const end = this.#sentence.read(window, start);
      this.#frames(start, end);
      if (window.touched && !isEnd) {
        at = from;
        break;
      }
      at = end;
      if (this.#sentence.tags <= SHOWN_TAGS) this.#sentence.tags = 0;
      this.#score.read(this.#sentence, isUntrusted, this.#headings, this.#templates);
      if (this.#score.points < this.#points) continue;
      findings.push({ from: start, to: end, what: this.#score.kind });
    }
    window.close();
    return { findings, settledTo: at };
  }

  #headings = 0;
  #templates = 0;

  /** Counts what is told by its spelling, and not by its words. */
  #frames(from: number, to: number): void {
    this.#headings = this.#templates = 0;
    for (let at = from; at < to; at++) {
      const code = this.#window.at(at);
      if (code !== 0x3c && code !== 0x5b && code !== 0x23 && code !== 0x28) continue;
      const frame = frames.longest(this.#window, at);
      if (frame >= FIRST_HEADING) this.#headings++;
      else if (frame >= 0) this.#templates++;
    }
  }
}

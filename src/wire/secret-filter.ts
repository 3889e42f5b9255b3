import type { PieceSink } from './piece-sink.ts';
import type { SecretTraces } from './secret-traces.ts';

/**
 * Takes a secret's traces out of a body as it streams by, over any cuts. What may still become a trace is held back, to the
 * body's end: a few KiB. For error answers only, which are short and rare: it works on text.
 */
export class SecretFilter implements PieceSink {
  readonly #traces: SecretTraces;
  readonly #sink: PieceSink;
  #held = '';

  constructor(traces: SecretTraces, sink: PieceSink) {
    this.#traces = traces;
    this.#sink = sink;
  }

  push(piece: Buffer): boolean {
    const [shown, rest] = this.#traces.hideBegun(this.#held + piece.toString('latin1'));
    this.#held = rest;
    return shown === '' || this.#sink.push(Buffer.from(shown, 'latin1'));
  }

  /** The body is over: passes on what is left of it. */
  end(): void {
    const rest = this.#traces.hide(this.#held);
    this.#held = '';
    if (rest !== '') this.#sink.push(Buffer.from(rest, 'latin1'));
  }
}

import { Buffer } from 'node:buffer';
import type { Ticker, Ticking } from '../ticker.ts';

/** How often heads that wait for their first body byte are looked after, in milliseconds. */
export const HEAD_TICK_MS = 250;

/** Ticks that a head waits: 500 to 750 ms. A client must see it within a second, and most first bytes come before. */
const HEAD_TICKS = 3;

/**
 * What takes the head of a late event stream along: an empty comment, which every parser of such streams skips (WHATWG
 * HTML §9.2.6). One line and no blank one behind it, which some clients took for the end of an empty event. The stock
 * SDKs of Node and Python (openai, anthropic) read the same text with it as without.
 */
export const LATE_HEAD_COMMENT = Buffer.from(':\n');

interface LateWriter {
  sendHead(): void;
  onBroken(error: unknown): void;
}

/** The head of an event stream whose provider thinks before the first event. */
export class LateHead implements Ticking {
  readonly #ticker: Ticker;
  readonly #writer: LateWriter;
  #ticks = 0;

  constructor(ticker: Ticker, writer: LateWriter) {
    this.#ticker = ticker;
    this.#writer = writer;
    ticker.add(this);
  }

  onTick(): void {
    if (++this.#ticks < HEAD_TICKS) return;
    this.forget();
    this.#writer.sendHead();
  }

  onBroken(error: unknown): void {
    this.forget();
    this.#writer.onBroken(error);
  }

  /** The head has left with a body byte, or never will. */
  forget(): void {
    this.#ticker.remove(this);
  }
}

import type { SqliteLedger } from './ledger-store.ts';

/** Facts that are sent at once: some 2 MB. */
const BATCH_FACTS = 2_000;

/** How often it is looked whether there is something to send, in milliseconds. */
const LOOK_MS = 500;

/** After an outage, in milliseconds; doubled for each try in a row. */
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;

/** The data base took the connection and refuses a fact: it would for ever. */
export class FactRefused extends Error {}

/** A data base that gets every fact. Taking one twice is taking it once. */
export interface FactSink {
  /** Which data base this is, without its password: what it has been sent is remembered by this name. */
  readonly name: string;
  /**
   * @param lines facts, JSON texts
   * @throws FactRefused when one of them can never be taken; any other Error when it may work later
   */
  send(lines: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

/** What the outbox tells of itself. */
export interface OutboxNews {
  sent(facts: number, refused: number): void;
  /** Sending begins to fail, or works again. */
  state(failure: string | null): void;
}

/**
 * Sends what the ledger has on to a data base, in the order in which it came. How far it is stands beside the facts, so an
 * outage loses nothing, and a crash sends some of them again.
 */
export class Outbox {
  readonly #ledger: SqliteLedger;
  readonly #sink: FactSink;
  readonly #news: OutboxNews;
  #isStopping = false;
  #failures = 0;
  #wake: () => void = () => {};

  constructor(ledger: SqliteLedger, sink: FactSink, news: OutboxNews) {
    this.#ledger = ledger;
    this.#sink = sink;
    this.#news = news;
  }

  /** Whether all facts of a day are there. */
  hasSent(day: number): boolean {
    return this.#ledger.unsent(day, this.#sink.name, 1).length === 0;
  }

  /** Until it is told to stop. */
  async run(): Promise<void> {
    while (!this.#isStopping) {
      const pauseMs = await this.#step();
      if (pauseMs > 0 && !this.#isStopping) await this.#pause(pauseMs);
    }
    await this.#sink.close().catch(() => {});
  }

  stop(): void {
    this.#isStopping = true;
    this.#wake();
  }

  /** @returns how long to wait for the next one, in milliseconds */
  async #step(): Promise<number> {
    try {
      const isSent = await this.#sendSome();
      if (this.#failures > 0) this.#news.state(null);
      this.#failures = 0;
      return isSent ? 0 : LOOK_MS;
    } catch (error) {
      if (this.#failures++ === 0)
        this.#news.state(error instanceof Error ? error.message : 'unknown');
      return Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(this.#failures - 1, 8));
    }
  }

  async #sendSome(): Promise<boolean> {
    const { name } = this.#sink;
    for (const day of this.#ledger.days()) {
      const facts = this.#ledger.unsent(day, name, BATCH_FACTS);
      const last = facts.at(-1);
      if (last === undefined) continue;
      const refused = await this.#sendAll(facts.map(({ line }) => line));
      this.#ledger.markSent(day, name, last.seq);
      this.#news.sent(facts.length - refused, refused);
      return true;
    }
    return false;
  }

  /**
   * One fact that is refused must not hold up the others: it is found by halves.
   * @returns how many were refused
   */
  async #sendAll(lines: readonly string[]): Promise<number> {
    try {
      await this.#sink.send(lines);
      return 0;
    } catch (error) {
      if (!(error instanceof FactRefused)) throw error;
      if (lines.length === 1) return 1;
      const middle = lines.length >> 1;
      const first = await this.#sendAll(lines.slice(0, middle));
      return first + (await this.#sendAll(lines.slice(middle)));
    }
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

import { createRequire } from 'node:module';
import type { Logger } from 'pino';
import type { LineOutlet } from './line-outlet.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<
  Record<string, string | number | boolean | null | readonly string[]>
>;

/** What a stage may do with a log. Events are names (`snake_case`), fields are facts; neither may hold a credential. */
export interface Log {
  write(level: LogLevel, event: string, fields?: LogFields): void;
}

const require = createRequire(import.meta.url);

/** The node's log: one writer, on the main thread, so that lines of several workers never mix. */
export class NodeLog implements Log {
  readonly #out: LineOutlet;
  #made: Logger | null = null;
  #level: LogLevel;
  readonly #terminal: boolean;

  /** @param terminal a person reads it: short lines instead of JSON */
  constructor(out: LineOutlet, level: LogLevel, terminal: boolean) {
    this.#out = out;
    this.#terminal = terminal;
    this.#level = level;
  }

  set level(level: LogLevel) {
    this.#level = level;
    if (this.#made !== null) this.#made.level = level;
  }

  /** Made for the first line, which is written when the gateway listens: the library takes 50 ms to load. */
  get #logger(): Logger {
    if (this.#made !== null) return this.#made;
    const { pino, stdTimeFunctions } = require('pino') as typeof import('pino');
    this.#made = pino(
      {
        level: this.#level,
        base: null,
        timestamp: stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
      },
      { write: (line) => this.#out.log(Buffer.from(line)) },
    );
    return this.#made;
  }

  write(level: LogLevel, event: string, fields: LogFields = {}): void {
    if (this.#terminal) {
      if (this.#logger.isLevelEnabled(level))
        this.#out.log(Buffer.from(readable(level, event, fields)));
    } else {
      this.#logger[level]({ event, ...fields });
    }
  }
}

function readable(level: LogLevel, event: string, fields: LogFields): string {
  const pairs = Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`);
  return `${new Date().toISOString().slice(11, 19)} ${level.padEnd(5)} ${event} ${pairs.join(' ')}\n`;
}

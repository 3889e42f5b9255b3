import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<
  Record<string, string | number | boolean | null | readonly string[]>
>;

/** What a stage may do with a log. Events are names (`snake_case`), fields are facts; neither may hold a credential. */
export interface Log {
  write(level: LogLevel, event: string, fields?: LogFields): void;
}

/**
 * Lines that wait for a reader of stdout, in bytes. A consumer that stalls must not stop the relay: at this size (half
 * a minute of access log at 2,000 requests a second) lines are dropped and counted in `ai_log_lines_dropped_total`.
 */
const QUEUE_LIMIT_BYTES = 16 * 1_048_576;

/** How long the end of the process waits for stdout's reader, in milliseconds. */
const FLUSH_LIMIT_MS = 2_000;

/** The node's log: one writer, on the main thread, so that lines of several workers never mix. */
export class NodeLog implements Log {
  readonly #out: ReturnType<typeof destination>;
  readonly #logger: Logger;
  readonly #terminal: boolean;
  /** Lines that nobody took. */
  dropped = 0;

  /** @param terminal a person reads it: short lines instead of JSON */
  constructor(level: LogLevel, terminal: boolean) {
    this.#terminal = terminal;
    this.#out = destination({ dest: 1, sync: false, maxLength: QUEUE_LIMIT_BYTES });
    this.#out.on('drop', () => {
      this.dropped++;
    });
    // A reader that went away (EPIPE) is a reader that does not read: the relay goes on.
    this.#out.on('error', () => {
      this.dropped++;
    });
    const stream: DestinationStream = { write: (line) => this.#out.write(line) };
    this.#logger = pino(
      {
        level,
        base: null,
        timestamp: stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
      },
      stream,
    );
  }

  set level(level: LogLevel) {
    this.#logger.level = level;
  }

  write(level: LogLevel, event: string, fields: LogFields = {}): void {
    if (this.#terminal) {
      if (this.#logger.isLevelEnabled(level)) this.#out.write(readable(level, event, fields));
    } else {
      this.#logger[level]({ event, ...fields });
    }
  }

  /** Finished JSON lines of a worker, each ended by a newline. */
  writeLines(lines: string): void {
    this.#out.write(lines);
  }

  /** Waits until everything reached stdout, or for as long as a reader may reasonably take. */
  async flush(): Promise<void> {
    const flushed = new Promise<void>((resolve) => this.#out.flush(() => resolve()));
    const limit = new Promise<void>((resolve) => setTimeout(resolve, FLUSH_LIMIT_MS).unref());
    await Promise.race([flushed, limit]);
  }
}

function readable(level: LogLevel, event: string, fields: LogFields): string {
  const pairs = Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`);
  return `${new Date().toISOString().slice(11, 19)} ${level.padEnd(5)} ${event} ${pairs.join(' ')}\n`;
}

/** What operations have to do their work with: the configuration as it runs, the shared memory, and the main thread's ear. */

import type { PurgeScope } from '../cache/answer-store.ts';
import type { ConfigSource } from '../config/config.ts';
import {
  type Config,
  type ConfigDocument,
  configFromDocument,
  type ListenAddress,
} from '../config/config-document.ts';
import type { Log } from '../outlet/log.ts';
import type { Audit } from './audit.ts';
import type {
  ConsoleConfig,
  ConsoleStart,
  ConsoleTables,
  MainAnswers,
  MainQuestion,
} from './console-messages.ts';
import type { GatewayView } from './gateway-view.ts';
import type { Operation } from './operation.ts';
import { Problem } from './problem.ts';
import type { Sessions } from './sessions.ts';

/** Questions to the main thread that wait; each is answered in its next turn. */
const QUESTIONS_MAX = 256;

/** How an operation's answer becomes a stream of what happens. */
export interface LiveCalls {
  /** Ends those of one session or token. */
  over(owner: string): void;
}

export interface ConsoleRoomParts {
  readonly start: ConsoleStart;
  readonly log: Log;
  readonly sessions: Sessions;
  readonly audit: Audit;
  readonly live: LiveCalls;
  /** Passes a question on; its answer comes to `told`. */
  readonly ask: (question: number, what: MainQuestion, about: PurgeScope | null) => void;
}

export class ConsoleRoom {
  readonly #parts: ConsoleRoomParts;
  #running: ConsoleConfig;
  #config: Config | null = null;
  readonly #questions = new Map<number, (answer: unknown) => void>();
  #asked = 0;
  /** Every row of the admin API; the document is made of them. */
  operations: readonly Operation[] = [];

  constructor(parts: ConsoleRoomParts) {
    this.#parts = parts;
    this.#running = parts.start.config;
  }

  /** The memory that the workers share: read it, and write only what is the main thread's to write. */
  get tables(): ConsoleTables {
    return this.#parts.start.tables;
  }

  /** This node's name in its fleet. */
  get node(): string {
    return this.#parts.start.node;
  }

  /** When the gateway started, Unix time in milliseconds. */
  get startedMs(): number {
    return this.#parts.start.startedMs;
  }

  /** Where clients reach this gateway. */
  get listen(): ListenAddress {
    return this.#parts.start.listen;
  }

  get log(): Log {
    return this.#parts.log;
  }

  get sessions(): Sessions {
    return this.#parts.sessions;
  }

  get audit(): Audit {
    return this.#parts.audit;
  }

  get live(): LiveCalls {
    return this.#parts.live;
  }

  /** The configuration as it runs; another object after each reload, so that what is made of it can be kept by it. */
  get config(): Config {
    this.#config ??= configFromDocument(this.#running.document);
    return this.#config;
  }

  get document(): ConfigDocument {
    return this.#running.document;
  }

  /** Provider names by index, as the counters have them. */
  get slots(): readonly string[] {
    return this.#running.slots;
  }

  /** Where the configuration is read from: what the file says now can be another one than what runs. */
  get configSource(): ConfigSource {
    const { source } = this.#running;
    return { env: process.env, ...(source === null ? {} : { path: source }) };
  }

  /** The same for operations that need nothing else. */
  get view(): GatewayView {
    return {
      source: this.configSource,
      running: () => this.document,
      memory: this.tables,
      now: Date.now,
    };
  }

  take(config: ConsoleConfig): void {
    this.#running = config;
    this.#config = null;
  }

  /**
   * Asks the main thread what only it knows, or to do what only it can.
   * @throws Problem `unavailable` when too many questions wait
   */
  ask<Question extends MainQuestion>(
    what: Question,
    about: PurgeScope | null = null,
  ): Promise<MainAnswers[Question]> {
    if (this.#questions.size >= QUESTIONS_MAX)
      throw new Problem('unavailable', 'The gateway is busy.', { retryAfter: 1 });
    const question = ++this.#asked;
    return new Promise((resolve) => {
      this.#questions.set(question, (answer) => resolve(answer as MainAnswers[Question]));
      this.#parts.ask(question, what, about);
    });
  }

  told(question: number, answer: unknown): void {
    this.#questions.get(question)?.(answer);
    this.#questions.delete(question);
  }
}

/**
 * Tells the other nodes of a fleet once a second what this one is asked for, and listens to them: over the process's one
 * connection, a key of the bucket for each node. What others write is heard as the message that it is (a bucket's keys are
 * subjects), so that there is no consumer that a cluster could lose, and none of it waits for an answer.
 */

import type { NatsConnection, Subscription } from 'nats';
import type { Log } from '../outlet/log.ts';
import { type LimitTable, monotonicUs } from '../policy/limit-table.ts';
import { RateBook } from './rate-book.ts';

/** How often a node tells, in milliseconds. */
const TELL_MS = 1_000;

/** How often it is looked whether there is another connection, in milliseconds. */
const LOOK_MS = 100;

const BYE = new Uint8Array(0);

function nowMs(): number {
  return monotonicUs() / 1_000;
}

export class FleetRates {
  readonly #node: string;
  readonly #subjects: string;
  readonly #connection: () => NatsConnection | null;
  readonly #book: RateBook;
  readonly #log: Log;
  #heard: Subscription | null = null;
  #listening: NatsConnection | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isBroken = false;
  #toldMs = Number.NEGATIVE_INFINITY;

  /**
   * @param bucket the deny-set's: the fleet's stands beside it
   * @param connection the process's own, while there is one
   */
  constructor(
    node: string,
    bucket: string,
    table: LimitTable,
    connection: () => NatsConnection | null,
    log: Log,
  ) {
    this.#node = node;
    this.#subjects = `$KV.${bucket}-fleet.r.`;
    this.#connection = connection;
    this.#book = new RateBook(table, nowMs());
    this.#log = log;
  }

  /** That are known, this one too. */
  get nodes(): number {
    return this.#book.nodes;
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /** The others need not wait until they miss this node. */
  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#publish(BYE);
    this.#heard?.unsubscribe();
  }

  #look(): void {
    const connection = this.#connection();
    if (connection === null || connection.isClosed()) {
      this.#listening = null;
      return;
    }
    if (this.#listening !== connection) this.#listen(connection);
    if (nowMs() - this.#toldMs < TELL_MS) return;
    this.#tell();
    this.#book.share(nowMs());
  }

  #listen(connection: NatsConnection): void {
    this.#listening = connection;
    this.#heard = connection.subscribe(`${this.#subjects}*`, {
      callback: (error, { subject, data }) => {
        if (error !== null) return;
        try {
          this.#hear(subject.slice(this.#subjects.length), data);
        } catch (broken) {
          this.#tellBroken(broken);
        }
      },
    });
    this.#tell();
  }

  #hear(node: string, message: Uint8Array): void {
    if (node === this.#node) return;
    const isNew = this.#book.hear(node, message, nowMs());
    // Whoever comes is told at once: until then it takes itself for the only one.
    if (isNew) this.#tell();
    if (isNew || message.length === 0) this.#book.share(nowMs());
  }

  #tell(): void {
    this.#toldMs = nowMs();
    this.#publish(this.#book.measure(nowMs()));
  }

  #publish(message: Uint8Array): void {
    try {
      if (this.#listening?.isClosed() === false)
        this.#listening.publish(`${this.#subjects}${this.#node}`, message);
    } catch (error) {
      this.#tellBroken(error);
    }
  }

  /** A bug, or a connection that broke in this moment: rates go on as they are. Told once. */
  #tellBroken(error: unknown): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    const reason = error instanceof Error ? error.message : 'unknown';
    this.#log.write('error', 'fleet_rates_failed', { reason });
  }
}

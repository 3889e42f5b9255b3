import { inspect } from 'node:util';

/** What a secret looks like in every log line, error, dump and printed configuration. */
export const MASK = '***';

/**
 * Holds one credential so that no accident can print it: string conversion, JSON, template
 * literals and `util.inspect` all give `***`. Only `reveal()` gives the value, so a search for
 * that word lists every place where a credential leaves its holder.
 *
 * A structured clone of a Secret is an empty object: what crosses to a worker thread is the
 * ConfigDocument, and the worker builds its own Secrets from it.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The credential itself. Call it only where it is put on the wire. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [Symbol.toPrimitive](): string {
    return MASK;
  }

  [inspect.custom](): string {
    return MASK;
  }
}

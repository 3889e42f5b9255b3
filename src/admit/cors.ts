/**
 * Browsers (Fetch standard, CORS): whether a page of another origin may read what the gateway answers. Credentials are
 * never allowed: keys travel in fields that a page sets itself, and with cookies any page could spend in its reader's name.
 */

import { fieldValue } from '../wire/fields.ts';

/** Stands for every origin. */
const ANY = '*';

/** Seconds that a browser may keep a preflight's answer: Chrome keeps none longer than two hours. */
const MAX_AGE_SECONDS = 600;

const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

/** `fields` are flat lists with lower-case names. */
export class Cors {
  readonly #origins: ReadonlySet<string>;

  /** @param origins as browsers write them, or `*`; none: the gateway leaves CORS to the providers */
  constructor(origins: readonly string[]) {
    this.#origins = new Set(origins);
  }

  get isOn(): boolean {
    return this.#origins.size > 0;
  }

  /** Whether a page asks first what it may send: without any key, and before it sends one. */
  static isPreflight(method: string, fields: readonly string[]): boolean {
    return (
      method === 'OPTIONS' &&
      fieldValue(fields, 'origin') !== null &&
      fieldValue(fields, 'access-control-request-method') !== null
    );
  }

  /**
   * @returns field lines to put behind the last one of an answer, each begun by CRLF; empty where no page is to read it
   */
  lines(fields: readonly string[]): string {
    const origin = this.#allowed(fields);
    if (origin === null) return '';
    const lines = `\r\naccess-control-allow-origin: ${origin}\r\naccess-control-expose-headers: *`;
    return origin === ANY ? lines : `${lines}\r\nvary: origin`;
  }

  /** @returns the answer's status line and field lines, the last without CRLF; null for what is no preflight to allow */
  preflight(method: string, fields: readonly string[]): string | null {
    if (!this.isOn || !Cors.isPreflight(method, fields)) return null;
    const lines = this.lines(fields);
    if (lines === '') return null;
    // A wildcard does not cover Authorization, so what was asked for is allowed by its names.
    const asked = fieldValue(fields, 'access-control-request-headers') ?? ANY;
    // Not 204: the front end says the length of every answer of its own, and a 204 has none (RFC 9110 §8.6).
    return (
      `200 OK${lines}\r\naccess-control-allow-methods: ${METHODS}` +
      `\r\naccess-control-allow-headers: ${asked}\r\naccess-control-max-age: ${MAX_AGE_SECONDS}`
    );
  }

  #allowed(fields: readonly string[]): string | null {
    if (!this.isOn) return null;
    const origin = fieldValue(fields, 'origin');
    if (origin === null) return null;
    if (this.#origins.has(ANY)) return ANY;
    return this.#origins.has(origin) ? origin : null;
  }
}

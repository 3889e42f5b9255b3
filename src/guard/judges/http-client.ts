import type { Pool } from 'undici';
import type { Secret } from '../../secret.ts';
import type { Deadlines, Due } from '../../ticker.ts';
import { loadUndici } from '../../upstream/undici/library.ts';
import { Breaker } from './breaker.ts';
import type { JudgeFailure } from './judge-failure.ts';

/** A server that judges. */
export interface HttpServer {
  /** Where requests go: `http:` or `https:`, without a password. */
  readonly url: string;
  /** One call from when it is made to the last byte of its answer, in milliseconds. */
  readonly timeoutMs: number;
  /** Requests to it at the same time, of one worker. */
  readonly maxInFlight: number;
  /** Goes as a bearer token. */
  readonly apiKey: Secret | null;
}

/** Requests that wait for a place among those. */
export const WAITING_MAX = 256;

/** Of an answer, in bytes: findings of a text that fills a call are far less. */
export const ANSWER_MAX_BYTES = 1_048_576;

/** Of an answer's fields. */
const HEAD_MAX_BYTES = 16_384;

/** Connections that nobody uses are closed after this, in milliseconds. */
const IDLE_MS = 10_000;

type Posted =
  | { readonly isAnswered: true; readonly value: unknown }
  | { readonly isAnswered: false; readonly why: JudgeFailure };

const notAnswered = (why: JudgeFailure): Posted => ({ isAnswered: false, why });

/** One request, and its time limit. */
class Call implements Due {
  dueSlot = -1;
  isLate = false;
  readonly #controller = new AbortController();

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  onDue(): void {
    this.isLate = true;
    this.abort();
  }

  onDueBroken(): void {
    this.abort();
  }

  abort(): void {
    this.#controller.abort();
  }
}

/** Posts JSON to one server, with bounds on time, number and size; it never throws, and never tells what was posted. */
export class HttpClient {
  readonly #server: HttpServer;
  readonly #path: string;
  readonly #deadlines: Deadlines;
  readonly #breaker = new Breaker();
  readonly #pool: Pool;
  #open = 0;

  constructor(server: HttpServer, deadlines: Deadlines) {
    const { origin, pathname, search } = new URL(server.url);
    this.#server = server;
    this.#path = pathname + search;
    this.#deadlines = deadlines;
    const { Pool: UndiciPool } = loadUndici();
    this.#pool = new UndiciPool(origin, {
      connections: server.maxInFlight,
      pipelining: 1,
      keepAliveTimeout: IDLE_MS,
      maxHeaderSize: HEAD_MAX_BYTES,
      // One limit over all of it is the call's own.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: server.timeoutMs },
    });
  }

  /** @returns what its answer's JSON says, of any shape, or why there is none */
  async post(body: string, signal: AbortSignal): Promise<Posted> {
    if (signal.aborted) return notAnswered('left');
    if (this.#open >= this.#server.maxInFlight + WAITING_MAX) return notAnswered('busy');
    if (!this.#breaker.mayAsk(performance.now())) return notAnswered('resting');
    const call = new Call();
    const left = (): void => call.abort();
    signal.addEventListener('abort', left, { once: true });
    this.#deadlines.set(call, this.#server.timeoutMs);
    this.#open++;
    try {
      const posted = await this.#answer(body, call);
      this.#told(posted, signal);
      return posted;
    } catch {
      // Its message may quote what it could not read.
      const posted = notAnswered(call.isLate ? 'late' : signal.aborted ? 'left' : 'unreachable');
      this.#told(posted, signal);
      return posted;
    } finally {
      this.#open--;
      this.#deadlines.clear(call);
      signal.removeEventListener('abort', left);
    }
  }

  async #answer(body: string, call: Call): Promise<Posted> {
    const { apiKey } = this.#server;
    const authorization = apiKey === null ? {} : { authorization: `Bearer ${apiKey.reveal()}` };
    const { statusCode, body: answer } = await this.#pool.request({
      method: 'POST',
      path: this.#path,
      headers: { 'content-type': 'application/json', accept: 'application/json', ...authorization },
      body,
      signal: call.signal,
    });
    if (statusCode < 200 || statusCode > 299) {
      // Read no further: its connection is not worth it.
      answer.on('error', () => {}).destroy();
      return notAnswered('status');
    }
    const pieces: Buffer[] = [];
    let bytes = 0;
    for await (const piece of answer) {
      if (!Buffer.isBuffer(piece)) continue;
      bytes += piece.length;
      // Leaving the loop destroys the answer.
      if (bytes > ANSWER_MAX_BYTES) return notAnswered('nonsense');
      pieces.push(piece);
    }
    return parsed(Buffer.concat(pieces).toString());
  }

  #told(posted: Posted, signal: AbortSignal): void {
    if (posted.isAnswered) this.#breaker.succeeded();
    else if (signal.aborted) this.#breaker.unknown();
    else this.#breaker.failed(performance.now());
  }
}

function parsed(text: string): Posted {
  try {
    const value: unknown = JSON.parse(text);
    return { isAnswered: true, value };
  } catch {
    return notAnswered('nonsense');
  }
}

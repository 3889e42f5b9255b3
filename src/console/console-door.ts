/**
 * The main thread's side of the console: takes what comes to the admin listener besides probes and metrics, hands it to the
 * console's thread as one message, and writes what comes back. The main thread passes usage facts on, so nothing here waits,
 * and whatever is too much is turned away before it costs anything.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import type { PurgeScope } from '../cache/answer-store.ts';
import type { Log } from '../outlet/log.ts';
import type {
  ConsoleConfig,
  ConsoleStart,
  FromConsole,
  MainAnswerer,
  MainQuestion,
  ToConsole,
  ToldAnswer,
} from './console-messages.ts';
import type { LiveView } from './live-view.ts';
import { Problem, type ProblemCode } from './problem.ts';
import { problemAnswer } from './problem-answer.ts';

/** Calls that the thread has and has not answered: it does one after the other. */
export const CALLS_MAX = 64;

/** Calls whose body is still coming. */
export const UPLOADS_MAX = 64;

/** Of one body, in bytes: the largest that any operation needs is a policy of some KiB. */
export const BODY_MAX_BYTES = 1_048_576;

/** The same of a call without any credential: what signs in is one short token. */
export const STRANGER_BODY_MAX_BYTES = 4_096;

/** How long a body may take to come, in milliseconds. */
export const BODY_MS = 10_000;

/** How long the thread may take for an answer, in milliseconds; behind it the caller gets 503. */
export const ANSWER_MS = 30_000;

/** How long a thread that left a call without an answer may take to say that it is there, in milliseconds: else it is replaced. */
export const PONG_MS = 5_000;

/** Calls in a second, and how many may come at once: fifty open dashboards ask for less, and one that opens asks for 50 files. */
export const CALLS_PER_SECOND = 200;
export const CALLS_BURST = 1_000;

/**
 * How long a call that is one too many waits for its 429, in milliseconds: whoever asks as fast as it is answered does not ask
 * faster than this, which is what keeps ten thousand requests a second from costing the main thread.
 */
export const SHED_MS = 1_000;

/** Calls that wait so; those beyond lose their connection. */
export const SHED_MAX = 256;

/** Live screens, and what one may have unread, in bytes: a reader that is so far behind is dropped, and comes back by itself. */
export const LIVE_MAX = 64;
export const LIVE_UNREAD_MAX_BYTES = 65_536;

const LIVE_MS = 1_000;

/** How long one lasts, in milliseconds: it comes back by itself, and is asked anew who it is. */
export const LIVE_FOR_MS = 5 * 60_000;

/** Of a body that is refused, what is read and forgotten so that its sender can read the answer; bytes. */
const REFUSED_READ_MAX_BYTES = 262_144;

/** Before a thread that died is replaced, in milliseconds; doubled for each death in a row. */
const RESTART_MIN_MS = 100;
const RESTART_MAX_MS = 10_000;
/** A thread that lived so long, in milliseconds, starts its next backoff anew. */
const HEALTHY_AFTER_MS = 60_000;

/** Of the thread's heap, in megabytes: a question of the past reads a page of rows, and a runaway one ends the thread alone. */
const HEAP_MB = 256;
const YOUNG_GENERATION_MB = 16;

export interface ConsoleDoorOptions {
  readonly start: Omit<ConsoleStart, 'config'>;
  readonly view: LiveView;
  readonly log: Log;
  readonly answers: MainAnswerer;
}

/** A page of the listener's own, made when it is told. */
export type ToldPage = () => readonly [type: string, body: string];

interface OpenCall {
  readonly response: ServerResponse;
  readonly isHead: boolean;
  /** What it is told where the thread lets it in; null: the thread tells it. */
  readonly told: ToldPage | null;
  readonly limit: NodeJS.Timeout;
}

interface LiveReader {
  readonly response: ServerResponse;
  readonly owner: string;
  /** By the clock that only rises. */
  readonly endsMs: number;
}

export class ConsoleDoor {
  readonly #options: ConsoleDoorOptions;
  #config: ConsoleConfig;
  #thread: Worker | null = null;
  #isStopping = false;
  #deaths = 0;
  #startedAtMs = 0;
  readonly #calls = new Map<number, OpenCall>();
  #nextCall = 1;
  #uploads = 0;
  readonly #live = new Set<LiveReader>();
  #beat: NodeJS.Timeout | null = null;
  #pong: NodeJS.Timeout | null = null;
  /** Calls that may come now, and as of when. */
  #allowed = CALLS_BURST;
  #allowedAtMs = performance.now();
  readonly #shed = new Set<ServerResponse>();
  readonly #shedSockets = new WeakSet<Socket>();
  /** What was turned away: calls beyond their rate or number, and live readers that did not read. */
  readonly dropped = { calls: 0, readers: 0 };

  constructor(config: ConsoleConfig, options: ConsoleDoorOptions) {
    this.#config = config;
    this.#options = options;
    this.#spawn();
    this.#beat = setInterval(() => this.#tick(), LIVE_MS);
    // Nobody looks at what is ending.
    this.#beat.unref();
  }

  /** Calls that begin from now on go by this configuration; live readers come back and are asked anew who they are. */
  reload(config: ConsoleConfig): void {
    this.#config = config;
    this.#tell({ kind: 'config', config });
    for (const reader of this.#live) this.#endLive(reader);
  }

  /** Ends the thread; whoever waits gets 503. */
  stop(): void {
    this.#isStopping = true;
    if (this.#beat !== null) clearInterval(this.#beat);
    for (const reader of this.#live) this.#endLive(reader);
    for (const response of this.#shed) response.destroy();
    this.#failAll();
    this.#tell({ kind: 'stop' });
    void this.#thread?.terminate();
  }

  /** @param told what this is about, if that is no page of the console's: the thread says then who may see it */
  handle(request: IncomingMessage, response: ServerResponse, told: ToldPage | null = null): void {
    if (!this.#isAllowed()) {
      this.#turnAway(request, response);
      return;
    }
    if (this.#calls.size >= CALLS_MAX || this.#thread === null) {
      this.dropped.calls++;
      this.#refuse(request, response, 'unavailable', 'The console is busy, or just starting.', 1);
      return;
    }
    const { method = 'GET' } = request;
    const hasBody = declaresBody(request);
    if (hasBody && method !== 'GET' && method !== 'HEAD') this.#gather(request, response);
    else if (hasBody) this.#refuse(request, response, 'malformed', `${method} has no body here.`);
    else this.#pass(request, response, null, told);
  }

  /** As in a bucket that fills by itself. */
  #isAllowed(): boolean {
    const nowMs = performance.now();
    const filled = ((nowMs - this.#allowedAtMs) * CALLS_PER_SECOND) / 1_000;
    this.#allowed = Math.min(CALLS_BURST, this.#allowed + filled);
    this.#allowedAtMs = nowMs;
    if (this.#allowed < 1) return false;
    this.#allowed--;
    return true;
  }

  #turnAway(request: IncomingMessage, response: ServerResponse): void {
    this.dropped.calls++;
    const { socket } = request;
    // Behind one that waits, or one too many: its connection costs more than it is worth.
    if (this.#shed.size >= SHED_MAX || this.#shedSockets.has(socket)) {
      socket.destroy();
      return;
    }
    this.#shed.add(response);
    this.#shedSockets.add(socket);
    // What it sends meanwhile stays with the kernel.
    socket.pause();
    setTimeout(() => {
      this.#shed.delete(response);
      this.#shedSockets.delete(socket);
      if (socket.destroyed) return;
      socket.resume();
      this.#refuse(request, response, 'too_many', 'Ask less often.', 1);
    }, SHED_MS).unref();
  }

  #gather(request: IncomingMessage, response: ServerResponse): void {
    const { headers } = request;
    const isStranger = headers.authorization === undefined && headers.cookie === undefined;
    const mostBytes = isStranger ? STRANGER_BODY_MAX_BYTES : BODY_MAX_BYTES;
    if (Number(headers['content-length'] ?? 0) > mostBytes) {
      this.#refuseBody(request, response, isStranger);
      return;
    }
    if (this.#uploads >= UPLOADS_MAX) {
      this.dropped.calls++;
      this.#refuse(request, response, 'unavailable', 'Too many bodies are coming.', 1);
      return;
    }
    this.#uploads++;
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    let isOver = false;
    const over = (): boolean => {
      if (isOver) return true;
      isOver = true;
      clearTimeout(limit);
      this.#uploads--;
      return false;
    };
    const limit = setTimeout(() => {
      if (over()) return;
      request.socket.destroy();
    }, BODY_MS);
    request.on('data', (piece: Buffer) => {
      if (isOver) return;
      bytes += piece.length;
      if (bytes <= mostBytes) pieces.push(piece);
      else if (!over()) this.#refuseBody(request, response, isStranger);
    });
    request.on('end', () => {
      if (!over()) this.#pass(request, response, Buffer.concat(pieces));
    });
    request.on('close', over);
    request.on('error', over);
  }

  #refuseBody(request: IncomingMessage, response: ServerResponse, isStranger: boolean): void {
    if (isStranger) this.#refuse(request, response, 'no_credentials', '');
    else this.#refuse(request, response, 'too_large', `At most ${BODY_MAX_BYTES} bytes.`);
  }

  #pass(
    request: IncomingMessage,
    response: ServerResponse,
    body: Uint8Array | null,
    told: ToldPage | null = null,
  ): void {
    if (this.#thread === null || this.#calls.size >= CALLS_MAX) {
      this.#refuse(request, response, 'unavailable', 'The console is busy, or just starting.', 1);
      return;
    }
    const call = this.#nextCall++;
    const limit = setTimeout(() => {
      this.#calls.delete(call);
      this.#ping();
      this.#refuse(request, response, 'unavailable', 'The console did not answer in time.', 1);
    }, ANSWER_MS);
    this.#calls.set(call, { response, isHead: request.method === 'HEAD', told, limit });
    const asked = {
      method: request.method ?? 'GET',
      target: request.url ?? '/',
      fields: request.rawHeaders,
      body,
      peer: request.socket.remoteAddress ?? '',
      isAsking: told !== null,
    };
    this.#tell({ kind: 'call', call, asked });
  }

  /** What it waits for may be slow; a thread that does nothing else any more is none. */
  #ping(): void {
    const thread = this.#thread;
    if (thread === null || this.#pong !== null) return;
    this.#pong = setTimeout(() => {
      this.#options.log.write('error', 'console_hangs');
      void thread.terminate();
    }, PONG_MS);
    this.#tell({ kind: 'ping' });
  }

  #ponged(): void {
    if (this.#pong !== null) clearTimeout(this.#pong);
    this.#pong = null;
  }

  #refuse(
    request: IncomingMessage,
    response: ServerResponse,
    code: ProblemCode,
    detail: string,
    retryAfter: number | null = null,
  ): void {
    const answer = problemAnswer(new Problem(code, detail, { retryAfter }));
    const { socket } = request;
    if (request.complete || !declaresBody(request)) {
      write(response, answer, request.method === 'HEAD');
      return;
    }
    // The rest of its body is nobody's.
    response.setHeader('connection', 'close');
    write(response, answer, request.method === 'HEAD');
    let read = 0;
    request.on('data', (piece: Buffer) => {
      read += piece.length;
      if (read > REFUSED_READ_MAX_BYTES) socket.destroy();
    });
    request.on('error', () => {});
  }

  async #answer(question: number, what: MainQuestion, about: PurgeScope | null): Promise<void> {
    const answer = await this.#options.answers[what](about);
    this.#tell({ kind: 'told', question, answer });
  }

  #onMessage(message: FromConsole): void {
    switch (message.kind) {
      case 'ready':
        this.#options.log.write('debug', 'console_ready', {
          took_ms: Math.round(performance.now() - this.#startedAtMs),
        });
        break;
      case 'pong':
        this.#ponged();
        break;
      case 'answer': {
        const open = this.#take(message.call);
        if (open !== null) write(open.response, message.answer, open.isHead);
        break;
      }
      case 'let-in': {
        const open = this.#take(message.call);
        if (open !== null && open.told !== null) {
          const [type, body] = open.told();
          const fields = ['content-type', type, ...message.fields];
          write(open.response, { status: 200, fields, body }, open.isHead);
        }
        break;
      }
      case 'live':
        this.#beginLive(message.call, message.fields, message.owner);
        break;
      case 'live-over':
        for (const reader of this.#live) if (reader.owner === message.owner) this.#endLive(reader);
        break;
      case 'ask':
        void this.#answer(message.question, message.what, message.about);
        break;
      case 'log':
        this.#options.log.write(message.level, message.event, message.fields);
        break;
    }
  }

  #take(call: number): OpenCall | null {
    const open = this.#calls.get(call);
    if (open === undefined) return null;
    this.#calls.delete(call);
    clearTimeout(open.limit);
    return open;
  }

  #beginLive(call: number, fields: readonly string[], owner: string): void {
    const open = this.#take(call);
    if (open === null) return;
    const { response } = open;
    if (this.#live.size >= LIVE_MAX) {
      this.dropped.readers++;
      const detail = 'Too many live screens are open.';
      write(response, problemAnswer(new Problem('unavailable', detail, { retryAfter: 5 })), false);
      return;
    }
    const reader: LiveReader = { response, owner, endsMs: performance.now() + LIVE_FOR_MS };
    this.#live.add(reader);
    response.on('close', () => this.#live.delete(reader));
    response.on('error', () => {});
    response.writeHead(200, [...fields]);
    response.write(this.#event());
  }

  #endLive(reader: LiveReader): void {
    this.#live.delete(reader);
    reader.response.end();
  }

  #tick(): void {
    const { view } = this.#options;
    view.read();
    if (this.#live.size === 0) return;
    // Made once, whoever reads it.
    const event = this.#event();
    const nowMs = performance.now();
    for (const reader of this.#live) {
      if (reader.response.writableLength > LIVE_UNREAD_MAX_BYTES) {
        this.dropped.readers++;
        this.#live.delete(reader);
        reader.response.destroy();
      } else if (reader.endsMs <= nowMs) this.#endLive(reader);
      else reader.response.write(event);
    }
  }

  #event(): string {
    return `event: now\ndata: ${JSON.stringify(this.#options.view.now())}\n\n`;
  }

  #spawn(): void {
    const workerData: ConsoleStart = { ...this.#options.start, config: this.#config };
    this.#startedAtMs = performance.now();
    const thread = new Worker(new URL('./thread-entry.ts', import.meta.url), {
      workerData,
      stdout: false,
      resourceLimits: {
        maxOldGenerationSizeMb: HEAP_MB,
        maxYoungGenerationSizeMb: YOUNG_GENERATION_MB,
      },
    });
    this.#thread = thread;
    thread.on('message', (message: FromConsole) => this.#onMessage(message));
    thread.on('error', (error) =>
      this.#options.log.write('error', 'console_failed', { reason: error.message }),
    );
    thread.on('exit', () => this.#onExit());
  }

  #onExit(): void {
    this.#thread = null;
    this.#ponged();
    this.#failAll();
    for (const reader of this.#live) this.#endLive(reader);
    if (this.#isStopping) return;
    if (performance.now() - this.#startedAtMs > HEALTHY_AFTER_MS) this.#deaths = 0;
    const delayMs = Math.min(RESTART_MAX_MS, RESTART_MIN_MS * 2 ** this.#deaths++);
    this.#options.log.write('error', 'console_died', { restart_in_ms: delayMs });
    setTimeout(() => {
      if (!this.#isStopping) this.#spawn();
    }, delayMs).unref();
  }

  #failAll(): void {
    for (const call of [...this.#calls.keys()]) {
      const open = this.#take(call);
      if (open === null) continue;
      const problem = new Problem('unavailable', 'The console has ended.', { retryAfter: 1 });
      write(open.response, problemAnswer(problem), open.isHead);
    }
  }

  #tell(message: ToConsole): void {
    this.#thread?.postMessage(message);
  }
}

function declaresBody({ headers }: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': coding } = headers;
  return coding !== undefined || (length !== undefined && length !== '0');
}

function write(response: ServerResponse, answer: ToldAnswer, isHead: boolean): void {
  if (response.destroyed || response.headersSent) return;
  const { status, fields, body } = answer;
  const length = body === null ? 0 : Buffer.byteLength(body);
  const sized = status === 204 || status === 304 ? [] : ['content-length', String(length)];
  response.writeHead(status, [...fields, ...sized]);
  if (isHead || body === null) response.end();
  else response.end(body);
}

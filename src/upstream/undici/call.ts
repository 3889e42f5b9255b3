import { Buffer } from 'node:buffer';
import type { ClientHttp2Stream } from 'node:http2';
import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { isFieldValue, isNamed } from '../../wire/fields.ts';
import { DialError } from '../dial.ts';
import {
  CLOSED_EARLY,
  classify,
  FIRST_BYTE_TIMEOUT,
  IDLE_TIMEOUT,
  ownFailure,
  type UpstreamFailure,
} from '../failure.ts';
import { requestFields } from '../outgoing-head.ts';
import type { UpstreamTimeouts } from '../target.ts';
import {
  IDEMPOTENT,
  type UpstreamCall,
  type UpstreamEvents,
  type UpstreamRequest,
} from '../transport.ts';
import { nextStreamIs, type StreamOwner } from './streams.ts';

/** A connection of undici, as far as a call wants to know it. */
export interface UndiciConnection {
  /** Something was sent on it before. */
  readonly isReused: boolean;
  /** A request is being written to it. */
  used(): void;
  /** It ended without an answer: the TLS session that it resumed may be one that the server takes and then refuses. */
  doubt(): void;
  /** Nobody waits for it any more: it need not come about. */
  giveUp(): void;
}

/** What a call needs of its transport. */
export interface UndiciHome {
  readonly host: string;
  readonly timeouts: UpstreamTimeouts;
  readonly now: number;
  readonly tickMs: number;
  readonly isHttp2: boolean;
  /** What stands before the path in a request's target: a plain provider's origin behind a proxy, else nothing. */
  readonly targetPrefix: string;
  /** Further fields, for the proxy. Flat list. */
  readonly proxyFields: readonly string[];
  /** @param fresh on a connection on which nothing was ever sent */
  dispatch(options: Dispatcher.DispatchOptions, call: UndiciCall, fresh: boolean): void;
  onOver(call: UndiciCall): void;
  /** A bug of ours that one exchange met: undici makes the exception of a callback an error of its request. */
  onBug(error: unknown): void;
}

/** What waits in a body's stream before the client is paused, in pieces: one read of it. */
const UPLOAD_WAITS_PIECES = 1;

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const PATH = /^\/[\x21-\x7e\x80-\xff]*$/;

const PROXY_AUTHENTICATION_REQUIRED = 407;

/** RFC 9113 §7. By number: a worker without HTTP/2 does not load `node:http2`. */
const NO_ERROR = 0;

const framing = (code: string): UpstreamFailure => ({
  kind: 'framing',
  rejection: 'upstream_unreachable',
  code,
});

/** What undici says in its own codes, in the words of the failure table. */
const FAILURES: ReadonlyMap<string, UpstreamFailure> = new Map([
  ['UND_ERR_SOCKET', CLOSED_EARLY],
  ['UND_ERR_INFO', CLOSED_EARLY],
  ['UND_ERR_HEADERS_OVERFLOW', framing('HEAD_TOO_LONG')],
  ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', framing('CONTENT_LENGTH')],
  ['UND_ERR_HEADERS_TIMEOUT', FIRST_BYTE_TIMEOUT],
  ['UND_ERR_BODY_TIMEOUT', IDLE_TIMEOUT],
]);

/**
 * One request through undici. What undici leaves to its caller is done here: nothing that it would refuse is dispatched
 * (a refused one marks its connection busy for ever), silences are counted by the house's clock, interim responses are
 * passed over, foreign codings are refused, and a kept connection that was dead is retried once.
 */
export class UndiciCall implements UpstreamCall, StreamOwner, Dispatcher.DispatchHandler {
  readonly #home: UndiciHome;
  readonly #events: UpstreamEvents;
  readonly #options: Dispatcher.DispatchOptions;
  readonly #isRepeatable: boolean;
  /** The content, while it comes. */
  #upload: Readable | null = null;
  #connection: UndiciConnection | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  /** Only over HTTP/2. */
  #stream: ClientHttp2Stream | null = null;
  #wasReused = false;
  #isRetried = false;
  #isUploaded: boolean;
  #isSent = false;
  #isHeadSeen = false;
  /** The answer's own fields say where its content ends. */
  #isDelimited = false;
  #isPaused = false;
  #isOver = false;
  /** When something last happened that ends a silence; milliseconds of the ticker. */
  #sinceMs: number;
  reached = false;

  constructor(
    home: UndiciHome,
    request: UpstreamRequest,
    content: readonly Buffer[],
    whole: boolean,
    events: UpstreamEvents,
  ) {
    this.#home = home;
    this.#events = events;
    this.#isUploaded = whole;
    this.#sinceMs = home.now;
    this.#isRepeatable = whole && IDEMPOTENT.has(request.method);
    this.#options = {
      method: request.method as Dispatcher.HttpMethod,
      path: home.targetPrefix + request.target,
      headers: ['host', home.host, ...sendable(requestFields(request)), ...home.proxyFields],
      body: this.#bodyOf(request, content, whole),
    };
    if (isDispatchable(request, this.#options.headers as readonly string[])) {
      home.dispatch(this.#options, this, false);
    } else {
      // Whoever opened it has no call yet.
      queueMicrotask(() =>
        this.#fail({ kind: 'internal', rejection: 'internal_error', code: 'NOT_SENDABLE' }),
      );
    }
  }

  /**
   * A stream is what undici sends as it comes, and chunked where no length is declared: of objects, because it would
   * declare what waits in an ended stream of bytes.
   */
  #bodyOf(
    { coding }: UpstreamRequest,
    content: readonly Buffer[],
    whole: boolean,
  ): Buffer | Readable | null {
    if (coding === 'none') return null;
    if (whole && coding === 'sized') return Buffer.concat(content);
    const upload = new Readable({
      objectMode: true,
      highWaterMark: UPLOAD_WAITS_PIECES,
      read: () => {
        if (!this.#isOver && !this.#isUploaded) this.#events.onUploadDrained();
      },
    });
    // Destroyed when the response ends first: nobody's error.
    upload.on('error', () => {});
    for (const piece of content) if (piece.length > 0) upload.push(Buffer.from(piece));
    if (whole) upload.push(null);
    this.#upload = upload;
    return upload;
  }

  push(piece: Buffer): boolean {
    const isIgnored = this.#isOver || piece.length === 0;
    if (isIgnored || this.#upload === null || this.#upload.destroyed) return true;
    return this.#upload.push(Buffer.from(piece));
  }

  end(): void {
    if (this.#isUploaded || this.#isOver) return;
    this.#isUploaded = true;
    if (this.#upload?.destroyed === false) this.#upload.push(null);
  }

  pause(): void {
    if (this.#isOver || this.#isPaused) return;
    this.#isPaused = true;
    this.#controller?.pause();
  }

  resume(): void {
    if (this.#isOver || !this.#isPaused) return;
    this.#isPaused = false;
    this.#sinceMs = this.#home.now;
    this.#controller?.resume();
  }

  abort(): void {
    if (this.#isOver) return;
    this.#over();
    this.#stop();
  }

  /** Ends what has been silent for too long. */
  checkSilence(nowMs: number): void {
    if (this.#isOver) return;
    const { firstByteTimeoutMs, idleTimeoutMs } = this.#home.timeouts;
    // The ticker is at most a period behind, and no silence may be cut short.
    const silentMs = nowMs - this.#sinceMs - this.#home.tickMs;
    const isLate = (limitMs: number): boolean => limitMs > 0 && silentMs > limitMs;
    if (this.#isHeadSeen) {
      if (!this.#isPaused && isLate(idleTimeoutMs)) this.#failAndStop(IDLE_TIMEOUT);
    } else if (this.#isSent && isLate(firstByteTimeoutMs)) {
      this.#failAndStop(FIRST_BYTE_TIMEOUT);
    }
  }

  // ---- undici ------------------------------------------------------------------------------------------------------

  /** It waits for this connection, or is about to be written to it. */
  takenBy(connection: UndiciConnection): void {
    this.#connection = connection;
  }

  /** The request is about to be written: not when it is queued, nor while a connection comes about. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isOver) {
      controller.abort(new Error('aborted'));
      return;
    }
    nextStreamIs(this.#home.isHttp2 ? this : null);
    this.#wasReused = this.#connection?.isReused === true;
    this.#connection?.used();
    this.reached = true;
    this.#sinceMs = this.#home.now;
  }

  onStream(stream: ClientHttp2Stream): void {
    this.#stream = stream;
  }

  /** Its last byte was handed over: from now on it is the provider that is waited for. */
  onRequestSent(): void {
    this.#isSent = true;
    if (!this.#isHeadSeen) this.#sinceMs = this.#home.now;
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    reason?: string,
  ): void {
    if (this.#isOver || status < 200) return;
    const fields = flatFields(controller.rawHeaders);
    if (status === PROXY_AUTHENTICATION_REQUIRED && this.#home.targetPrefix !== '') {
      this.#failAndStop({
        kind: 'connect',
        rejection: 'upstream_unreachable',
        code: `PROXY_STATUS_${status}`,
      });
      return;
    }
    if (hasForeignCoding(fields)) {
      this.#failAndStop(framing('TRANSFER_CODING'));
      return;
    }
    this.#isHeadSeen = true;
    this.#isDelimited = isDelimited(fields);
    this.#sinceMs = this.#home.now;
    this.#events.onResponseHead(status, reason ?? '', fields, false);
    if (this.#isPaused) controller.pause();
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isOver) return;
    this.#sinceMs = this.#home.now;
    this.#events.onResponseChunk(chunk, false);
  }

  onResponseEnd(): void {
    if (this.#isOver) return;
    if (this.#stream !== null && this.#stream.rstCode !== NO_ERROR) {
      this.#fail(CLOSED_EARLY);
      return;
    }
    this.#over();
    this.#events.onResponseEnd(this.#stream === null && !this.#isDelimited);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#isOver) return;
    const failure = failureOf(error, this.reached);
    if (failure.kind === 'internal') this.#home.onBug(error);
    if (!this.#isHeadSeen) this.#connection?.doubt();
    if (this.#mayRetry(failure)) this.#retry();
    else this.#fail(failure);
  }

  /** What throws in here would be an error of undici's client that nobody listens for: the worker's end. */
  #retry(): void {
    this.#isRetried = true;
    this.#isSent = false;
    this.#controller = null;
    this.#stream = null;
    try {
      this.#events.onRequestRetried();
      this.#home.dispatch(this.#options, this, true);
    } catch (error) {
      this.#home.onBug(error);
      this.#fail(ownFailure(error));
    }
  }

  /** RFC 9110 §9.2.2: a kept connection that died before any byte of the response. */
  #mayRetry({ kind }: UpstreamFailure): boolean {
    const mayRepeat = this.#isRepeatable && !this.#isHeadSeen && !this.#isRetried;
    return mayRepeat && kind === 'reset' && this.#wasReused;
  }

  #failAndStop(failure: UpstreamFailure): void {
    this.#fail(failure);
    this.#stop();
  }

  #fail(failure: UpstreamFailure): void {
    if (this.#isOver) return;
    this.#over();
    this.#upload?.destroy();
    this.#events.onUpstreamFailure(failure);
  }

  #over(): void {
    this.#isOver = true;
    this.#home.onOver(this);
  }

  #stop(): void {
    this.#upload?.destroy();
    if (this.#controller === null) this.#connection?.giveUp();
    else this.#controller.abort(new Error('aborted'));
  }
}

/** Without what undici refuses where the house's client would send it: one length is as good as two equal ones. */
function sendable(fields: readonly string[]): readonly string[] {
  let hasLength = false;
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    if (name === 'content-length') {
      if (hasLength) continue;
      hasLength = true;
    }
    kept.push(name, fields[i + 1] ?? '');
  }
  return kept;
}

/** What undici would refuse behind its dispatch, it must never see. */
function isDispatchable({ method, target }: UpstreamRequest, fields: readonly string[]): boolean {
  if (!TOKEN.test(method) || !PATH.test(target)) return false;
  return fields.every((text, at) => (at % 2 === 0 ? TOKEN.test(text) : isFieldValue(text)));
}

/** RFC 9112 §7: relayed would be what was not said. */
function hasForeignCoding(fields: readonly string[]): boolean {
  for (let i = 0; i < fields.length; i += 2) {
    if (!isNamed(fields[i] ?? '', 'transfer-encoding')) continue;
    if ((fields[i + 1] ?? '').trim().toLowerCase() !== 'chunked') return true;
  }
  return false;
}

/** RFC 9112 §6.3: without a length or a coding, the connection's end is the content's. */
function isDelimited(fields: readonly string[]): boolean {
  return fields.some(
    (name, at) =>
      at % 2 === 0 && (isNamed(name, 'content-length') || isNamed(name, 'transfer-encoding')),
  );
}

type RawFields = Dispatcher.DispatchController['rawHeaders'];

/** As the wire had them; of HTTP/2 an object, whose names Node has grouped. */
function flatFields(raw: RawFields): readonly string[] {
  if (Array.isArray(raw))
    return raw.map((text) => (typeof text === 'string' ? text : text.toString('latin1')));
  return Object.entries(raw ?? {}).flatMap(([name, value]) => {
    const values = Array.isArray(value) ? value : [value];
    return name.startsWith(':') ? [] : values.flatMap((one) => [name, String(one)]);
  });
}

/** @param reached something of the request was written */
function failureOf(error: Error, reached: boolean): UpstreamFailure {
  if (error instanceof DialError) return error.failure;
  const { code = '' } = error as NodeJS.ErrnoException;
  if (error.name === 'HTTPParserError') return framing(code === '' ? 'HTTP_PARSER' : code);
  return FAILURES.get(code) ?? classify(error, reached);
}

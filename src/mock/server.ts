import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Asked } from './asked.ts';
import { ENDPOINTS, type Endpoint } from './endpoints.ts';
import { type Fault, faultOf, spoiled, spoiledBody } from './faults.ts';
import { answerFile } from './files.ts';
import { EMPTY_OBJECT, parseObject, stringAt } from './json.ts';
import { UploadReader } from './multipart.ts';
import { PATTERN_PERIOD_BYTES, patternBlock } from './pattern.ts';
import type { BodyReply, EventsReply, PatternReply, Reply, Tokens } from './reply.ts';
import {
  contentFilter,
  contextLength,
  errorReply,
  failureBody,
  unknownModel,
  type Voice,
  wrongKey,
} from './vendor-errors.ts';

interface MockOptions {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  /** Between two events of a stream; 0 = as fast as they are taken. */
  readonly eventDelayMs: number;
  readonly log?: (line: string) => void;
  /** Told of each answer that was sent whole and billed: a provider's own books. */
  readonly billed?: (asked: Asked, tokens: Tokens) => void;
}

/** What the mock gave out: what a gateway counted must equal it. */
interface MockStats {
  readonly requests: Readonly<Record<string, number>>;
  readonly openStreams: number;
  /** Answers whose client left before their end. */
  readonly aborted: number;
  /** Of answers that were sent whole. */
  readonly tokens: Tokens;
}

export interface RunningMock {
  readonly origin: string;
  readonly port: number;
  stats(): MockStats;
  close(): Promise<void>;
}

/** A JSON request body at most; a base64 image of 48 MiB fits. */
const MAX_BODY_BYTES = 64 * 1_048_576;

const VENDORS = [
  'openai',
  'groq',
  'mistral',
  'deepseek',
  'cerebras',
  'together',
  'openrouter',
  'xai',
  'perplexity',
  'fireworks',
  'azure',
] as const;

/** Starts a provider to develop against. */
export async function startMock(options: MockOptions): Promise<RunningMock> {
  const mock = new Mock(options);
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) =>
    mock.serve(request, response),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => resolve());
  });
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://${options.host}:${port}`,
    port,
    stats: () => mock.stats(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

class Mock {
  readonly #options: MockOptions;
  readonly #requests = new Map<string, number>();
  /** Seeds of requests that were refused once and are answered the next time. Cleared when a thousand are in it. */
  readonly #refusedOnce = new Set<string>();
  /** How often a model that flaps was asked for. Cleared when a thousand are in it. */
  readonly #flaps = new Map<string, number>();
  #openStreams = 0;
  #aborted = 0;
  #input = 0;
  #output = 0;

  constructor(options: MockOptions) {
    this.#options = options;
  }

  stats(): MockStats {
    return {
      requests: Object.fromEntries(this.#requests),
      openStreams: this.#openStreams,
      aborted: this.#aborted,
      tokens: { input: this.#input, output: this.#output },
    };
  }

  serve(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const endpoint = ENDPOINTS.find((row) => row.method === method && row.path.test(path));
    const voice = voiceOf(request, path, '');
    if (voice.vendor !== 'ollama' && !hasKey(request)) {
      request.resume();
      this.#body(response, errorReply(voice, 401, 'No API key was sent to the mock.'));
    } else if (hasWrongKey(request)) {
      request.resume();
      this.#body(response, wrongKey(voice));
    } else if (endpoint === undefined) {
      request.resume();
      this.#body(response, errorReply(voice, 404, `The mock has no ${request.method} ${path}.`));
    } else {
      this.#requests.set(endpoint.name, (this.#requests.get(endpoint.name) ?? 0) + 1);
      if (endpoint.answer === null) this.#upload(request, response);
      else this.#read(request, response, endpoint, path);
    }
  }

  #upload(request: IncomingMessage, response: ServerResponse): void {
    const reader = new UploadReader(request.headers['content-type'] ?? '');
    request.on('data', (chunk: Buffer) => reader.push(chunk));
    request.on('end', () => this.#send(response, answerFile(reader.end()), null));
  }

  #read(
    request: IncomingMessage,
    response: ServerResponse,
    endpoint: Endpoint,
    path: string,
  ): void {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
    });
    request.on('end', () => {
      const raw = Buffer.concat(chunks);
      const body = raw.length === 0 ? EMPTY_OBJECT : parseObject(raw);
      if (body === null || bytes > MAX_BODY_BYTES) {
        this.#body(
          response,
          errorReply(
            voiceOf(request, path, ''),
            400,
            'The body is no JSON object that the mock takes.',
          ),
        );
        return;
      }
      const model =
        stringAt(body, 'model') ??
        decodeURIComponent(path.slice(path.lastIndexOf('/') + 1).replace(GEMINI_VERB, ''));
      const asked: Asked = {
        path,
        query: (request.url ?? '').slice(path.length + 1),
        fields: request.headers,
        body,
        model,
        seed: createHash('sha256').update(path).update(raw).digest('hex'),
        voice: voiceOf(request, path, model),
      };
      this.#answer(response, endpoint, asked);
    });
  }

  #answer(response: ServerResponse, { answer, name }: Endpoint, asked: Asked): void {
    // What an answer would have been without its fault: for whoever compares.
    const fault = asked.fields['x-mock-faults'] === 'off' ? null : faultOf(asked.model);
    this.#options.log?.(`${name} ${asked.model}${fault === null ? '' : ` (${fault.kind})`}`);
    const send = (): void => {
      if (answer === null) return;
      const reply = answer(asked);
      const tokens = reply.kind === 'pattern' ? null : reply.tokens;
      const isBilled = tokens !== null && !BILLS_NOTHING.has(fault?.kind ?? '');
      if (isBilled) response.once('finish', () => this.#bill(asked, tokens));
      this.#send(response, reply, fault, asked.voice);
    };
    switch (fault?.kind) {
      case 'status':
        this.#refuse(response, asked.voice, fault.amount);
        break;
      case 'status-once':
        if (this.#firstTime(asked.seed)) this.#refuse(response, asked.voice, fault.amount);
        else send();
        break;
      case 'status-bare':
        this.#refuse(response, asked.voice, fault.amount, null);
        break;
      case 'status-after':
        this.#refuse(response, asked.voice, 429, fault.amount);
        break;
      case 'flap':
        if (this.#isDown(asked.model, fault.amount)) this.#refuse(response, asked.voice, 503);
        else send();
        break;
      case 'unknown-model':
        this.#body(response, unknownModel(asked.voice, asked.model));
        break;
      case 'context-length':
        this.#body(response, contextLength(asked.voice));
        break;
      case 'content-filter':
        this.#body(response, contentFilter(asked.voice));
        break;
      case 'no-prefill':
        if (isPrefilled(asked)) this.#refuse(response, asked.voice, 400);
        else send();
        break;
      case 'reset':
        response.socket?.resetAndDestroy();
        break;
      case 'reset-once':
        if (this.#firstTime(asked.seed)) response.socket?.resetAndDestroy();
        else send();
        break;
      case 'silence':
        break;
      case 'garbage':
        response.socket?.end('this is not HTTP\r\n\r\n');
        break;
      case 'slow-first-byte':
        setTimeout(() => {
          if (!response.destroyed) send();
        }, fault.amount);
        break;
      default:
        send();
    }
  }

  #firstTime(seed: string): boolean {
    if (this.#refusedOnce.delete(seed)) return false;
    if (this.#refusedOnce.size > 1_000) this.#refusedOnce.clear();
    this.#refusedOnce.add(seed);
    return true;
  }

  #isDown(model: string, times: number): boolean {
    const asked = this.#flaps.get(model) ?? 0;
    if (this.#flaps.size > 1_000) this.#flaps.clear();
    this.#flaps.set(model, asked + 1);
    return asked % (2 * times) < times;
  }

  #refuse(
    response: ServerResponse,
    voice: Voice,
    status: number,
    waitS: number | null = status === 429 ? 1 : null,
  ): void {
    this.#body(
      response,
      errorReply(voice, status, `The mock answers ${status}, as it was asked to.`, waitS),
    );
  }

  #send(
    response: ServerResponse,
    reply: Reply,
    fault: Fault | null,
    voice: Voice | null = null,
  ): void {
    response.on('close', () => {
      if (!response.writableFinished) this.#aborted++;
    });
    if (reply.kind === 'body') {
      const failure = voice === null ? '' : failureBody(voice);
      const body = spoiledBody(reply.status < 400 ? fault : null, reply.body, failure);
      this.#body(response, body === null ? reply : { ...reply, body }, fault);
    } else if (reply.kind === 'pattern') sendPattern(response, reply);
    else this.#events(response, reply, fault);
  }

  #body(response: ServerResponse, reply: BodyReply, fault: Fault | null = null): void {
    const bytes = Buffer.from(reply.body);
    response.writeHead(reply.status, [
      'content-type',
      reply.contentType,
      'content-length',
      String(bytes.length),
      'x-request-id',
      'req_mock',
      ...reply.fields,
    ]);
    switch (fault?.kind) {
      case 'short-length':
      case 'cut':
      case 'cut-midevent':
        response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
        break;
      case 'stall':
      case 'role-only':
      case 'pings':
        response.write(bytes.subarray(0, bytes.length >> 1));
        break;
      case 'slow-first-content':
        response.flushHeaders();
        setTimeout(() => {
          if (!response.destroyed) response.end(bytes);
        }, fault.amount);
        break;
      default:
        response.end(bytes);
    }
  }

  #events(response: ServerResponse, reply: EventsReply, fault: Fault | null): void {
    response.writeHead(200, [
      'content-type',
      reply.contentType ?? 'text/event-stream; charset=utf-8',
      'cache-control',
      'no-cache',
      'x-request-id',
      'req_mock',
    ]);
    this.#openStreams++;
    response.on('close', () => this.#openStreams--);
    const delayMs = fault?.kind === 'pace' ? fault.amount : this.#options.eventDelayMs;
    const events = spoiled(fault, reply);
    if (fault?.kind === 'pings') {
      keepAlive(response, reply);
    } else if (fault?.kind === 'role-only') {
      response.write(events.slice(0, reply.contentAt).join('') || idleOf(reply));
    } else if (fault?.kind === 'slow-first-content') {
      response.write(events.slice(0, reply.contentAt).join('') || idleOf(reply));
      const rest = events.slice(reply.contentAt);
      setTimeout(() => sendEvents(response, rest, null, delayMs), fault.amount);
    } else {
      sendEvents(response, events, fault, delayMs);
    }
  }

  #bill(asked: Asked, tokens: Tokens): void {
    this.#input += tokens.input;
    this.#output += tokens.output;
    this.#options.billed?.(asked, tokens);
  }
}

/** What says that nothing has come yet: a comment, and an empty line where those are none. */
function idleOf({ contentType }: EventsReply): string {
  return contentType === undefined ? ': nothing yet\n\n' : '\n';
}

/** Milliseconds between two keep-alives. */
const KEEP_ALIVE_MS = 20;

/** Keep-alives as the dialect has them, until the client leaves. */
function keepAlive(response: ServerResponse, reply: EventsReply): void {
  const ping = reply.events.find((event) => event.startsWith('event: ping')) ?? idleOf(reply);
  response.write(ping);
  const timer = setInterval(() => response.write(ping), KEEP_ALIVE_MS);
  response.on('close', () => clearInterval(timer));
}

/** What never was an answer costs nothing. */
const BILLS_NOTHING: ReadonlySet<string> = new Set(['cut-json', 'empty', 'error-first']);

function sendEvents(
  response: ServerResponse,
  events: readonly string[],
  fault: Fault | null,
  delayMs: number,
): void {
  let at = 0;
  const step = (): void => {
    while (!response.destroyed) {
      if (fault !== null && at >= fault.amount && struck(response, fault, events[at] ?? '')) return;
      const event = events[at++];
      if (event === undefined) {
        response.end();
        return;
      }
      const taken = response.write(event);
      // A provider ends its answer right behind the last event.
      if (at === events.length && fault === null) continue;
      if (delayMs > 0) setTimeout(step, delayMs);
      else if (!taken) response.once('drain', step);
      if (delayMs > 0 || !taken) return;
    }
  };
  step();
}

/** Does to the connection what the fault says; true when nothing more is to be sent. */
function struck(response: ServerResponse, { kind }: Fault, next: string): boolean {
  if (kind === 'stall') return true;
  if (kind === 'cut') {
    response.flushHeaders();
    // Behind the events that wait in the connection, not before them.
    response.socket?.end();
    return true;
  }
  if (kind !== 'cut-midevent') return false;
  response.write(next.slice(0, Math.max(1, next.length >> 1)));
  response.socket?.end();
  return true;
}

function sendPattern(response: ServerResponse, { contentType, bytes }: PatternReply): void {
  response.writeHead(200, ['content-type', contentType, 'x-request-id', 'req_mock']);
  let sent = 0;
  const step = (): void => {
    while (sent < bytes && !response.destroyed) {
      const block = patternBlock(Math.min(PATTERN_PERIOD_BYTES, bytes - sent));
      sent += block.length;
      if (!response.write(block)) {
        response.once('drain', step);
        return;
      }
    }
    response.end();
  };
  step();
}

function isPrefilled({ body }: Asked): boolean {
  const messages = body['messages'];
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined;
  return typeof last === 'object' && last !== null && 'role' in last && last.role === 'assistant';
}

function hasKey({ headers, url }: IncomingMessage): boolean {
  const bearer = /^bearer +\S/i.test(headers.authorization ?? '');
  const fields = ['x-api-key', 'api-key', 'x-goog-api-key'].some(
    (name) => (headers[name] ?? '') !== '',
  );
  return bearer || fields || /[?&]key=[^&]/.test(url ?? '');
}

/** What a path of Gemini's own wire ends with, behind its model. */
const GEMINI_VERB = /:(?:generateContent|streamGenerateContent|countTokens)$/;

/** Every other key is accepted: this one is for seeing what a caller is told whose key is not. */
function hasWrongKey({ headers }: IncomingMessage): boolean {
  const key =
    headers.authorization?.replace(/^bearer +/i, '') ??
    headers['x-api-key'] ??
    headers['x-goog-api-key'];
  return key === 'sk-wrong' || key === 'sk-ant-wrong';
}

/** Whose wire shape is spoken: `x-mock-provider`, else a `provider/` before the model, else the path's dialect. */
function voiceOf(request: IncomingMessage, path: string, model: string): Voice {
  const anthropic =
    /\/messages(?:\/count_tokens)?$/.test(path) ||
    request.headers['anthropic-version'] !== undefined;
  // Nobody else has these paths, and nobody else speaks so there.
  if (GEMINI_VERB.test(path)) return { dialect: 'openai', vendor: 'gemini' };
  if (/\/api\/(?:chat|embed)$/.test(path)) return { dialect: 'openai', vendor: 'ollama' };
  const named = request.headers['x-mock-provider'] ?? model.split('/', 1)[0];
  const vendor = VENDORS.find((name) => name === named) ?? 'openai';
  return anthropic ? { dialect: 'anthropic', vendor: 'anthropic' } : { dialect: 'openai', vendor };
}

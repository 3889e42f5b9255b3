import { createHash, type Hash } from 'node:crypto';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { chunkOf, LAST_CHUNK } from './chunked.ts';
import { until } from './conditions.ts';

/** One request as it stood on the wire. */
export interface SeenRequest {
  readonly method: string;
  readonly target: string;
  /** `[name, value]` in wire order and case, one character per byte. */
  readonly fields: readonly (readonly [string, string])[];
  /** Number of this request on its connection, from 0. */
  readonly onConnection: number;
  bodyBytes: number;
  sha256: string;
  /** The whole body, once it is done; only with `keepBodies`. */
  body: Buffer;
  bodyDone: boolean;
  peerClosed: boolean;
  field(name: string): string | undefined;
}

/** What a script does with one request: it owns the socket, byte for byte. */
export interface Turn {
  readonly request: SeenRequest;
  readonly socket: Socket;
  /** Resolves when the whole request body has come. */
  bodyDone(): Promise<void>;
  /** Raw bytes; waits while the peer does not read, and resolves early when it left. */
  write(bytes: string | Buffer): Promise<void>;
  /** Sized answer in one go. */
  answer(body: string | Buffer, fields?: readonly string[]): Promise<void>;
  /** Starts a chunked answer. */
  stream(fields?: readonly string[]): Promise<void>;
  chunk(bytes: string | Buffer): Promise<void>;
  lastChunk(): Promise<void>;
  reset(): void;
}

export type Script = (turn: Turn) => Promise<void> | void;

export interface UpstreamOptions {
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly host?: string;
  /** Default: any that is free. */
  readonly port?: number;
  /** Reads request bodies no faster than this; 0 = as fast as they come. Bytes per second. */
  readonly readBytesPerSecond?: number;
  /** Off, because some tests send gigabytes. */
  readonly keepBodies?: boolean;
}

/** A provider that does exactly what a test says, on raw sockets, and remembers what it was sent. */
export class ScriptedUpstream {
  readonly requests: SeenRequest[] = [];
  readonly sockets = new Set<Socket>();
  connections = 0;
  script: Script;
  readonly #server: Server;
  readonly #options: UpstreamOptions;

  constructor(script: Script, options: UpstreamOptions) {
    this.script = script;
    this.#options = options;
    const accept = (socket: Socket): void => this.#accept(socket);
    this.#server =
      options.tls === undefined
        ? createServer({ noDelay: true }, accept)
        : createTlsServer({ ...options.tls, ALPNProtocols: ['http/1.1'] }, accept);
    this.#server.on('tlsClientError', () => {});
    this.#server.on('connection', (socket: Socket) => {
      // What a TLS socket is made of: only that can be reset.
      const pair = portsOf(socket);
      beneath.set(pair, socket);
      // Who comes from the same port behind it may be here already.
      socket.on('close', () => {
        if (beneath.get(pair) === socket) beneath.delete(pair);
      });
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#options.port ?? 0, this.#options.host ?? '127.0.0.1', () =>
        resolve(),
      );
    });
    return this;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** Resolves when no connection is open but idle ones that the gateway keeps for reuse. */
  async noneBusy(): Promise<void> {
    await until('every upstream exchange to be over', () =>
      [...this.sockets].every((socket) => !busy.has(socket)),
    );
  }

  async request(index: number): Promise<SeenRequest> {
    return await until(`request ${index} at the upstream`, () => this.requests[index]);
  }

  #accept(socket: Socket): void {
    this.connections++;
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    const reader = new RequestReader(socket, this.#options, (request) => {
      this.requests.push(request);
      busy.add(socket);
      const done = this.script(turnOf(request, socket, reader));
      void Promise.resolve(done).finally(() => busy.delete(socket));
    });
  }
}

const busy = new WeakSet<Socket>();
/** Plain sockets by both their ports: one port of a peer may lead to several upstreams at once. */
const beneath = new Map<string, Socket>();

const portsOf = ({ localPort, remotePort }: Socket): string => `${localPort}:${remotePort}`;

export async function startUpstream(
  script: Script,
  options: UpstreamOptions = {},
): Promise<ScriptedUpstream> {
  return await new ScriptedUpstream(script, options).listen();
}

function turnOf(request: SeenRequest, socket: Socket, reader: RequestReader): Turn {
  const write = async (bytes: string | Buffer): Promise<void> => {
    if (socket.destroyed) return;
    const taken = socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    if (taken) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off('drain', done).off('close', done);
        resolve();
      };
      socket.on('drain', done).on('close', done);
    });
  };
  const head = (fields: readonly string[]): string =>
    `HTTP/1.1 200 OK\r\n${fields.map((line) => `${line}\r\n`).join('')}`;
  return {
    request,
    socket,
    bodyDone: () => reader.whenBodyDone(),
    write,
    answer: async (body, fields = ['content-type: application/json']) => {
      const bytes = typeof body === 'string' ? Buffer.from(body) : body;
      await write(`${head(fields)}content-length: ${bytes.length}\r\n\r\n`);
      await write(bytes);
    },
    stream: async (fields = ['content-type: text/event-stream']) => {
      await write(`${head(fields)}transfer-encoding: chunked\r\n\r\n`);
    },
    chunk: async (bytes) => {
      if (bytes.length > 0) await write(chunkOf(bytes));
    },
    lastChunk: () => write(LAST_CHUNK),
    reset: () => beneath.get(portsOf(socket))?.resetAndDestroy(),
  };
}

/** Strict: what is not plain HTTP/1.1 throws, because the gateway must never send it. */
class RequestReader {
  readonly #socket: Socket;
  readonly #rate: number;
  /** Null when bodies are not kept. */
  readonly #pieces: Buffer[] | null;
  readonly #onHead: (request: SeenRequest) => void;
  #buffered: Buffer = Buffer.alloc(0);
  #request: SeenRequest | null = null;
  #hash: Hash = createHash('sha256');
  #remaining = 0;
  #chunked = false;
  #inChunk = false;
  #count = 0;
  #waiting: (() => void)[] = [];

  constructor(
    socket: Socket,
    { readBytesPerSecond = 0, keepBodies = false }: UpstreamOptions,
    onHead: (request: SeenRequest) => void,
  ) {
    this.#socket = socket;
    this.#rate = readBytesPerSecond;
    this.#pieces = keepBodies ? [] : null;
    this.#onHead = onHead;
    socket.on('data', (data: Buffer) => this.#push(data));
    socket.on('close', () => {
      if (this.#request !== null) this.#request.peerClosed = true;
      this.#release();
    });
  }

  whenBodyDone(): Promise<void> {
    if (this.#request?.bodyDone !== false || this.#socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #push(data: Buffer): void {
    if (this.#rate > 0) {
      this.#socket.pause();
      setTimeout(() => this.#socket.resume(), (data.length / this.#rate) * 1000);
    }
    this.#buffered = this.#buffered.length === 0 ? data : Buffer.concat([this.#buffered, data]);
    while (this.#step());
  }

  #step(): boolean {
    if (this.#buffered.length === 0) return false;
    if (this.#request === null || this.#request.bodyDone) return this.#head();
    if (this.#chunked && !this.#inChunk) return this.#chunkLine();
    return this.#content();
  }

  #head(): boolean {
    const end = this.#buffered.indexOf('\r\n\r\n');
    if (end === -1) return false;
    const [start = '', ...lines] = this.#buffered.subarray(0, end).toString('latin1').split('\r\n');
    this.#buffered = this.#buffered.subarray(end + 4);
    const [method = '', target = ''] = start.split(' ');
    const fields = lines.map((line) => {
      const at = line.indexOf(':');
      return [line.slice(0, at), line.slice(at + 1).trim()] as const;
    });
    const field = (name: string): string | undefined =>
      fields.find(([key]) => key.toLowerCase() === name)?.[1];
    this.#chunked = field('transfer-encoding') === 'chunked';
    this.#remaining = Number(field('content-length') ?? 0);
    this.#inChunk = false;
    this.#hash = createHash('sha256');
    const bodyDone = !this.#chunked && this.#remaining === 0;
    this.#request = {
      method,
      target,
      fields,
      onConnection: this.#count++,
      bodyBytes: 0,
      sha256: '',
      body: Buffer.alloc(0),
      bodyDone: false,
      peerClosed: false,
      field,
    };
    if (bodyDone) this.#finish();
    this.#onHead(this.#request);
    return true;
  }

  #chunkLine(): boolean {
    const end = this.#buffered.indexOf('\r\n');
    if (end === -1) return false;
    const line = this.#buffered.subarray(0, end).toString('latin1');
    if (!/^[0-9a-f]+$/.test(line)) throw new Error(`Bad chunk line from the gateway: ${line}`);
    const size = Number.parseInt(line, 16);
    if (size > 0) {
      this.#buffered = this.#buffered.subarray(end + 2);
      this.#remaining = size;
      this.#inChunk = true;
      return true;
    }
    if (this.#buffered.length < end + 4) return false;
    this.#buffered = this.#buffered.subarray(end + 4);
    this.#finish();
    return true;
  }

  #content(): boolean {
    const request = this.#request;
    if (request === null) return false;
    const piece = this.#buffered.subarray(0, this.#remaining);
    this.#hash.update(piece);
    this.#pieces?.push(Buffer.from(piece));
    request.bodyBytes += piece.length;
    this.#remaining -= piece.length;
    this.#buffered = this.#buffered.subarray(piece.length);
    if (this.#remaining > 0) return false;
    if (!this.#chunked) {
      this.#finish();
      return true;
    }
    if (this.#buffered.length < 2) {
      // The CRLF behind a chunk comes with the next read.
      this.#remaining = 0;
      return false;
    }
    this.#buffered = this.#buffered.subarray(2);
    this.#inChunk = false;
    return true;
  }

  #finish(): void {
    if (this.#request === null) return;
    this.#request.sha256 = this.#hash.digest('hex');
    this.#request.body = Buffer.concat(this.#pieces?.splice(0) ?? []);
    this.#request.bodyDone = true;
    this.#release();
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

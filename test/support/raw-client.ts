import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { until } from './conditions.ts';
import { expectNoSecret } from './secrets.ts';

/** A response as it stood on the wire. */
export interface RawResponse {
  readonly status: number;
  /** The status line, one character per byte. */
  readonly start: string;
  /** `[name, value]`, names lower-cased, one character per byte. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: Buffer;
  readonly sha256: string;
  /** True only when the framing said that nothing is missing. */
  readonly complete: boolean;
  field(name: string): string | undefined;
  json(): unknown;
}

export interface RawClientOptions {
  readonly tls?: { readonly ca: string };
  /** Reads no faster than this; 0 = as fast as it comes. Bytes per second. */
  readonly readBytesPerSecond?: number;
  /** Called for each piece read: may pause the socket and resume it later. */
  readonly onData?: (socket: Socket, readBytes: number) => void;
}

/** A client that sends exactly the bytes it is told and reads responses strictly. */
export class RawClient {
  readonly socket: Socket;
  /** The connection ended, by FIN or by reset. */
  closed = false;
  reset = false;
  received: Buffer[] = [];
  receivedBytes = 0;
  #reason = 'no error';

  constructor(port: number, options: RawClientOptions = {}) {
    const { tls, readBytesPerSecond = 0, onData } = options;
    this.socket =
      tls === undefined
        ? connect({ port, host: '127.0.0.1', noDelay: true })
        : connectTls({ port, host: '127.0.0.1', ca: tls.ca, servername: 'localhost' });
    this.socket.on('data', (data: Buffer) => {
      this.received.push(data);
      this.receivedBytes += data.length;
      onData?.(this.socket, this.receivedBytes);
      if (readBytesPerSecond === 0) return;
      this.socket.pause();
      setTimeout(() => this.socket.resume(), (data.length / readBytesPerSecond) * 1000);
    });
    this.socket.on('error', ({ message }) => {
      this.#reason = message;
      this.reset = true;
    });
    this.socket.on('close', () => {
      this.closed = true;
    });
  }

  send(bytes: string | Buffer): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    return this;
  }

  /** The next whole response, or what there is of it when the connection closes. */
  async response(head = false): Promise<RawResponse> {
    let parsed: RawResponse | null = null;
    let seen = -1;
    await until(
      'a response',
      () => {
        // Parsing is from the start each time: only worth it when something came.
        if (this.receivedBytes === seen && !this.closed) return false;
        seen = this.receivedBytes;
        const all = Buffer.concat(this.received);
        this.received = [all];
        const next = parse(all, head);
        if (next === null) {
          if (this.closed)
            throw new Error(
              `Closed without a response (${this.#reason}, ${this.socket.bytesWritten} bytes sent): ${all.toString('latin1')}`,
            );
          return false;
        }
        if (!next.response.complete && !this.closed) return false;
        expectNoSecret('a response', all.subarray(0, next.end));
        this.received = [all.subarray(next.end)];
        this.receivedBytes = all.length - next.end;
        parsed = next.response;
        return true;
      },
      180_000,
    );
    if (parsed === null) throw new Error('unreachable');
    return parsed;
  }

  close(): void {
    this.socket.destroy();
  }
}

function parse(all: Buffer, toHead: boolean): { response: RawResponse; end: number } | null {
  const headEnd = all.indexOf('\r\n\r\n');
  if (headEnd === -1) return null;
  const [start = '', ...lines] = all.subarray(0, headEnd).toString('latin1').split('\r\n');
  const status = Number(start.split(' ')[1]);
  const fields = lines.map((line) => {
    const at = line.indexOf(':');
    return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()] as const;
  });
  const field = (name: string): string | undefined => fields.find(([key]) => key === name)?.[1];
  if (status === 100) {
    const next = parse(all.subarray(headEnd + 4), toHead);
    return next === null ? null : { response: next.response, end: next.end + headEnd + 4 };
  }
  const from = headEnd + 4;
  const bodyless = toHead || status === 204 || status === 304;
  const { body, complete, end } = bodyless
    ? { body: Buffer.alloc(0), complete: true, end: from }
    : field('transfer-encoding') === 'chunked'
      ? chunkedBody(all, from)
      : sizedBody(all, from, Number(field('content-length') ?? Number.NaN));
  const sha256 = createHash('sha256').update(body).digest('hex');
  const json = (): unknown => JSON.parse(body.toString('utf8'));
  return { response: { status, start, fields, body, sha256, complete, field, json }, end };
}

interface ReadBody {
  readonly body: Buffer;
  readonly complete: boolean;
  readonly end: number;
}

function sizedBody(all: Buffer, from: number, length: number): ReadBody {
  if (Number.isNaN(length)) return { body: all.subarray(from), complete: false, end: all.length };
  const body = all.subarray(from, from + length);
  return { body, complete: body.length === length, end: from + body.length };
}

function chunkedBody(all: Buffer, from: number): ReadBody {
  const pieces: Buffer[] = [];
  let at = from;
  for (;;) {
    const lineEnd = all.indexOf('\r\n', at);
    if (lineEnd === -1) break;
    const line = all.subarray(at, lineEnd).toString('latin1');
    if (!/^[0-9a-fA-F]+$/.test(line)) throw new Error(`Bad chunk line from the gateway: "${line}"`);
    const size = Number.parseInt(line, 16);
    const next = lineEnd + 2 + size + 2;
    if (size === 0) {
      if (all.length < next) break;
      return { body: Buffer.concat(pieces), complete: true, end: next };
    }
    pieces.push(all.subarray(lineEnd + 2, Math.min(lineEnd + 2 + size, all.length)));
    if (all.length < next) break;
    at = next;
  }
  return { body: Buffer.concat(pieces), complete: false, end: all.length };
}

/** A request head that is right in every respect. */
export function head(method: string, target: string, fields: readonly string[] = []): string {
  const lines = ['Host: sluice.test', 'Authorization: Bearer sk-test', ...fields];
  return `${method} ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
}

/** The path of most managed requests here. */
export const CHAT = '/v1/chat/completions';

/** A whole POST with a caller's key. */
export function post(key: string, target = CHAT, body: string | Buffer = '{"model":"m"}'): Buffer {
  const fields =
    `Host: s\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}`;
  return Buffer.concat([
    Buffer.from(`POST ${target} HTTP/1.1\r\n${fields}\r\n\r\n`, 'latin1'),
    Buffer.from(body),
  ]);
}

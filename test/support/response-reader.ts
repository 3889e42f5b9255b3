import { createHash, type Hash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { seededRandom } from './fixtures.ts';

/** One response, read strictly while it came: for bodies too large, or readers too slow, to look at twice. */
interface StreamedResponse {
  readonly status: number;
  /** Status line and fields as they stood on the wire, one character per byte, without the blank line. */
  readonly head: string;
  readonly bodyBytes: number;
  /** Of the body without its framing, lower-case hex. */
  readonly sha256: string;
  /** The framing said that nothing is missing, and nothing came behind it. */
  readonly complete: boolean;
  /** What broke the framing, or null. */
  readonly fault: string | null;
  field(name: string): string | undefined;
}

type Place = 'head' | 'sized' | 'chunk-line' | 'chunk' | 'chunk-end' | 'last-line' | 'done';

const CHUNK_LINE = /^[0-9a-fA-F]{1,8}$/;

/** Strict: no chunk extension, no trailer, no bytes behind the end; the gateway sends none of these. */
class ResponseReader {
  readonly #hash: Hash = createHash('sha256');
  #place: Place = 'head';
  /** Of a head or a chunk line that came in more than one piece. */
  #line = '';
  #remaining = 0;
  #head = '';
  #bodyBytes = 0;
  #fault: string | null = null;

  get bodyBytes(): number {
    return this.#bodyBytes;
  }

  get over(): boolean {
    return this.#place === 'done' || this.#fault !== null;
  }

  push(data: Buffer): void {
    for (let at = 0; at < data.length && this.#fault === null; ) {
      if (this.#place === 'sized' || this.#place === 'chunk') at += this.#content(data, at);
      else if (this.#place === 'done') this.#fault = `${data.length - at} bytes behind the end`;
      else at += this.#lineBytes(data, at);
    }
  }

  result(): StreamedResponse {
    const head = this.#head;
    return {
      status: Number(head.split(' ', 2)[1] ?? 0),
      head,
      bodyBytes: this.#bodyBytes,
      sha256: this.#hash.copy().digest('hex'),
      complete: this.#place === 'done' && this.#fault === null,
      fault: this.#fault,
      field: (name) => fieldOf(head, name),
    };
  }

  #content(data: Buffer, at: number): number {
    const piece = data.subarray(at, at + this.#remaining);
    this.#hash.update(piece);
    this.#bodyBytes += piece.length;
    this.#remaining -= piece.length;
    if (this.#remaining === 0) this.#place = this.#place === 'sized' ? 'done' : 'chunk-end';
    return piece.length;
  }

  /** Takes up to the next line end (the blank line, for a head). Returns how much it took. */
  #lineBytes(data: Buffer, at: number): number {
    const end = this.#place === 'head' ? '\r\n\r\n' : '\r\n';
    const before = this.#line.length;
    // A head is at most 64 KiB, a chunk line a few bytes: what is looked at again each time is small.
    this.#line += data.toString('latin1', at, at + 65_536);
    const found = this.#line.indexOf(end);
    if (found === -1) return this.#line.length - before;
    const line = this.#line.slice(0, found);
    this.#line = '';
    this.#onLine(line);
    return found + end.length - before;
  }

  #onLine(line: string): void {
    if (this.#place === 'head') this.#onHead(line);
    else if (this.#place === 'chunk-line') this.#onChunkLine(line);
    else if (line !== '') this.#fault = `"${line}" where ${this.#place} belongs`;
    else this.#place = this.#place === 'chunk-end' ? 'chunk-line' : 'done';
  }

  #onHead(line: string): void {
    this.#head = line;
    const length = fieldOf(line, 'content-length');
    const chunked = fieldOf(line, 'transfer-encoding') === 'chunked';
    if (length !== undefined && chunked) this.#fault = 'both framings';
    else if (chunked) this.#place = 'chunk-line';
    else {
      this.#remaining = Number(length ?? 0);
      this.#place = this.#remaining === 0 ? 'done' : 'sized';
    }
  }

  #onChunkLine(line: string): void {
    if (!CHUNK_LINE.test(line)) this.#fault = `chunk line "${line}"`;
    this.#remaining = Number.parseInt(line, 16);
    this.#place = this.#remaining === 0 ? 'last-line' : 'chunk';
  }
}

function fieldOf(head: string, name: string): string | undefined {
  for (const line of head.split('\r\n').slice(1)) {
    const at = line.indexOf(':');
    if (line.slice(0, at).toLowerCase() === name) return line.slice(at + 1).trim();
  }
  return undefined;
}

export interface ReadOptions {
  /** PEM of the certificate to trust; without it the connection is plain. */
  readonly ca?: string;
  /** Called behind each piece; may pause the socket and resume it later. */
  readonly pace?: (socket: Socket, bodyBytes: number) => void;
  /** Reads nothing at all for so long. */
  readonly asleepMs?: number;
}

/** Sends `bytes` on a connection of its own and reads one response to its end, or to where the connection ended. */
export function readResponse(
  port: number,
  bytes: string,
  { ca, pace, asleepMs = 0 }: ReadOptions = {},
): Promise<StreamedResponse> {
  const socket =
    ca === undefined
      ? connect({ port, host: '127.0.0.1', noDelay: true })
      : connectTls({ port, host: '127.0.0.1', ca, servername: 'localhost' });
  const reader = new ResponseReader();
  socket.write(Buffer.from(bytes, 'latin1'));
  if (asleepMs > 0) {
    socket.pause();
    setTimeout(() => socket.resume(), asleepMs);
  }
  return new Promise((resolve) => {
    socket.on('data', (data: Buffer) => {
      reader.push(data);
      if (reader.over) socket.destroy();
      else pace?.(socket, reader.bodyBytes);
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(reader.result()));
  });
}

/** Between two decisions of a stuttering reader, so that it does not depend on how small the pieces come. */
const STUTTER_BYTES = 65_536;

/** Stops reading now and then, up to 20 ms each time; the same seed stops at the same places. */
export function stuttering(seed: number): NonNullable<ReadOptions['pace']> {
  const random = seededRandom(seed);
  let next = 0;
  return (socket, bodyBytes) => {
    if (bodyBytes < next) return;
    next = bodyBytes + STUTTER_BYTES;
    if (random() > 0.1) return;
    socket.pause();
    setTimeout(() => socket.resume(), random() * 20);
  };
}

/** Stops once, as soon as `fromBytes` of the body are here, for `forMs`. */
export function stopping(fromBytes: number, forMs: number): NonNullable<ReadOptions['pace']> {
  let stopped = false;
  return (socket, bodyBytes) => {
    if (stopped || bodyBytes < fromBytes) return;
    stopped = true;
    socket.pause();
    setTimeout(() => socket.resume(), forMs);
  };
}

/** Leaves once so much of the body is here, although the message is not over. */
export function leavingAt(bytes: number): NonNullable<ReadOptions['pace']> {
  return (socket, bodyBytes) => {
    if (bodyBytes >= bytes) socket.destroy();
  };
}

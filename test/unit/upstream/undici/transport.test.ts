import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Egress } from '../../../../src/providers/egress.ts';
import { providerTable } from '../../../../src/providers/providers.ts';
import { Ticker } from '../../../../src/ticker.ts';
import type { UpstreamFailure } from '../../../../src/upstream/failure.ts';
import type {
  RequestCoding,
  Transport,
  UpstreamCall,
  UpstreamEvents,
} from '../../../../src/upstream/transport.ts';
import { type OpenTransports, openTransports } from '../../../../src/upstream/transports.ts';
import { until } from '../../../support/conditions.ts';
import { transportOptions } from '../../../support/egress.ts';
import { selfSigned } from '../../../support/tls.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const pair = selfSigned(['127.0.0.1']);
const folder = mkdtempSync(join(tmpdir(), 'sluice-undici-'));
const caFile = join(folder, 'ca.pem');
writeFileSync(caFile, pair.cert);
afterAll(() => rmSync(folder, { recursive: true }));

/** One exchange, and what became of it. */
class Asked implements UpstreamEvents {
  readonly call: UpstreamCall;
  statuses: number[] = [];
  fields: readonly string[] = [];
  content = '';
  bytes = 0;
  ended = false;
  retried = 0;
  failure: UpstreamFailure | null = null;

  constructor(
    transport: Transport,
    method = 'GET',
    change: Partial<{
      target: string;
      fields: readonly string[];
      coding: RequestCoding;
      whole: boolean;
      content: readonly Buffer[];
    }> = {},
  ) {
    const { target = '/', fields = [], coding = 'none', whole = true, content = [] } = change;
    const request = { method, target, fields, poolKey: null, coding, contentLength: -1, owner: '' };
    this.call = transport.open(request, content, whole, this);
  }

  get isOver(): boolean {
    return this.ended || this.failure !== null;
  }
  onRequestRetried(): void {
    this.retried++;
  }
  onUploadDrained(): void {}
  onResponseHead(status: number, _reason: string, fields: readonly string[]): void {
    this.statuses.push(status);
    this.fields = fields;
  }
  onResponseChunk(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.bytes < 1_000) this.content += chunk.toString();
  }
  onResponseEnd(): void {
    this.ended = true;
  }
  onUpstreamFailure(failure: UpstreamFailure): void {
    this.failure = failure;
  }
}

const over = (asked: Asked): Promise<unknown> => until('the end', () => asked.isOver || undefined);

let ticker: Ticker;
let bugs: unknown[];
let opened: OpenTransports;
beforeEach(() => {
  ticker = new Ticker(20);
  bugs = [];
});
afterEach(() => ticker.stop());

function transportTo(
  authority: string,
  egress: Partial<Egress> = {},
  previous: OpenTransports | null = null,
): Transport {
  const providers = providerTable([{ name: 'openai', authority }]);
  const options = transportOptions(providers, ticker, { transport: 'undici', ...egress });
  opened = openTransports(providers, { ...options, report: (bug) => bugs.push(bug) }, previous);
  const [first] = providers;
  if (first === undefined) throw new Error('no provider');
  return opened.of(first);
}

describe('undici, over HTTP/1.1', () => {
  let server: Server;
  let sockets: Socket[];
  let answer: (socket: Socket, text: string) => void;
  let transport: Transport;
  const origin = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  beforeEach(async () => {
    sockets = [];
    answer = (socket) => void socket.write(OK);
    server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.on('data', (data) => answer(socket, data.toString()));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    transport = transportTo(origin());
  });
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  it('a kept connection that died is retried once for an idempotent method, and never for a POST', async () => {
    await over(new Asked(transport));
    answer = (socket) => {
      if (sockets.indexOf(socket) === 0) socket.destroy();
      else socket.write(OK);
    };
    const again = new Asked(transport);
    await over(again);
    expect(again).toMatchObject({ ended: true, retried: 1, content: 'ok' });
    const kept = sockets.length - 1;
    answer = (socket) => void socket.write(OK);
    await over(new Asked(transport));
    answer = (socket) => void socket.destroy();
    const before = sockets.length;
    const post = new Asked(transport, 'POST', {
      coding: 'sized',
      content: [Buffer.from('x')],
      fields: ['content-length', '1'],
    });
    await over(post);
    expect(post).toMatchObject({ ended: false, retried: 0, failure: { kind: 'reset' } });
    expect(sockets.length).toBe(before);
    expect(kept).toBeGreaterThan(0);
  });

  it('a retry that meets a bug fails by it, and the bug is reported', async () => {
    await over(new Asked(transport));
    answer = (socket) => void socket.destroy();
    const asked = new Asked(transport);
    asked.onRequestRetried = () => {
      throw new TypeError('a bug');
    };
    await over(asked);
    expect(asked.failure).toMatchObject({ kind: 'internal', rejection: 'internal_error' });
    expect(bugs).toHaveLength(1);
  });

  it('a new connection that dies is not retried', async () => {
    answer = (socket) => void socket.destroy();
    const asked = new Asked(transport);
    await over(asked);
    expect(asked).toMatchObject({ retried: 0, failure: { kind: 'reset' } });
    expect(sockets).toHaveLength(1);
  });

  it.each([
    ['gzip, chunked', 'TRANSFER_CODING'],
    ['identity', 'TRANSFER_CODING'],
  ])('the transfer coding %s is refused', async (coding, code) => {
    answer = (socket) =>
      void socket.end(
        `HTTP/1.1 200 OK\r\nTransfer-Encoding: ${coding}\r\n\r\n2\r\nok\r\n0\r\n\r\n`,
      );
    const asked = new Asked(transport);
    await over(asked);
    expect(asked.statuses).toEqual([]);
    expect(asked.failure).toMatchObject({ kind: 'framing', code });
  });

  it('interim responses are passed over, and a switch of protocols is refused', async () => {
    answer = (socket) =>
      void socket.write(
        `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${OK}`,
      );
    const asked = new Asked(transport, 'POST', {
      coding: 'sized',
      content: [Buffer.from('x')],
      fields: ['content-length', '1'],
    });
    await over(asked);
    answer = (socket) => void socket.write(`HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${OK}`);
    const hinted = new Asked(transport);
    await over(hinted);
    expect(hinted).toMatchObject({ statuses: [200], content: 'ok' });
    answer = (socket) =>
      void socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n');
    const switched = new Asked(transport);
    await over(switched);
    expect(switched.statuses).toEqual([]);
    expect(switched.failure).not.toBeNull();
  });

  it('what undici would refuse is never dispatched: the requests behind it are served', async () => {
    const bad = [
      new Asked(transport, 'GET', { fields: ['x-a', 'b\r\nc'] }),
      new Asked(transport, 'GET', { fields: ['x a', 'b'] }),
      new Asked(transport, 'GET', { target: '/a b' }),
      new Asked(transport, 'G T'),
    ];
    expect(bad.map(({ isOver }) => isOver)).toEqual(bad.map(() => false));
    await Promise.all(bad.map(over));
    for (const { failure } of bad) expect(failure?.kind).toBe('internal');
    const good = new Asked(transport);
    await over(good);
    expect(good.ended).toBe(true);
    expect(sockets).toHaveLength(1);
  });

  it('names and values arrive as the wire had them', async () => {
    answer = (socket) =>
      void socket.write(
        'HTTP/1.1 200 OK\r\nX-One: \xe9\r\nx-one: 2\r\nContent-Length: 0\r\n\r\n',
        'latin1',
      );
    const asked = new Asked(transport);
    await over(asked);
    expect(asked.fields).toEqual(['X-One', '\xe9', 'x-one', '2', 'Content-Length', '0']);
  });

  it('a request that is aborted while it connects closes the connection, and is told nothing', async () => {
    answer = () => {};
    const silent = transportTo(origin().replace('http', 'https'), { connectTimeoutMs: 0 });
    const asked = new Asked(silent);
    await until('the handshake to begin', () => (sockets[0]?.bytesRead ?? 0) > 0 || undefined);
    asked.call.abort();
    await until('the close', () => sockets[0]?.readableEnded || sockets[0]?.destroyed || undefined);
    expect(asked).toMatchObject({ isOver: false, call: { reached: false } });
  });

  it('a bug that one exchange meets ends that exchange, and is reported', async () => {
    const asked = new Asked(transport);
    asked.onResponseHead = () => {
      throw new TypeError('a bug');
    };
    await over(asked);
    expect(asked.failure).toMatchObject({ kind: 'internal', rejection: 'internal_error' });
    expect(bugs).toHaveLength(1);
  });

  it('a silence before the head, and one within the content, end it, and no pause does', async () => {
    transport = transportTo(origin(), { firstByteTimeoutMs: 200, idleTimeoutMs: 200 });
    answer = (socket) => void socket.write('HTTP/1.1 200 OK\r\nx: ');
    const dribbling = new Asked(transport);
    await over(dribbling);
    expect(dribbling.failure).toMatchObject({ code: 'FIRST_BYTE_TIMEOUT' });
    answer = (socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no');
    const idle = new Asked(transport);
    await over(idle);
    expect(idle).toMatchObject({ content: 'o', failure: { code: 'IDLE_TIMEOUT' } });
    answer = (socket) => void socket.write(OK);
    const paused = new Asked(transport);
    paused.onResponseHead = () => paused.call.pause();
    const until600 = performance.now() + 600;
    await until('three times that silence', () => performance.now() > until600 || undefined);
    expect(paused.isOver).toBe(false);
    paused.call.resume();
    await over(paused);
    expect(paused).toMatchObject({ ended: true, content: 'ok' });
  });

  it('what a replaced configuration still runs finishes, and one that comes late is served', async () => {
    answer = () => {};
    const running = new Asked(transport);
    await until('the request', () => sockets.length === 1 || undefined);
    const before = opened;
    transportTo(origin(), { idleTimeoutMs: 9_999 }, before);
    const late = new Asked(transport);
    await until('the late one', () => sockets.length === 2 || undefined);
    for (const socket of sockets) socket.write(OK);
    await Promise.all([over(running), over(late)]);
    expect([running.ended, late.ended]).toEqual([true, true]);
    await until(
      'their connections to be closed',
      () => sockets.every((socket) => socket.readableEnded || socket.destroyed) || undefined,
    );
  });
});

describe('undici, over HTTP/2', () => {
  let server: Http2SecureServer;
  let streams: ServerHttp2Stream[];
  let sessions: number;
  let raw: Socket[];
  let serve: (stream: ServerHttp2Stream) => void;
  let transport: Transport;

  beforeEach(async () => {
    streams = [];
    sessions = 0;
    raw = [];
    server = createSecureServer({ key: pair.key, cert: pair.cert, allowHTTP1: false });
    server.on('sessionError', () => {}).on('session', () => sessions++);
    server.on('connection', (socket: Socket) => raw.push(socket.on('error', () => {})));
    server.on('stream', (stream) => {
      streams.push(stream);
      stream.on('error', () => {});
      serve(stream);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    transport = transportTo(`https://127.0.0.1:${port}`, {
      http2: true,
      caFiles: [caFile],
      firstByteTimeoutMs: 300,
      idleTimeoutMs: 300,
    });
  });
  afterEach(() => {
    for (const { session } of streams) session?.destroy();
    server.close();
  });

  /** RST_STREAM and nothing else: `close(code)` would end the content first. */
  const reset = (stream: ServerHttp2Stream, code: number): void => {
    const symbol = Object.getOwnPropertySymbols(stream).find(
      (one) => one.description === 'kHandle',
    );
    const handles = stream as unknown as Record<symbol, { rstStream(code: number): void }>;
    if (symbol === undefined) throw new Error('a stream without a handle');
    handles[symbol]?.rstStream(code);
  };
  const begun = async (asked: Asked): Promise<void> => {
    await until('the first piece', () => asked.bytes > 0 || undefined);
  };

  it.each([
    ['resets the stream with INTERNAL_ERROR', (stream: ServerHttp2Stream) => reset(stream, 2)],
    ['resets the stream with CANCEL', (stream: ServerHttp2Stream) => reset(stream, 8)],
    ['destroys the session', (stream: ServerHttp2Stream) => stream.session?.destroy()],
    ['drops the connection', () => raw.at(-1)?.destroy()],
    ['resets the connection', () => raw.at(-1)?.resetAndDestroy()],
    [
      'goes away and drops the connection',
      (stream: ServerHttp2Stream) => {
        stream.session?.goaway(2);
        stream.session?.destroy();
      },
    ],
  ])('a content is cut when the server %s', async (_how, cut) => {
    serve = (stream) => {
      stream.respond({ ':status': 200 });
      stream.write('some');
    };
    const asked = new Asked(transport);
    await begun(asked);
    for (const stream of streams) cut(stream);
    await over(asked);
    expect(asked).toMatchObject({ ended: false, content: 'some' });
    expect(asked.failure).toMatchObject({ rejection: 'upstream_unreachable' });
  });

  it('a content that is shorter than its length is cut', async () => {
    serve = (stream) => {
      stream.respond({ ':status': 200, 'content-length': '9' });
      stream.end('some');
    };
    const asked = new Asked(transport);
    await over(asked);
    expect(asked).toMatchObject({ ended: false });
  });

  it('silences end a stream, and leave the others of its connection', async () => {
    serve = (stream) => {
      if (streams.length === 1) {
        stream.respond({ ':status': 200 });
        const timer = setInterval(() => {
          if (stream.destroyed) clearInterval(timer);
          else stream.write('.');
        }, 50);
      }
    };
    const lively = new Asked(transport);
    await begun(lively);
    const silent = new Asked(transport);
    await over(silent);
    expect(silent.failure).toMatchObject({ code: 'FIRST_BYTE_TIMEOUT' });
    expect(lively.isOver).toBe(false);
    expect(sessions).toBe(1);
    lively.call.abort();
    await until('its stream to be closed', () => streams[0]?.destroyed || undefined);
  });

  it('who does not read holds the server up, and loses nothing', async () => {
    const total = 32 * 1_048_576;
    serve = (stream) => {
      stream.respond({ ':status': 200 });
      stream.end(Buffer.alloc(total));
    };
    const asked = new Asked(transport);
    asked.onResponseHead = () => asked.call.pause();
    await until('the stream', () => streams.length === 1 || undefined);
    const later = performance.now() + 500;
    await until('a while', () => performance.now() > later || undefined);
    expect(asked.bytes).toBeLessThan(1_048_576);
    expect(asked.isOver).toBe(false);
    asked.call.resume();
    await over(asked);
    expect(asked).toMatchObject({ ended: true, bytes: total });
  });

  it('an upload arrives whole, and the fields come in lower case without the pseudo ones', async () => {
    const received: Buffer[] = [];
    serve = (stream) => {
      stream.on('data', (piece: Buffer) => received.push(piece));
      stream.on('end', () => {
        stream.respond({ ':status': 201, 'x-one': '1', 'set-cookie': ['a', 'b'] });
        stream.end('ok');
      });
    };
    const asked = new Asked(transport, 'POST', {
      coding: 'chunked',
      whole: false,
      content: [Buffer.from('one ')],
    });
    asked.call.push(Buffer.from('two'));
    asked.call.end();
    await over(asked);
    expect(Buffer.concat(received).toString()).toBe('one two');
    expect(asked).toMatchObject({ ended: true, statuses: [201], content: 'ok' });
    expect(
      asked.fields.filter((text) => text !== asked.fields[asked.fields.indexOf('date') + 1]),
    ).toEqual([...['x-one', '1', 'set-cookie', 'a', 'set-cookie', 'b', 'date']]);
  });
});

it('undici is loaded when the first provider wants it, and not before', () => {
  const script = `
    const { createRequire } = await import('node:module');
    const has = () =>
      Object.keys(createRequire(import.meta.url).cache).some((at) => at.includes('/undici/')) ||
      process.moduleLoadList.includes('NativeModule http2');
    const { openTransports } = await import('./src/upstream/transports.ts');
    const { transportOptions } = await import('./test/support/egress.ts');
    const { providerTable } = await import('./src/providers/providers.ts');
    const { Ticker } = await import('./src/ticker.ts');
    const seen = [];
    for (const transport of ['h1', 'undici']) {
      openTransports(providerTable([]), transportOptions(providerTable([]), new Ticker(500), { transport }), null);
      seen.push(has());
    }
    console.log(JSON.stringify(seen));
    process.exit();
  `;
  const root = new URL('../../../../', import.meta.url);
  const told = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: root });
  expect(JSON.parse(told.toString())).toEqual([false, true]);
});

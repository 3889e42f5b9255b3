import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { providerTable } from '../../../../src/providers/providers.ts';
import { Ticker } from '../../../../src/ticker.ts';
import type { UpstreamFailure } from '../../../../src/upstream/failure.ts';
import { Origin } from '../../../../src/upstream/h1/origins.ts';
import type {
  RequestCoding,
  UpstreamCall,
  UpstreamEvents,
} from '../../../../src/upstream/transport.ts';
import { type OpenTransports, openTransports } from '../../../../src/upstream/transports.ts';
import { until } from '../../../support/conditions.ts';
import { transportOptions } from '../../../support/egress.ts';

const TIMEOUTS = { connectTimeoutMs: 2_000, firstByteTimeoutMs: 300, idleTimeoutMs: 300 };

/** One exchange, and what became of it. */
class Asked implements UpstreamEvents {
  #call: UpstreamCall | null = null;
  readonly #origin: Origin;
  status = 0;
  content = '';
  ended = false;
  retried = 0;
  drained = 0;
  failure: UpstreamFailure | null = null;

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  /** A whole request. */
  static send(origin: Origin, method = 'GET'): Asked {
    const asked = new Asked(origin);
    asked.open(method, 'none', [], true);
    return asked;
  }

  open(
    method: string,
    coding: RequestCoding,
    content: readonly Buffer[] = [],
    whole = false,
  ): void {
    const request = {
      method,
      target: '/',
      fields: [],
      poolKey: null,
      owner: '',
      coding,
      contentLength: -1,
    };
    this.#call = this.#origin.open(request, content, whole, this);
  }

  get call(): UpstreamCall {
    if (this.#call === null) throw new Error('not opened');
    return this.#call;
  }

  get isOver(): boolean {
    return this.ended || this.failure !== null;
  }

  onRequestRetried(): void {
    this.retried++;
  }
  onUploadDrained(): void {
    this.drained++;
  }
  onResponseHead(status: number): void {
    this.status = status;
  }
  onResponseChunk(chunk: Buffer): void {
    this.content += chunk.toString();
  }
  onResponseEnd(): void {
    this.ended = true;
  }
  onUpstreamFailure(failure: UpstreamFailure): void {
    this.failure = failure;
  }
}

const TIMED_OUT = 'HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

let server: Server;
let ticker: Ticker;
let origins: OpenTransports;
let sockets: Socket[];
/** What was reported as a bug of ours. */
let bugs: unknown[];
/** What the server does with each piece of bytes that comes. */
let answer: (socket: Socket, text: string) => void;

const opened = (previous: OpenTransports | null = null, timeouts = TIMEOUTS): OpenTransports => {
  const authority = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const providers = providerTable([{ name: 'openai', authority }]);
  return openTransports(
    providers,
    { ...transportOptions(providers, ticker, timeouts), report: (bug) => bugs.push(bug) },
    previous,
  );
};
const origin = (): Origin => {
  const [provider] = providerTable([]);
  if (provider === undefined) throw new Error('no provider');
  const origin = origins.of(provider);
  if (!(origin instanceof Origin)) throw new Error('not of the house');
  return origin;
};
const ticks = async (count: number): Promise<void> => {
  let seen = 0;
  const counting = { onTick: () => seen++ };
  ticker.add(counting);
  await until('some ticks', () => seen >= count || undefined);
  ticker.remove(counting);
};
const over = (asked: Asked): Promise<unknown> => until('the end', () => asked.isOver || undefined);

beforeEach(async () => {
  sockets = [];
  bugs = [];
  answer = (socket) => void socket.write(OK);
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (data) => answer(socket, data.toString()));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ticker = new Ticker(20);
  origins = opened();
});

afterEach(() => {
  origin().destroy();
  ticker.stop();
  for (const socket of sockets) socket.destroy();
  server.close();
});

describe('connections', () => {
  it('are used one after the other, and the last one freed comes first', async () => {
    const both = [Asked.send(origin()), Asked.send(origin())];
    await Promise.all(both.map(over));
    expect(sockets).toHaveLength(2);
    expect(origin().held).toEqual({ carrying: 0, free: 2 });
    for (let i = 0; i < 5; i++) await over(Asked.send(origin()));
    expect(sockets).toHaveLength(2);
  });

  it('that the provider closes while they are free are not used again', async () => {
    await over(Asked.send(origin()));
    sockets[0]?.end();
    await until('the close', () => origin().held.free === 0 || undefined);
    const next = Asked.send(origin());
    await over(next);
    expect(next).toMatchObject({ ended: true, retried: 0 });
    expect(sockets).toHaveLength(2);
  });

  it('on which something comes unasked are closed', async () => {
    await over(Asked.send(origin()));
    sockets[0]?.write(OK.replace('ok', 'no'));
    await ticks(3);
    const next = Asked.send(origin());
    await over(next);
    expect(next.content).toBe('ok');
    expect(sockets).toHaveLength(2);
  });

  it('are not used again behind a response to HEAD, whose content may come late', async () => {
    answer = (socket, text) =>
      void socket.write(text.startsWith('HEAD') ? OK.slice(0, -2) : OK.replace('ok', 'me'));
    await over(Asked.send(origin(), 'HEAD'));
    sockets[0]?.write(OK);
    const next = Asked.send(origin());
    await over(next);
    expect(next).toMatchObject({ ended: true, content: 'me' });
    expect(sockets).toHaveLength(2);
  });

  it('that were paused with their last piece read the next response', async () => {
    const slow = new Asked(origin());
    slow.onResponseChunk = () => slow.call.pause();
    slow.open('GET', 'none', [], true);
    await over(slow);
    const next = Asked.send(origin());
    await over(next);
    expect(next).toMatchObject({ ended: true, content: 'ok' });
    expect(sockets).toHaveLength(1);
  });

  it.each([
    ['closed', (socket: Socket) => void socket.destroy()],
    ['reset', (socket: Socket) => void socket.resetAndDestroy()],
    ['given up with a notice', (socket: Socket) => void socket.write(TIMED_OUT)],
    ['written to', (socket: Socket) => void socket.write('!')],
  ])('that the provider has %s in this very turn carry no POST', async (_how, ends) => {
    const both = [Asked.send(origin()), Asked.send(origin())];
    await Promise.all(both.map(over));
    // The kernel knows, and the loop does not yet: no event has come.
    for (const socket of sockets) ends(socket);
    expect(origin().held.free).toBe(2);
    const next = Asked.send(origin(), 'POST');
    await over(next);
    expect(next).toMatchObject({ ended: true, content: 'ok', retried: 0 });
    expect(sockets).toHaveLength(3);
  });

  it('are kept no longer than the provider says that it keeps them', async () => {
    answer = (socket) =>
      void socket.write(OK.replace('\r\n\r\n', '\r\nKeep-Alive: timeout=3, max=9\r\n\r\n'));
    await over(Asked.send(origin()));
    expect(origin().held.free).toBe(1);
    await until('the close', () => origin().held.free === 0 || undefined);
    answer = (socket) =>
      void socket.write(OK.replace('\r\n\r\n', '\r\nkeep-alive: timeout=2\r\n\r\n'));
    await over(Asked.send(origin()));
    expect(origin().held.free).toBe(0);
  });

  it.each([
    ['the provider closes it', OK.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')],
    ['something stands behind the response', `${OK}!`],
    ['it is of HTTP/1.0', OK.replace('1.1', '1.0')],
  ])('are not kept when %s', async (_why, response) => {
    answer = (socket) => void socket.write(response);
    const asked = Asked.send(origin());
    await over(asked);
    expect(asked).toMatchObject({ ended: true, content: 'ok' });
    expect(origin().held).toEqual({ carrying: 0, free: 0 });
  });

  it('of a configuration that was replaced are closed when they are free', async () => {
    const old = origin();
    await over(Asked.send(old));
    answer = () => {};
    const running = Asked.send(old);
    const idle = Asked.send(old);
    await until('both requests', () => sockets.length === 2 || undefined);
    idle.call.abort();
    origins = opened(origins, { ...TIMEOUTS, idleTimeoutMs: 60_000 });
    expect(origin()).not.toBe(old);
    expect(old.held).toEqual({ carrying: 1, free: 0 });
    for (const socket of sockets) if (!socket.destroyed) socket.write(OK);
    await over(running);
    expect(running.ended).toBe(true);
    expect(old.held).toEqual({ carrying: 0, free: 0 });
  });

  it('of a configuration that was replaced are looked after no longer than they are there', async () => {
    const old = origin();
    let looks = 0;
    let ticks = 0;
    const look = old.onTick.bind(old);
    old.onTick = (nowMs) => {
      looks++;
      look(nowMs);
    };
    const running = Asked.send(old);
    origins = opened(origins, { ...TIMEOUTS, idleTimeoutMs: 60_000 });
    await over(running);
    const before = looks;
    ticker.add({ onTick: () => ticks++ });
    await until('some ticks', () => ticks > 3 || undefined);
    expect(looks).toBe(before);
  });

  it('that a replaced configuration opens for a late body are bounded too', async () => {
    const old = origin();
    origins = opened(origins, { ...TIMEOUTS, idleTimeoutMs: 60_000 });
    answer = () => {};
    const asked = Asked.send(old);
    await over(asked);
    expect(asked.failure).toMatchObject({ code: 'FIRST_BYTE_TIMEOUT' });
  });

  it('that still hold bytes of an upload behind its answer are not kept', async () => {
    answer = (socket) => {
      socket.pause();
      if (socket.bytesWritten === 0) socket.write(OK);
    };
    // So much takes its time on a busy machine.
    origins = opened(origins, { ...TIMEOUTS, firstByteTimeoutMs: 60_000 });
    const asked = new Asked(origin());
    asked.open('POST', 'chunked', [Buffer.alloc(32 * 1_048_576)], true);
    await over(asked);
    expect(asked).toMatchObject({ ended: true, content: 'ok' });
    expect(origin().held).toEqual({ carrying: 0, free: 0 });
  });

  it('stay, when a new configuration makes them just so', async () => {
    await over(Asked.send(origin()));
    const old = origin();
    origins = opened(origins);
    expect(origin()).toBe(old);
    await over(Asked.send(origin()));
    expect(sockets).toHaveLength(1);
  });
});

describe('a reused connection that died', () => {
  const kill = (): void => {
    answer = (socket) => {
      if (sockets[0] === socket) socket.destroy();
      else socket.write(OK);
    };
  };

  it('is retried once on a new one when the method is idempotent', async () => {
    await over(Asked.send(origin()));
    kill();
    const next = Asked.send(origin());
    await over(next);
    expect(next).toMatchObject({ ended: true, retried: 1, status: 200 });
  });

  it('is a failure for a POST, which may have been served', async () => {
    await over(Asked.send(origin()));
    kill();
    const next = Asked.send(origin(), 'POST');
    await over(next);
    expect(next).toMatchObject({ ended: false, retried: 0 });
    expect(next.failure?.kind).toBe('reset');
  });

  it('is not retried a second time, nor when it was a new one', async () => {
    answer = (socket) => void socket.destroy();
    const fresh = Asked.send(origin());
    await over(fresh);
    expect(fresh).toMatchObject({ ended: false, retried: 0 });
    answer = (socket) => void socket.write(OK);
    await over(Asked.send(origin()));
    answer = (socket) => void socket.destroy();
    const reused = Asked.send(origin());
    await over(reused);
    expect(reused).toMatchObject({ ended: false, retried: 1 });
  });

  it('whose retry meets a bug fails by it, and the bug is reported', async () => {
    await over(Asked.send(origin()));
    kill();
    const next = new Asked(origin());
    next.onRequestRetried = () => {
      throw new TypeError('a bug');
    };
    next.open('GET', 'none', [], true);
    await over(next);
    expect(next.failure).toMatchObject({ kind: 'internal', rejection: 'internal_error' });
    expect(bugs).toHaveLength(1);
  });
});

describe('silence', () => {
  const msOf = async (asked: Asked): Promise<number> => {
    const beganMs = performance.now();
    await over(asked);
    return performance.now() - beganMs;
  };

  it('before the head ends the request, and never early', async () => {
    answer = () => {};
    const asked = Asked.send(origin());
    expect(await msOf(asked)).toBeGreaterThanOrEqual(TIMEOUTS.firstByteTimeoutMs);
    expect(asked.failure).toMatchObject({ code: 'FIRST_BYTE_TIMEOUT', kind: 'timeout' });
  });

  it.each([
    ['interim responses', '', 'HTTP/1.1 102 Processing\r\n\r\n', OK],
    ['a head in very small pieces', 'HTTP/1.1 200 OK\r\n', 'x: y\r\n', '\r\n'],
  ])('before the head is not filled by %s', async (_what, begin, drip, end) => {
    let drips = 0;
    answer = (socket) => {
      socket.write(begin);
      const timer = setInterval(() => {
        if (++drips === 100) clearInterval(timer);
        socket.write(drips < 100 ? drip : end);
      }, 20);
    };
    const asked = Asked.send(origin());
    await over(asked);
    expect(asked.failure).toMatchObject({ code: 'FIRST_BYTE_TIMEOUT' });
  });

  it('within a response ends it, unless it is we who do not read', async () => {
    answer = (socket) => void socket.write(OK.slice(0, -1));
    const asked = Asked.send(origin());
    expect(await msOf(asked)).toBeGreaterThanOrEqual(TIMEOUTS.idleTimeoutMs);
    expect(asked.failure).toMatchObject({ code: 'IDLE_TIMEOUT' });
    const paused = Asked.send(origin());
    await until('the head', () => paused.status > 0 || undefined);
    paused.call.pause();
    const asleepUntilMs = ticker.now + TIMEOUTS.idleTimeoutMs * 3;
    await until('a while', () => ticker.now > asleepUntilMs || undefined);
    expect(paused.isOver).toBe(false);
    paused.call.resume();
    sockets.at(-1)?.write('k');
    await over(paused);
    expect(paused).toMatchObject({ ended: true, content: 'ok' });
  });

  it('while an upload is still coming is nobody’s fault', async () => {
    answer = () => {};
    const asked = new Asked(origin());
    asked.open('POST', 'chunked');
    const asleepUntilMs = performance.now() + TIMEOUTS.firstByteTimeoutMs * 3;
    await until('a while', () => performance.now() > asleepUntilMs || undefined);
    expect(asked.isOver).toBe(false);
    asked.call.end();
    await over(asked);
    expect(asked.failure?.code).toBe('FIRST_BYTE_TIMEOUT');
  });
});

describe('a request', () => {
  it('given in pieces before and behind the connection arrives framed and whole', async () => {
    let seen = '';
    answer = (socket, text) => {
      seen += text;
      if (seen.endsWith('0\r\n\r\n')) socket.write(OK);
    };
    const asked = new Asked(origin());
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const lent = Buffer.from('one ');
    asked.open('POST', 'chunked', [lent]);
    lent.fill(0);
    expect(asked.call.push(Buffer.from('two '))).toBe(false);
    await until('room', () => asked.drained > 0 || undefined);
    expect(asked.call.push(Buffer.from('three'))).toBe(true);
    asked.call.end();
    await over(asked);
    expect(asked.ended).toBe(true);
    expect(seen).toBe(
      `POST / HTTP/1.1\r\nhost: ${host}\r\ntransfer-encoding: chunked\r\n\r\n4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n`,
    );
  });

  it('whose large pieces wait for a slow provider arrives as it was, although buffers are used again', async () => {
    const received = new Map<Socket, Buffer[]>();
    answer = () => {};
    server.on('connection', (socket) => {
      received.set(socket, []);
      socket.pause();
      socket.on('data', (data) => received.get(socket)?.push(data));
    });
    // Lent, as by the front end: overwritten with the next piece.
    const lent = Buffer.alloc(200_000);
    const push = (asked: Asked, fill: number): Buffer => {
      asked.call.push(lent.fill(fill));
      return Buffer.concat([Buffer.from('30d40\r\n'), lent, Buffer.from('\r\n')]);
    };
    const begin = async () => {
      const asked = new Asked(origin());
      asked.open('POST', 'chunked');
      const socket = await until('the connection', () => asked.drained > 0 && sockets.at(-1));
      // More than the kernel takes of one that is not read.
      const sent = Array.from({ length: 50 }, (_, at) => push(asked, at));
      return { asked, socket, sent };
    };
    const dropped = await begin();
    const kept = await begin();
    dropped.asked.call.abort();
    const later = await begin();
    for (const { asked, socket, sent } of [kept, later]) {
      const came = (): Buffer => {
        const all = Buffer.concat(received.get(socket) ?? []);
        return all.subarray(all.indexOf('\r\n\r\n') + 4);
      };
      const expected = (): Buffer => Buffer.concat(sent);
      socket.resume();
      for (let more = 100; more < 104; more++) {
        await until('what was sent', () => came().length >= expected().length);
        sent.push(push(asked, more));
      }
      asked.call.end();
      sent.push(Buffer.from('0\r\n\r\n'));
      await until('the end', () => came().length >= expected().length);
      expect(came().equals(expected())).toBe(true);
      socket.write(OK);
      await over(asked);
    }
  });

  it('that is answered before it was sent gives its connection up', async () => {
    const asked = new Asked(origin());
    asked.open('POST', 'chunked');
    await over(asked);
    expect(asked).toMatchObject({ ended: true, content: 'ok' });
    expect(origin().held).toEqual({ carrying: 0, free: 0 });
  });

  it.each([
    ['a length', OK],
    ['the connection’s end', 'HTTP/1.1 200 OK\r\n\r\nok'],
  ])('whose end, by %s, meets a bug of ours fails, and nothing else does', async (_how, response) => {
    answer = (socket) => void socket.end(response);
    const asked = new Asked(origin());
    asked.onResponseEnd = () => {
      throw new TypeError('a bug');
    };
    asked.open('GET', 'none', [], true);
    await over(asked);
    expect(asked.failure).toMatchObject({ kind: 'internal' });
    expect(bugs).toHaveLength(1);
    expect(origin().held).toEqual({ carrying: 0, free: 0 });
  });

  it.each([
    'onUploadDrained',
    'onResponseHead',
    'onResponseChunk',
  ] as const)('that meets a bug of ours in %s fails, and nothing else does', async (method) => {
    const beside = Asked.send(origin());
    const asked = new Asked(origin());
    asked[method] = () => {
      throw new Error('a bug');
    };
    asked.open('POST', 'chunked');
    await Promise.all([over(asked), over(beside)]);
    expect(asked.failure).toMatchObject({ kind: 'internal', rejection: 'internal_error' });
    expect(beside).toMatchObject({ ended: true, content: 'ok' });
    expect(bugs).toHaveLength(1);
    expect(origin().held).toEqual({ carrying: 0, free: 1 });
  });

  it('that cannot even be told of its failure is reported', async () => {
    answer = (socket) => void socket.destroy();
    const asked = new Asked(origin());
    asked.onUpstreamFailure = () => {
      throw new Error('a bug');
    };
    asked.open('GET', 'none', [], true);
    await until('the report', () => bugs.length > 0 || undefined);
    expect(origin().held).toEqual({ carrying: 0, free: 0 });
  });

  it('that is aborted closes its connection in the same turn, and is told nothing more', async () => {
    answer = () => {};
    const asked = Asked.send(origin());
    await until('the request', () => sockets.length === 1 || undefined);
    asked.call.abort();
    expect(origin().held).toEqual({ carrying: 0, free: 0 });
    await until('the close', () => sockets[0]?.destroyed || sockets[0]?.readableEnded || undefined);
    expect(asked.isOver).toBe(false);
  });
});

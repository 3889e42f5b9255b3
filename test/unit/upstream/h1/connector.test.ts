import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import koffi from 'koffi';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Ticker } from '../../../../src/ticker.ts';
import { Connection } from '../../../../src/upstream/h1/connection.ts';
import { Connector, type SocketEvents } from '../../../../src/upstream/h1/connector.ts';
import { Trust } from '../../../../src/upstream/trust.ts';
import { until } from '../../../support/conditions.ts';
import { DIRECT } from '../../../support/egress.ts';
import { SessionGate } from '../../../support/session-gate.ts';
import { selfSigned } from '../../../support/tls.ts';

// socket(7), tcp(7), on Linux.
const SOL_SOCKET = 1;
const SO_KEEPALIVE = 9;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;

const pair = selfSigned(['two.test', '127.0.0.1']);
const folder = mkdtempSync(join(tmpdir(), 'sluice-connector-'));
const caFile = join(folder, 'ca.pem');
writeFileSync(caFile, pair.cert);
afterAll(() => rmSync(folder, { recursive: true }));
let server: Server;

process.env['NAMES'] = JSON.stringify({ 'two.test': ['::1', '127.0.0.1'] });
await import('../../../support/scripted-names.ts');

/** What the kernel says of an option of a socket. */
function optionOf(socket: Socket, level: number, name: number): number {
  const getsockopt = koffi
    .load(null)
    .func('int getsockopt(int fd, int level, int name, _Out_ int *value, _Inout_ uint32_t *bytes)');
  const value = [0];
  const { fd } = (socket as Socket & { _handle: { fd: number } })._handle;
  expect(getsockopt(fd, level, name, value, [4])).toBe(0);
  return value[0] ?? 0;
}

describe('a session', () => {
  let behind: Server;
  let resumed: boolean[];
  let gate: SessionGate;
  const events = (connected: () => void, failed: () => void): SocketEvents => ({
    onConnected: connected,
    onRead() {},
    onReadEnd() {},
    onDrained() {},
    onError: failed,
    onClosed: failed,
  });

  beforeEach(async () => {
    resumed = [];
    behind = createTlsServer(pair, (socket) => {
      resumed.push(socket.isSessionReused());
      socket.on('error', () => {}).write('x');
    });
    behind.on('tlsClientError', () => {});
    await once(behind.listen(0, '127.0.0.1'), 'listening');
    gate = await new SessionGate((behind.address() as AddressInfo).port).listen();
  });
  afterEach(() => {
    behind.close();
    gate.close();
  });

  const connector = (): Connector => {
    const trust = new Trust({ ...DIRECT, caFiles: [caFile] });
    const authority = { host: '127.0.0.1', port: gate.port, tls: true };
    return new Connector({ authority, trust }, (found) => [...found]);
  };

  /** @returns whether the handshake came to its end */
  async function handshake(by: Connector): Promise<boolean> {
    const before = resumed.length;
    const made: Socket[] = [];
    const stood = await new Promise<boolean>((resolve) => {
      made.push(
        by.connect(
          events(
            () => resolve(true),
            () => resolve(false),
          ),
        ),
      );
    });
    const [socket] = made;
    if (stood) await until('the server', () => resumed.length > before || undefined);
    // The ticket comes behind the handshake, in the read that brings what the server wrote.
    if (stood) await until('its bytes', () => (socket?.bytesRead ?? 0) > 0 || undefined);
    await setTimeout(20);
    socket?.destroy();
    return stood;
  }

  it('is kept: the second handshake resumes it', async () => {
    const by = connector();
    expect(await handshake(by)).toBe(true);
    expect(await handshake(by)).toBe(true);
    expect(resumed).toEqual([false, true]);
  });

  it('that was forgotten is not offered again', async () => {
    const by = connector();
    await handshake(by);
    gate.refuses = 'hello';
    expect(await handshake(by)).toBe(false);
    by.forgetSession();
    expect(await handshake(by)).toBe(true);
    expect(resumed).toEqual([false, false]);
  });

  it('is not offered again when its handshake was given up, whoever gave it up', async () => {
    const by = connector();
    await handshake(by);
    gate.refuses = 'in silence';
    const ticker = new Ticker(10_000);
    const home = {
      timeouts: { connectTimeoutMs: 0, firstByteTimeoutMs: 0, idleTimeoutMs: 0 },
      ticker,
      onFree() {},
      onStanding() {},
      onClosed() {},
      onBug(bug: unknown) {
        throw bug;
      },
    };
    const waiting = new Connection(home, by, 60_000);
    await until('the silence', () => gate.silenced > 0 || undefined);
    waiting.close();
    ticker.stop();
    expect(await handshake(by)).toBe(true);
    expect(resumed).toEqual([false, false]);
  });
});

describe.skipIf(process.platform !== 'linux')('a connection', () => {
  afterEach(() => server.close());

  it.each([
    ['plain', '127.0.0.1', false],
    ['of TLS', '127.0.0.1', true],
    // Nobody listens on the first: the socket gets another handle.
    ['of TLS to the second address', 'two.test', true],
  ])('%s sends at once, and is probed while it is quiet', async (_kind, host, tls) => {
    const accept = (socket: Socket): void => void socket.on('error', () => {});
    server = tls ? createTlsServer(pair, accept) : createServer(accept);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const trust = new Trust({ ...DIRECT, caFiles: [caFile] });
    const connector = new Connector({ authority: { host, port, tls }, trust }, (found) => [
      ...found,
    ]);
    const socket = await new Promise<Socket>((resolve, reject) => {
      const made = connector.connect({
        onConnected: () => resolve(made),
        onRead() {},
        onReadEnd() {},
        onDrained() {},
        onError: reject,
        onClosed() {},
      });
    });
    expect(optionOf(socket, IPPROTO_TCP, TCP_NODELAY)).toBe(1);
    expect(optionOf(socket, SOL_SOCKET, SO_KEEPALIVE)).toBe(1);
    expect(optionOf(socket, IPPROTO_TCP, TCP_KEEPIDLE)).toBe(60);
    socket.destroy();
  });
});

import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import koffi from 'koffi';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { Connector } from '../../../../src/upstream/h1/connector.ts';
import { Trust } from '../../../../src/upstream/trust.ts';
import { DIRECT } from '../../../support/egress.ts';
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

afterEach(() => server.close());

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

describe.skipIf(process.platform !== 'linux')('a connection', () => {
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
    const connector = new Connector({ authority: { host, port, tls }, trust });
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

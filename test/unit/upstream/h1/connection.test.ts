import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Ticker } from '../../../../src/ticker.ts';
import { Connection, LOOK_AGAIN_MS } from '../../../../src/upstream/h1/connection.ts';
import { READ_BYTES } from '../../../../src/upstream/h1/connector.ts';
import { isQuiet } from '../../../../src/upstream/h1/peer-state.ts';
import { until } from '../../../support/conditions.ts';

let server: Server;
let ticker: Ticker;
let near: Socket;
let connection: Connection;

/** Stands, and its kernel holds a byte that nobody has read: only what is handed to `onRead` was. */
beforeEach(async () => {
  server = createServer((far) => far.on('error', () => {}).write('!'));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  near = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {});
  await once(near, 'connect');
  (near as Socket & { _handle: { readStop(): void } })._handle.readStop();
  await until('the byte', () => !isQuiet(near));
  ticker = new Ticker(1_000_000_000);
  const home = {
    timeouts: { connectTimeoutMs: 0, firstByteTimeoutMs: 0, idleTimeoutMs: 0 },
    ticker,
    onFree() {},
    onStanding() {},
    onClosed() {},
    onBug(error: unknown) {
      throw error;
    },
  };
  connection = new Connection(home, { connect: () => near, forgetSession() {} }, 1_000_000);
  connection.onConnected();
});
afterEach(() => {
  vi.restoreAllMocks();
  near.destroy();
  server.close();
  ticker.stop();
});

/** A request, and a response that one read of so many bytes brings. */
function exchange(bytes: number): void {
  connection.carry({
    method: 'GET',
    onConnected: () => connection.requestSent(),
    onDrained() {},
    onHead() {},
    onContent() {},
    onMessageEnd() {},
    onFailure() {},
  });
  const head = (content: number): string => `HTTP/1.1 200 OK\r\nContent-Length: ${content}\r\n\r\n`;
  const content = bytes - head(10_000).length;
  connection.onRead(Buffer.from(head(content) + ' '.repeat(content)));
}

it.each([
  [
    'a read that came short says that the kernel has no more: for a moment',
    READ_BYTES - 1,
    0,
    true,
  ],
  ['no longer than that', READ_BYTES - 1, 1.1 * LOOK_AGAIN_MS, false],
  ['and a read that was full says nothing', READ_BYTES, 0, false],
])('%s', (_what, bytes, laterMs, isTakenForQuiet) => {
  const atMs = performance.now();
  const clock = vi.spyOn(performance, 'now').mockReturnValue(atMs);
  exchange(bytes);
  clock.mockReturnValue(atMs + laterMs);
  expect(connection.isQuiet).toBe(isTakenForQuiet);
});

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, connect as tlsConnect } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { kernelCalls } from '../../../../src/kernel-calls.ts';
import { canSendDirectly, sendDirectly } from '../../../../src/upstream/h1/direct-send.ts';
import { until } from '../../../support/conditions.ts';
import { selfSigned } from '../../../support/tls.ts';

const HELLO = Buffer.from('hello');
/** More than the kernel takes of a peer that does not read. */
const MUCH = Buffer.alloc(64 * 1024 * 1024, 'x');

let server: Server;
let near: Socket;
let far: Socket;

afterEach(() => {
  near.destroy();
  far.destroy();
  server.close();
});

async function join(tls = false): Promise<void> {
  const pair = tls ? selfSigned(['127.0.0.1']) : null;
  const accepted: Socket[] = [];
  const accept = (socket: Socket): void => void accepted.push(socket.on('error', () => {}));
  server = pair === null ? createServer(accept) : createTlsServer(pair, accept);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const to = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
  near = pair === null ? connect(to) : tlsConnect({ ...to, ca: pair.cert });
  near.on('error', () => {});
  await once(near, pair === null ? 'connect' : 'secureConnect');
  far = await until('the other end', () => accepted[0]);
}

describe.runIf(canSendDirectly())('bytes given to the kernel past the stream', () => {
  it('are taken whole, and arrive', async () => {
    await join();
    expect(sendDirectly(near, HELLO)).toBe(5);
    const [came] = (await once(far, 'data')) as [Buffer];
    expect(came.toString()).toBe('hello');
  });

  it('of a view are its own and no others of its buffer', async () => {
    await join();
    expect(sendDirectly(near, Buffer.from('..hello..').subarray(2, 7))).toBe(5);
    const [came] = (await once(far, 'data')) as [Buffer];
    expect(came.toString()).toBe('hello');
  });

  it('are taken as far as there is room; then none, and the stream writes the rest behind them', async () => {
    await join();
    far.pause();
    const sent = sendDirectly(near, MUCH);
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(MUCH.length);
    near.end(MUCH.subarray(sent));
    let bytes = 0;
    far.on('data', (piece: Buffer) => {
      bytes += piece.length;
    });
    far.resume();
    await once(far, 'end');
    expect(bytes).toBe(MUCH.length);
  });

  it.each([
    ['while others wait in the stream', (): void => void near.write(MUCH)],
    ['once the stream was ended', (): void => void near.end()],
    ['once it was closed', (): void => void near.destroy()],
  ])('are not taken %s', async (_, act) => {
    await join();
    far.pause();
    act();
    expect(sendDirectly(near, HELLO)).toBe(0);
  });

  it('are not taken of a peer that has reset the connection: the stream says so', async () => {
    await join();
    near.pause();
    far.resetAndDestroy();
    await until('the reset', () => (sendDirectly(near, HELLO) === 0 ? true : undefined));
    const failed = once(near, 'error');
    near.write(HELLO);
    const [error] = (await failed) as [NodeJS.ErrnoException];
    expect(['ECONNRESET', 'EPIPE']).toContain(error.code);
  });

  it('are never taken by TLS: they would leave as they are', async () => {
    await join(true);
    expect(sendDirectly(near, HELLO)).toBe(0);
  });

  it('are not taken where there is no such call', async () => {
    await join();
    expect(sendDirectly(near, HELLO, null)).toBe(0);
    expect(sendDirectly(near, HELLO, kernelCalls())).toBe(5);
  });
});

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import koffi from 'koffi';
import { describe, expect, it } from 'vitest';
import {
  boundClientBuffers,
  RECEIVE_BUFFER_BYTES,
  SEND_BUFFER_BYTES,
} from '../../../src/edge/client-buffers.ts';

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;

/** What the kernel says of one of a socket's buffers, in bytes. */
function bufferOf(socket: Socket, option: number): number {
  const getsockopt = koffi
    .load(null)
    .func('int getsockopt(int fd, int level, int name, _Out_ int *value, _Inout_ uint32_t *bytes)');
  const value = [0];
  const { fd } = (socket as Socket & { _handle: { fd: number } })._handle;
  expect(getsockopt(fd, SOL_SOCKET, option, value, [4])).toBe(0);
  return value[0] ?? 0;
}

describe.skipIf(process.platform !== 'linux')('boundClientBuffers', () => {
  it.each(['127.0.0.1', '::'])('connections accepted on %s inherit the bound', async (host) => {
    const server = createServer();
    await once(server.listen(0, host), 'listening');
    const { port } = server.address() as AddressInfo;
    expect(boundClientBuffers(port)).toBe(1);
    const client = connect(port, host === '::' ? '::1' : host);
    const [accepted] = (await once(server, 'connection')) as [Socket];
    // socket(7): the kernel doubles what it is asked for.
    expect(bufferOf(accepted, SO_RCVBUF)).toBe(2 * RECEIVE_BUFFER_BYTES);
    expect(bufferOf(accepted, SO_SNDBUF)).toBe(2 * SEND_BUFFER_BYTES);
    client.destroy();
    accepted.destroy();
    server.close();
  });

  it('a port that this process does not listen on changes nothing', async () => {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    expect(boundClientBuffers(port)).toBe(0);
  });
});

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { startUpstream } from '../../support/scripted-upstream.ts';

async function connected(
  port: number,
  from: { readonly localAddress?: string; readonly localPort?: number } = {},
): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, ...from });
  await once(socket, 'connect');
  return socket;
}

test('a provider resets whom it means, although another one was called from the same port', async () => {
  const resets = await startUpstream((turn) => turn.reset());
  const other = await startUpstream(() => {});
  const meant = await connected(resets.port);
  // Only the system itself gives one port of one address to two connections.
  const { localPort = 0 } = meant;
  const leaves = await connected(other.port, { localAddress: '127.0.0.2', localPort });
  leaves.destroy();
  await once(leaves, 'close');
  await expect.poll(() => other.sockets.size).toBe(0);
  const failed = new Promise((resolve) => meant.once('error', resolve));
  meant.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  expect(await failed).toMatchObject({ code: 'ECONNRESET' });
  await resets.close();
  await other.close();
});

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, connect as tlsConnect } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { kernelCalls } from '../../../../src/kernel-calls.ts';
import { isQuiet, peerAddress } from '../../../../src/upstream/h1/peer-state.ts';
import { until } from '../../../support/conditions.ts';
import { selfSigned } from '../../../support/tls.ts';

const pair = selfSigned(['127.0.0.1']);
let server: Server;
let near: Socket;
let far: Socket;
/** What `far` is made of: only that can be reset. */
let beneath: Socket;

afterEach(() => {
  near.destroy();
  far.destroy();
  server.close();
});

async function join(tls: boolean): Promise<void> {
  const accepted: Socket[] = [];
  const accept = (socket: Socket): void => void accepted.push(socket.on('error', () => {}));
  server = tls ? createTlsServer(pair, accept) : createServer(accept);
  server.on('connection', (socket) => {
    beneath = socket;
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const to = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
  near = tls ? tlsConnect({ ...to, ca: pair.cert }) : connect(to);
  near.on('error', () => {}).resume();
  await once(near, tls ? 'secureConnect' : 'connect');
  far = await until('the other end', () => accepted[0]);
  // The tickets of the handshake.
  await until('silence', () => isQuiet(near) || undefined);
}

const ENDS: readonly (readonly [how: string, act: () => void])[] = [
  ['sends bytes', () => void far.write('!')],
  ['closes', () => void far.destroy()],
  ['resets', () => void beneath.resetAndDestroy()],
];
const WAYS = [
  ['poll', () => kernelCalls()],
  ['a read', () => null],
] as const;
const CASES = [false, true].flatMap((tls) =>
  WAYS.flatMap(([way, calls]) => ENDS.map(([how, act]) => ({ tls, way, calls, how, act }))),
);

it.each([
  false,
  true,
])("a peer's address is the one that Node tells, and kept nowhere (TLS: %s)", async (tls) => {
  await join(tls);
  const address = peerAddress(near);
  expect(Object.keys(near)).not.toContain('_peername');
  expect(address).toBe('127.0.0.1');
  expect(near.remoteAddress).toBe(address);
});

describe('one look at a connection', () => {
  it.each(
    CASES,
  )('by $way tells that the peer $how, which nobody has read (TLS: $tls)', async (row) => {
    await join(row.tls);
    for (let at = 0; at < 3; at++) expect(isQuiet(near, row.calls())).toBe(true);
    // What comes stays in the kernel: TLS writes only when the loop comes round.
    (near as Socket & { _handle: { readStop(): void } })._handle.readStop();
    row.act();
    await until('the news', () => !isQuiet(near, row.calls()) || undefined);
  });

  it('finds nothing alive on one that is closed', async () => {
    await join(false);
    near.destroy();
    expect(isQuiet(near)).toBe(false);
  });
});

it('the system calls are there, where koffi is', () => {
  expect(kernelCalls()).not.toBeNull();
});

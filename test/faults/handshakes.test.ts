import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { inLanes } from '../support/lanes.ts';
import { facts, token } from '../support/managed.ts';
import { besideNeighbour } from '../support/neighbour.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { expectUnharmed, type Siege, startSiege } from '../support/siege.ts';
import { selfSigned } from '../support/tls.ts';

/** Less than a ServerHello and a certificate take: no handshake gets through whose server stops before. */
const LIMIT_BYTES = 500;
const STEP_BYTES = 5;
const CASES = Array.from({ length: LIMIT_BYTES / STEP_BYTES }, (_, n) => n * STEP_BYTES);

let siege: Siege;
let secure: ScriptedUpstream;
/** In front of a TLS server: lets so many bytes of its handshake through, and then breaks off. */
let wire: Server;
const open = new Set<Socket>();
let how: 'end' | 'reset' | 'stall' | 'garbage' = 'end';
let next = 0;

beforeAll(async () => {
  secure = await startUpstream((turn) => turn.answer('{}'), { tls: selfSigned(['127.0.0.1']) });
  wire = createServer((near) => {
    let left = CASES[next++ % CASES.length] ?? 0;
    const far = connect(secure.port, '127.0.0.1').on('error', () => {});
    for (const socket of [near, far]) open.add(socket);
    near.on('error', () => {}).on('close', () => far.destroy());
    near.on('data', (data) => far.write(data));
    const stop = (): void => {
      far.removeAllListeners('data');
      if (how === 'end') near.end();
      else if (how === 'reset') near.resetAndDestroy();
      else if (how === 'garbage') near.write(Buffer.alloc(400, 0x16));
    };
    far.on('data', (data: Buffer) => {
      near.write(data.subarray(0, left));
      left -= Math.min(left, data.length);
      if (left === 0) stop();
    });
  });
  await new Promise<void>((resolve) => wire.listen(0, '127.0.0.1', resolve));
  siege = await startSiege(() => {}, {
    config: 'connect_timeout_secs = 1',
    providers: `broken = "https://127.0.0.1:${(wire.address() as AddressInfo).port}"`,
    poolKeys: { broken: 'sk-pool-broken' },
  });
});
afterAll(async () => {
  await siege.close();
  await secure.close();
  for (const socket of open) socket.destroy();
  wire.close();
});

it.each([
  ['ends', 'end', [502]],
  ['is reset', 'reset', [502]],
  ['stalls', 'stall', [504]],
  ['turns to garbage', 'garbage', [502, 504]],
] as const)('a TLS handshake that %s at any byte fails in time and bills nothing', async (...row) => {
  const [, way, expected] = row;
  how = way;
  const { gateway } = siege;
  const told = facts(gateway).length;
  const descriptors = gateway.descriptors();
  const statuses = new Set<number>();
  await besideNeighbour(gateway, async () => {
    await inLanes(
      CASES,
      CASES.length,
      () => null,
      async () => {
        const client = new RawClient(gateway.port).send(post(token(), `/broken${CHAT}`));
        statuses.add((await client.response()).status);
        client.close();
      },
    );
  });
  for (const status of statuses) expect(expected).toContain(status);
  expect(
    facts(gateway)
      .slice(told)
      .filter(({ provider }) => provider === 'broken'),
  ).toEqual([]);
  expect(secure.requests).toEqual([]);
  await until('every socket to be closed', () => gateway.descriptors() < descriptors + 20);
  await expectUnharmed(gateway);
});

import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Resolution } from '../support/changing-names.ts';
import { until } from '../support/conditions.ts';
import { facts, token } from '../support/managed.ts';
import { besideNeighbour } from '../support/neighbour.ts';
import { CHAT, post, RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { expectUnharmed, type Siege, startSiege } from '../support/siege.ts';

const PRELOAD = new URL('../support/changing-names.ts', import.meta.url).href;
const NAME = 'moving.test';

let siege: Siege;
/** Where the name moves to: the same port, another loopback address. */
let elsewhere: ScriptedUpstream;
let folder: string;

/** From now on the name resolves so, in every worker. */
function resolves(resolution: Resolution): void {
  const file = join(folder, 'names.json');
  writeFileSync(`${file}.new`, JSON.stringify({ [NAME]: resolution }));
  renameSync(`${file}.new`, file);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-names-'));
  resolves({ addresses: ['127.0.0.1'] });
  const here = await startUpstream(async (turn) => {
    await turn.bodyDone();
    // Not kept: each request of these tests asks for the name anew.
    await turn.answer('{"at":"here"}', ['connection: close']);
  });
  elsewhere = await startUpstream(
    async (turn) => {
      await turn.bodyDone();
      await turn.answer('{"at":"elsewhere"}', ['connection: close']);
    },
    { host: '127.0.0.2', port: here.port },
  );
  siege = await startSiege(() => {}, {
    config: 'connect_timeout_secs = 1',
    providers: `moving = "http://${NAME}:${here.port}"`,
    poolKeys: { moving: 'sk-pool-moving' },
    nodeArgs: ['--import', PRELOAD],
    env: { NAMES_FILE: join(folder, 'names.json') },
  });
  closeHere = () => here.close();
});
let closeHere = async (): Promise<void> => {};
afterAll(async () => {
  await siege.close();
  await elsewhere.close();
  await closeHere();
  rmSync(folder, { recursive: true });
});
beforeEach(() => resolves({ addresses: ['127.0.0.1'] }));

async function ask(): Promise<RawResponse> {
  const client = new RawClient(siege.gateway.port).send(post(token(), `/moving${CHAT}`));
  const response = await client.response();
  client.close();
  return response;
}

const FAILING: readonly (readonly [what: string, how: Resolution, status: number])[] = [
  ['does not exist', { error: 'ENOTFOUND' }, 502],
  ['no server answers for', { error: 'EAI_AGAIN' }, 502],
  ['takes longer than a connection may', { addresses: ['127.0.0.1'], afterMs: 2_500 }, 504],
  ['is never answered', { afterMs: 'never' }, 504],
  ['has an address that nobody has', { addresses: ['127.0.0.9'] }, 502],
];

it.each(
  FAILING,
)('a name that %s fails in time, bills nothing, and is asked for again', async (...row) => {
  const [, how, status] = row;
  const { gateway } = siege;
  const told = facts(gateway).length;
  const failures = 'ai_connect_failures_total{provider="moving"}';
  const before = (await gateway.metrics()).get(failures);
  await besideNeighbour(gateway, async () => {
    resolves(how);
    const responses = await Promise.all(Array.from({ length: 20 }, ask));
    expect(new Set(responses.map((response) => response.status))).toEqual(new Set([status]));
    resolves({ addresses: ['127.0.0.1'] });
    // The look-up that is under way has to end first, or to be given up.
    await until('an answer', async () => (await ask()).status === 200);
  });
  expect((await gateway.metrics()).get(failures)).toBeGreaterThanOrEqual(before + 20);
  const mine = () =>
    facts(gateway)
      .slice(told)
      .filter(({ provider }) => provider === 'moving');
  await until('the fact of the one that was sent', () => mine().length > 0);
  expect(mine()).toMatchObject([{ upstream_status: 200 }]);
  await expectUnharmed(gateway);
});

it('a name that is slow but in time is waited for', async () => {
  resolves({ addresses: ['127.0.0.1'], afterMs: 300 });
  expect((await ask()).json()).toEqual({ at: 'here' });
});

it('a name that moves is followed by the next connection, without a restart', async () => {
  expect((await ask()).json()).toEqual({ at: 'here' });
  resolves({ addresses: ['127.0.0.2'] });
  expect((await ask()).json()).toEqual({ at: 'elsewhere' });
  resolves({ addresses: ['127.0.0.9', '127.0.0.1'] });
  expect((await ask()).json()).toEqual({ at: 'here' });
  await expectUnharmed(siege.gateway);
});

it('many that wait for a name are connected by one look-up, and each is answered', async () => {
  resolves({ addresses: ['127.0.0.1'], afterMs: 300 });
  const responses = await Promise.all(Array.from({ length: 100 }, ask));
  expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200]));
});

it('a look-up that ends behind its request opens nothing that stays', async () => {
  const { gateway } = siege;
  const descriptors = gateway.descriptors();
  resolves({ addresses: ['127.0.0.1'], afterMs: 400 });
  const clients = Array.from({ length: 50 }, () =>
    new RawClient(gateway.port).send(post(token(), `/moving${CHAT}`)),
  );
  await until('all to be in flight', async () => {
    return (await gateway.metrics()).get('ai_requests_in_flight') === clients.length;
  });
  for (const client of clients) client.close();
  await gateway.idle();
  resolves({ addresses: ['127.0.0.1'], afterMs: 500 });
  // Asked for behind them, so answered behind them.
  expect((await ask()).status).toBe(200);
  await until('nothing to be open', () => gateway.descriptors() < descriptors + 10);
  await expectUnharmed(gateway);
});

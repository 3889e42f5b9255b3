import type { LookupAddress } from 'node:dns';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { providerTable } from '../../../../src/providers/providers.ts';
import { Ticker } from '../../../../src/ticker.ts';
import { Origin } from '../../../../src/upstream/h1/origins.ts';
import { Replicas } from '../../../../src/upstream/h1/replicas.ts';
import { targetOf } from '../../../../src/upstream/target.ts';
import { Trust } from '../../../../src/upstream/trust.ts';
import { until } from '../../../support/conditions.ts';
import { DIRECT } from '../../../support/egress.ts';
import { askOnce, ReplicaServers } from '../../../support/replica-servers.ts';

/** No connection becomes so old. */
const OLD_MS = 400_000;
/** A rest that ends none. */
const STEP_MS = 10_000;

let servers: ReplicaServers;
let ticker: Ticker;
let origin: Origin;

beforeEach(async () => {
  servers = await new ReplicaServers().open();
  // By hand: time is a part of what is tested.
  ticker = new Ticker(1_000_000_000);
  const authority = `http://pods.test:${servers.port}`;
  const [provider] = providerTable([{ name: 'openai', authority }]);
  if (provider === undefined) throw new Error('no provider');
  origin = new Origin(targetOf(provider, DIRECT, new Trust(DIRECT)), ticker, (bug) => {
    throw bug;
  });
});
afterEach(() => {
  origin.destroy();
  ticker.stop();
  servers.close();
});

function pass(ms: number): void {
  ticker.now += ms;
  origin.onTick(ticker.now);
}

async function askTimes(count: number, gapMs: number): Promise<void> {
  for (let at = 0; at < count; at++) {
    await askOnce(origin);
    pass(gapMs);
  }
}

describe('requests one after the other', () => {
  it('reach every address of a name, over one connection each', async () => {
    await askTimes(30, 100);
    // The first requests came before there was anything to take turns among.
    expect(Math.min(...servers.requests)).toBeGreaterThanOrEqual(8);
    expect(servers.connections).toEqual([1, 1, 1]);
  });

  it('keep to one connection where there is one address', async () => {
    servers.addresses = ['127.0.0.2'];
    await askTimes(30, 5_000);
    expect(servers.connections).toEqual([0, 1, 0]);
  });

  it('that are so rare that turns would let connections go cold keep to the one that is warm', async () => {
    await askTimes(20, 6_000);
    expect(servers.connections.reduce((sum, count) => sum + count)).toBe(1);
    expect(servers.lookUps).toBe(1);
  });

  it('wait for no address that does not answer, and ask it no more than once a minute', async () => {
    servers.shut('127.0.0.3');
    await askTimes(30, 100);
    expect(Math.min(...servers.requests.slice(0, 2))).toBeGreaterThanOrEqual(9);
    expect(origin.held.free).toBe(2);
    // One of them came about instead of the one to the third, and ended at once.
    expect(servers.connections.reduce((sum, count) => sum + count)).toBe(3);
    expect(servers.lookUps).toBe(3);
  });

  it('reach an address that is new to the name, and leave one that is gone, as connections age', async () => {
    servers.addresses = ['127.0.0.1', '127.0.0.2'];
    await askTimes(10, 100);
    expect(servers.requests[2]).toBe(0);
    servers.addresses = ['127.0.0.2', '127.0.0.3'];
    for (let minutes = 0; minutes < 16; minutes++) await askTimes(12, 5_000);
    servers.forgetRequests();
    await askTimes(10, 100);
    expect(servers.requests[0]).toBe(0);
    expect(Math.min(...servers.requests.slice(1))).toBeGreaterThanOrEqual(4);
  });
});

describe('connections that never rest', () => {
  it('are replaced after some minutes, and not all in one moment', async () => {
    servers.addresses = ['127.0.0.1'];
    const ages: number[] = [];
    for (let round = 0; round < 4; round++) {
      const before = servers.connections[0] ?? 0;
      let ageMs = 0;
      for (; (servers.connections[0] ?? 0) <= before + 1; ageMs += 5_000) {
        await askOnce(origin);
        pass(5_000);
      }
      ages.push(ageMs);
      for (const socket of servers.sockets) socket.destroy();
      await until('the close', () => origin.held.free === 0 || undefined);
    }
    expect(Math.min(...ages)).toBeGreaterThanOrEqual(225_000);
    expect(Math.max(...ages)).toBeLessThanOrEqual(390_000);
    expect(new Set(ages).size).toBeGreaterThan(1);
  });

  it('end with the request that they carry when they grow old', async () => {
    servers.addresses = ['127.0.0.1'];
    await askOnce(origin);
    const running = askOnce(origin);
    ticker.now += OLD_MS;
    await running;
    expect(servers.connections[0]).toBe(1);
    expect(origin.held.free).toBe(0);
  });

  it('end with the next tick when they grow old between two requests', async () => {
    servers.addresses = ['127.0.0.1'];
    for (let ageMs = 0; ageMs < OLD_MS && (ageMs === 0 || origin.held.free > 0); ageMs += STEP_MS) {
      await askOnce(origin);
      expect(origin.held.free).toBe(1);
      pass(STEP_MS);
    }
    expect(servers.connections[0]).toBe(1);
    expect(origin.held.free).toBe(0);
  });
});

describe('the turns', () => {
  const found = (...all: string[]): LookupAddress[] =>
    all.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  const firsts = (replicas: Replicas<{ address: string }>, all: LookupAddress[], count: number) =>
    Array.from({ length: count }, () => replicas.inTurn(all)[0]?.address);

  it('go round, whatever order the resolver gives', () => {
    const replicas = new Replicas<{ address: string }>();
    const orders = [found('a', 'b', 'c'), found('c', 'a', 'b'), found('b', 'c', 'a')];
    const chosen = orders.map((order) => replicas.inTurn(order)[0]?.address);
    expect([...chosen].sort()).toEqual(['a', 'b', 'c']);
  });

  it('leave the other family at the end, for the connecting', () => {
    const replicas = new Replicas<{ address: string }>();
    const all = found('a', '::1', 'b', '::2');
    expect(firsts(replicas, all, 4)).toEqual(['a', 'b', 'a', 'b']);
    expect(replicas.inTurn(all).map(({ address }) => address)).toEqual(['a', 'b', '::1', '::2']);
  });

  it('are taken among no more addresses than are remembered', () => {
    const replicas = new Replicas<{ address: string }>();
    const all = found(...Array.from({ length: 200 }, (_, n) => `10.0.0.${n}`));
    expect(replicas.inTurn(all)).toHaveLength(200);
    expect(replicas.count).toBe(64);
    expect(replicas.onFree({ address: '10.0.0.199' })).toBe(false);
  });
});

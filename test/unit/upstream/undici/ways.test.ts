import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Egress } from '../../../../src/providers/egress.ts';
import { providerTable } from '../../../../src/providers/providers.ts';
import { Ticker } from '../../../../src/ticker.ts';
import { targetOf } from '../../../../src/upstream/target.ts';
import { Trust } from '../../../../src/upstream/trust.ts';
import { openUndici } from '../../../../src/upstream/undici/transport.ts';
import { until } from '../../../support/conditions.ts';
import { ConnectProxy } from '../../../support/connect-proxy.ts';
import { DIRECT } from '../../../support/egress.ts';
import { askOnce, ReplicaServers } from '../../../support/replica-servers.ts';
import { selfSigned } from '../../../support/tls.ts';

/** No pool becomes so old. */
const OLD_MS = 400_000;
/** None is replaced before. */
const YOUNG_MS = 225_000;

const pair = selfSigned(['pods.test']);
const folder = mkdtempSync(join(tmpdir(), 'sluice-ways-'));
const caFile = join(folder, 'ca.pem');
writeFileSync(caFile, pair.cert);
afterAll(() => rmSync(folder, { recursive: true }));

let servers: ReplicaServers;
let ticker: Ticker;
let transport: ReturnType<typeof openUndici>;

beforeEach(async () => {
  servers = await new ReplicaServers().open();
  // By hand: time is a part of what is tested.
  ticker = new Ticker(1_000_000_000);
  transport = transportTo('http', {});
});

function transportTo(
  scheme: 'http' | 'https',
  way: Partial<Egress>,
): ReturnType<typeof openUndici> {
  const authority = `${scheme}://pods.test:${servers.port}`;
  const [provider] = providerTable([{ name: 'openai', authority }]);
  if (provider === undefined) throw new Error('no provider');
  const egress = { ...DIRECT, ...way };
  return openUndici(targetOf(provider, egress, new Trust(egress)), ticker, (bug) => {
    throw bug;
  });
}
afterEach(() => {
  transport.retire();
  ticker.stop();
  servers.close();
});

function pass(ms: number): void {
  ticker.now += ms;
  transport.onTick(ticker.now);
}

async function askTimes(count: number, gapMs: number): Promise<void> {
  for (let at = 0; at < count; at++) {
    await askOnce(transport);
    pass(gapMs);
  }
}

const sum = (counts: readonly number[]): number => counts.reduce((all, count) => all + count);

describe('requests through undici, one after the other', () => {
  it('reach every address of a name, over one connection each', async () => {
    await askTimes(30, 100);
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
    expect(sum(servers.connections)).toBe(1);
    expect(servers.lookUps).toBe(1);
  });

  it('wait for no address that does not answer, and ask it no more than once a minute', async () => {
    servers.shut('127.0.0.3');
    await askTimes(30, 100);
    expect(Math.min(...servers.requests.slice(0, 2))).toBeGreaterThanOrEqual(9);
    expect(transport.held.ways).toBe(2);
    expect(sum(servers.connections)).toBe(3);
    expect(servers.lookUps).toBe(3);
  });

  it('go on over the others when the connection to one of them ends', async () => {
    await askTimes(6, 100);
    const [first] = servers.sockets;
    first?.end();
    await until('it to be noticed', () => transport.held.ways === 2 || undefined);
    servers.forgetRequests();
    await askTimes(9, 100);
    expect(Math.min(...servers.requests)).toBeGreaterThanOrEqual(2);
    expect(sum(servers.connections)).toBe(4);
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

describe('a pool of undici that never rests', () => {
  it('is replaced after some minutes, and its connection is closed', async () => {
    servers.addresses = ['127.0.0.1'];
    let ageMs = 0;
    for (; servers.connections[0] === 1 || ageMs === 0; ageMs += 5_000) await askTimes(1, 5_000);
    expect(ageMs).toBeGreaterThanOrEqual(YOUNG_MS);
    expect(ageMs).toBeLessThanOrEqual(OLD_MS);
    await until('the old one to be closed', () => servers.sockets.size === 1 || undefined);
  });

  it('grows old at another age than the next one', async () => {
    servers.addresses = ['127.0.0.1'];
    const ages = new Set<number>();
    for (let round = 0; round < 4; round++) {
      const before = servers.connections[0] ?? 0;
      let ageMs = 0;
      for (; (servers.connections[0] ?? 0) <= before + 1; ageMs += 5_000) await askTimes(1, 5_000);
      ages.add(ageMs);
    }
    expect(ages.size).toBeGreaterThan(1);
  });

  it('grows old while a request runs on it, which finishes there', async () => {
    servers.addresses = ['127.0.0.1'];
    await askOnce(transport);
    const running = askOnce(transport);
    pass(OLD_MS);
    await running;
    expect(servers.connections[0]).toBe(1);
    await until('the close', () => servers.sockets.size === 0 || undefined);
    await askOnce(transport);
    expect(servers.connections[0]).toBe(2);
  });

  it('is closed when it was opened ahead and nobody comes', async () => {
    // The first one finds out that there are others, and the second one that requests come fast.
    await askTimes(3, 100);
    expect([transport.held.ways, sum(servers.requests)]).toEqual([2, 3]);
    pass(16_000);
    expect(transport.held.ways).toBe(1);
    await until('only the one that was used', () => servers.sockets.size === 1 || undefined);
  });
});

/** The age, in milliseconds, at which what carries a request every five seconds is replaced. */
async function ageReached(isReplaced: () => boolean): Promise<number> {
  let ageMs = 0;
  for (; !isReplaced() && ageMs <= OLD_MS * 2; ageMs += 5_000) await askTimes(1, 5_000);
  return ageMs;
}

describe('undici over HTTP/2, where one connection has room for everything', () => {
  beforeEach(async () => {
    transport.retire();
    servers.close();
    servers = await new ReplicaServers(pair).open();
    transport = transportTo('https', { http2: true, caFiles: [caFile] });
  });

  it('reaches every address of a name all the same, over one connection each', async () => {
    await askTimes(30, 100);
    expect(Math.min(...servers.requests)).toBeGreaterThanOrEqual(8);
    expect(servers.connections).toEqual([1, 1, 1]);
  });

  it('goes on over the others when the connection to one of them ends', async () => {
    await askTimes(6, 100);
    const [first] = servers.sockets;
    first?.destroy();
    await until('it to be noticed', () => transport.held.ways === 2 || undefined);
    servers.forgetRequests();
    await askTimes(9, 100);
    expect(Math.min(...servers.requests)).toBeGreaterThanOrEqual(2);
    expect(sum(servers.connections)).toBe(4);
  });

  it('replaces a connection after some minutes, and closes it', async () => {
    servers.addresses = ['127.0.0.1'];
    const ageMs = await ageReached(() => servers.connections[0] === 2);
    expect(ageMs).toBeGreaterThanOrEqual(YOUNG_MS);
    expect(ageMs).toBeLessThanOrEqual(OLD_MS);
    await until('the old one to be closed', () => servers.sockets.size === 1 || undefined);
  });
});

describe.each(['http', 'https'] as const)('undici behind a proxy, to a name of %s', (scheme) => {
  let proxy: ConnectProxy;
  /** Where the proxy leads is its own business. */
  const sent = (): number => servers.requests[0] ?? 0;

  beforeEach(async () => {
    transport.retire();
    servers.close();
    servers = await new ReplicaServers(scheme === 'https' ? pair : null).open();
    proxy = await new ConnectProxy({ names: { 'pods.test': servers.port } }).listen();
    const address = { host: '127.0.0.1', port: proxy.port, tls: false, authorization: null };
    const http2 = scheme === 'https';
    transport = transportTo(scheme, { proxy: address, http2, caFiles: [caFile] });
  });
  afterEach(() => proxy.close());

  it('looks the name up nowhere, and keeps to one connection', async () => {
    await askTimes(20, 100);
    expect(servers.lookUps).toBe(0);
    expect([proxy.asked.length, sent()]).toEqual([1, 20]);
    expect(servers.connections).toEqual([1, 0, 0]);
  });

  it('replaces that one after some minutes too, and closes it', async () => {
    const ageMs = await ageReached(() => proxy.asked.length === 2);
    expect(ageMs).toBeGreaterThanOrEqual(YOUNG_MS);
    expect(ageMs).toBeLessThanOrEqual(OLD_MS);
    await until('the old one to be closed', () => proxy.clients.size === 1 || undefined);
  });

  it('connects anew when the proxy has dropped it', async () => {
    await askTimes(3, 100);
    proxy.cut();
    await until('the cut to be seen', () => servers.sockets.size === 0 || undefined);
    await askTimes(3, 100);
    expect([proxy.asked.length, sent()]).toEqual([2, 6]);
  });
});

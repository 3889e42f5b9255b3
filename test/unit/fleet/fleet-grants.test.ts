import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'nats';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeGrants } from '../../../src/fleet/grant-entry.ts';
import { pause, until } from '../../support/conditions.ts';
import { FleetNode } from '../../support/fleet-node.ts';
import { BUCKET, NATS_MISSING, type NatsServer, startNats } from '../../support/nats.ts';

let nats: NatsServer;
const nodes: FleetNode[] = [];
beforeEach(async (ctx) => {
  if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
  nats = await startNats();
});
afterEach(async () => {
  nats?.thaw();
  await Promise.all(nodes.splice(0).map(async (node) => await node.end()));
  await nats?.kill();
});

async function fleet(...names: readonly string[]): Promise<FleetNode[]> {
  const made = names.map((name) => new FleetNode({ nats, name }));
  nodes.push(...made);
  return await Promise.all(made.map(async (node) => await node.start()));
}

/** By node, what the bucket says of the day's only budget. */
async function granted(): Promise<ReadonlyMap<string, number>> {
  const connection = await connect(nats.client);
  try {
    const kv = await connection.jetstream().views.kv(`${BUCKET}-fleet`);
    for await (const key of await kv.keys()) {
      const entry = await kv.get(key);
      if (key.startsWith('key.') && entry !== null) return decodeGrants(entry.string()).granted;
    }
    return new Map();
  } finally {
    await connection.close();
  }
}

const LIMIT = 10_000_000;

describe('a budget that three nodes share', () => {
  it('is spent to its end and never beyond, while each node spends as fast as it can', async () => {
    const three = await fleet('a', 'b', 'c');
    const results = await Promise.all(
      three.map(async (node) => {
        let done = 0;
        // Nothing for so long: there is nothing.
        while ((await node.spend('1', LIMIT, 3_000, 2_000, 3_000)) === 'done')
          if (++done % 50 === 0) await pause(1);
        return done;
      }),
    );
    const spent = three.reduce((sum, node) => sum + node.spent, 0);
    expect(spent).toBeLessThanOrEqual(LIMIT);
    // What is left is less than a reservation, or a slice that another node holds.
    const free = three.reduce((sum, node) => sum + node.free('1'), 0);
    expect(LIMIT - spent - free).toBeLessThan(3 * 3_000);
    expect(free).toBeLessThanOrEqual((3 * LIMIT) / 20);
    expect(results.every((done) => done > 0)).toBe(true);
  });

  it('that a node has no use for any more is handed back when it stops, to the nano-dollar', async () => {
    const [first, second] = await fleet('a', 'b');
    if (first === undefined || second === undefined) throw new Error('two');
    expect(await first.spend('1', LIMIT, 6_000_000, 1_234_567)).toBe('done');
    // The first one holds what it reserved: the second one waits in vain.
    expect(await second.spend('1', LIMIT, 5_000_000, 1, 300)).toBe('partition');
    await first.stop();
    expect((await granted()).get('a')).toBe(1_234_567);
    await until(
      'the rest',
      async () => (await second.spend('1', LIMIT, 5_000_000, 1, 1_000)) === 'done',
    );
  });

  it('is spent up to its grant and no further by a node that is cut off', async () => {
    const [cut, other] = await fleet('a', 'b');
    if (cut === undefined || other === undefined) throw new Error('two');
    for (let at = 0; at < 100; at++) await cut.spend('1', LIMIT, 1_000, 1_000);
    cut.isCutOff = true;
    await until('out of reach', () => !cut.isReachable);
    const held = (await granted()).get('a') ?? 0;
    let came = 'done';
    while (came === 'done') came = await cut.spend('1', LIMIT, 1_000, 1_000, 50);
    expect(came).toBe('partition');
    expect(cut.spent).toBeLessThanOrEqual(held);
    expect(cut.spent).toBeGreaterThan(held - 1_000);
    // The others go on with the rest.
    expect(await other.spend('1', LIMIT, LIMIT / 2, 1)).toBe('done');
    expect(await other.spend('1', LIMIT, LIMIT - 10, 1, 300)).toBe('partition');
  });

  it('N3: for ten minutes out of reach a node spends what it held and not a nano-dollar more, while the others spend on, and then has of the rest again', async () => {
    const noon = new Date();
    const skewMs = noon.setUTCHours(12, 0, 0, 0) - Date.now();
    const cut = new FleetNode({ nats, name: 'a', skewMs });
    const other = new FleetNode({ nats, name: 'b', skewMs });
    nodes.push(cut, other);
    await Promise.all([cut.start(), other.start()]);
    for (let at = 0; at < 100; at++) await cut.spend('1', LIMIT, 1_000, 1_000);
    cut.isCutOff = true;
    await until('out of reach', () => !cut.isReachable);
    const held = (await granted()).get('a') ?? 0;
    const STEP_MS = 5_000;
    let partitions = 0;
    for (let passedMs = 0; passedMs < 600_000; passedMs += STEP_MS) {
      cut.skewMs += STEP_MS;
      other.skewMs += STEP_MS;
      cut.keeper.look();
      other.keeper.look();
      // As often as it can.
      let came = 'done';
      while (came === 'done') came = await cut.spend('1', LIMIT, 1_000, 1_000, 0);
      if (came === 'partition') partitions++;
      expect(await other.spend('1', LIMIT, 10_000, 10_000)).toBe('done');
    }
    expect(partitions).toBe(600_000 / STEP_MS);
    expect(cut.spent).toBeLessThanOrEqual(held);
    expect(cut.spent).toBeGreaterThan(held - 1_000);
    // Nobody else was given what it holds.
    expect((await granted()).get('a')).toBe(held);
    cut.isCutOff = false;
    await until('in reach', () => cut.isReachable);
    expect(await cut.spend('1', LIMIT, 1_000_000, 1_000_000)).toBe('done');
    const sum = [...(await granted()).values()].reduce((all, nano) => all + nano, 0);
    expect(sum).toBeLessThanOrEqual(LIMIT);
    expect(cut.spent + other.spent).toBeLessThanOrEqual(LIMIT);
  });

  it('goes on over a server that was killed and comes again', async () => {
    const [node] = await fleet('a');
    if (node === undefined) throw new Error('one');
    expect(await node.spend('1', LIMIT, 1_000, 1_000)).toBe('done');
    await nats.kill();
    await until('out of reach', () => !node.isReachable);
    await nats.start();
    await until(
      'a grant',
      async () => (await node.spend('1', LIMIT, 500_000, 500_000, 1_000)) === 'done',
    );
    expect((await granted()).get('a')).toBeGreaterThanOrEqual(501_000);
  });

  it('of a node that may go on alone is spent whole while it is cut off, and told when it is back', async () => {
    const node = await new FleetNode({ nats, name: 'a', withoutNats: 'open' }).start();
    nodes.push(node);
    expect(await node.spend('1', LIMIT, 1_000, 1_000)).toBe('done');
    node.isCutOff = true;
    await until(
      'a grant',
      async () => (await node.spend('1', LIMIT, 9_000_000, 9_000_000, 100)) === 'done',
    );
    expect(await node.spend('1', LIMIT, 5_000_000, 1)).toBe('spent');
    node.isCutOff = false;
    await until('told', async () => ((await granted()).get('a') ?? 0) >= 9_001_000);
  });

  it('is spent up to what it held, by a node that was killed and begins again without NATS', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-grants-'));
    try {
      const before = await new FleetNode({ nats, name: 'a', folder }).start();
      nodes.push(before);
      for (let at = 0; at < 100; at++) await before.spend('1', LIMIT, 1_000, 1_000);
      const held = await until('the file to have it', async () => {
        const now = (await granted()).get('a') ?? 0;
        const path = join(folder, 'grants');
        return existsSync(path) && readFileSync(path, 'latin1').includes(` ${now}\n`) && now;
      });
      await until('the journal to have it', () => {
        return readFileSync(join(folder, 'budgets'), 'latin1').includes(' 100000 ');
      });
      await before.end();
      await nats.kill();
      const again = await new FleetNode({ nats, name: 'a', folder }).start(false);
      nodes.push(again);
      let came = 'done';
      while (came === 'done') came = await again.spend('1', LIMIT, 1_000, 1_000, 300);
      expect(came).toBe('partition');
      expect(100_000 + again.spent).toBeLessThanOrEqual(held);
      expect(100_000 + again.spent).toBeGreaterThan(held - 1_000);
      await nats.start();
      expect(await again.spend('1', LIMIT, 1_000, 1_000)).toBe('done');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('begins anew in each window: clocks that differ move the edge and count nothing twice', async () => {
    const today = new Date();
    const midnight = Date.UTC(today.getUTCFullYear(), today.getUTCMonth(), today.getUTCDate() + 1);
    const skewMs = midnight - Date.now() - 60_000;
    // One clock stands a minute before midnight, the other a minute behind.
    const before = new FleetNode({ nats, name: 'a', skewMs });
    const behind = new FleetNode({ nats, name: 'b', skewMs: skewMs + 120_000 });
    nodes.push(before, behind);
    await Promise.all([before.start(), behind.start()]);
    expect(await before.spend('1', LIMIT, 6_000_000, 6_000_000)).toBe('done');
    expect(await behind.spend('1', LIMIT, 6_000_000, 6_000_000)).toBe('done');
    expect(await before.spend('1', LIMIT, 6_000_000, 1, 100)).not.toBe('done');
    expect(await behind.spend('1', LIMIT, 6_000_000, 1, 100)).not.toBe('done');
  });
});

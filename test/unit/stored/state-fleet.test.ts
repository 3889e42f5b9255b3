import { randomBytes } from 'node:crypto';
import { connect, type KV, type NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Log } from '../../../src/outlet/log.ts';
import { type FleetMember, StateFleet } from '../../../src/stored/state-fleet.ts';
import {
  createStateTable,
  RECORD_BYTES,
  SECRET_BYTES,
  StoredState,
} from '../../../src/stored/state-table.ts';
import { until } from '../../support/conditions.ts';
import { NATS_MISSING, type NatsServer, startNats } from '../../support/nats.ts';

const SILENT: Log = { write: () => {} };

/** A node that remembers what it was told under its secret. */
class Member implements FleetMember {
  secret: Buffer = randomBytes(SECRET_BYTES);
  readonly learned = new Set<string>();

  adopt(secret: Buffer): void {
    this.secret = secret;
    this.learned.clear();
  }

  learn(record: Buffer): void {
    this.learned.add(record.toString('hex'));
  }
}

let nats: NatsServer;
let connection: NatsConnection;
beforeAll(async () => {
  if (NATS_MISSING !== null) return;
  nats = await startNats();
  connection = await connect(nats.client);
});
afterAll(async () => {
  await connection?.close();
  await nats?.kill();
});

async function bucket(name: string, ttl = 0): Promise<KV> {
  return await connection.jetstream().views.kv(`${name}-state`, { history: 1, ttl });
}

describe('the secret of a fleet', () => {
  it('outlives its time in the bucket while one node stands, on one connection', async (ctx) => {
    if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
    const ttlMs = 1_500;
    const kv = await bucket('short', ttlMs);
    const member = new Member();
    const fleet = new StateFleet('short', member, SILENT, () => connection, 300);
    fleet.start();
    try {
      const first = await until('the secret', async () => await kv.get('secret'));
      const began = performance.now();
      await until('three lives of an entry', async () => {
        const now = await kv.get('secret');
        // An entry that ended would be nobody's; the one that is there is the first one, written again.
        expect(now?.value).toEqual(first.value);
        return performance.now() - began > 3 * ttlMs && (now?.revision ?? 0) > first.revision;
      });
    } finally {
      await fleet.stop();
    }
  });

  it('that became another one is taken on the connection that stands, with all that was told under it', async (ctx) => {
    if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
    const kv = await bucket('other');
    const member = new Member();
    const fleet = new StateFleet('other', member, SILENT, () => connection, 600);
    fleet.start();
    try {
      await until('the secret', async () => await kv.get('secret'));
      const records = [1, 2].map((byte) => Buffer.alloc(RECORD_BYTES, byte));
      for (const [at, record] of records.entries()) await kv.put(`r.${at}`, record);
      await until('both records', () => member.learned.size === 2);
      const other = randomBytes(SECRET_BYTES);
      await kv.put('secret', other);
      await until('the other secret', () => member.secret.equals(other));
      await until('both records again', () => member.learned.size === 2);
    } finally {
      await fleet.stop();
    }
  });
});

describe('the question whether a node was told everything', () => {
  it('is answered yes behind all that the bucket had, and no while there is no bucket to ask', async (ctx) => {
    if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
    const kv = await bucket('whole');
    const member = new Member();
    const fleet = new StateFleet('whole', member, SILENT, () => connection);
    expect(await fleet.caughtUp()).toBe(false);
    fleet.start();
    try {
      await until('it to have joined', async () => await fleet.caughtUp());
      for (let round = 0; round < 20; round++) {
        const record = Buffer.alloc(RECORD_BYTES, round + 1);
        await kv.put(`r.${round}`, record);
        expect(await fleet.caughtUp()).toBe(true);
        expect(member.learned).toContain(record.toString('hex'));
      }
      // What is last in the bucket is no record.
      await kv.put('secret', member.secret);
      expect(await fleet.caughtUp()).toBe(true);
    } finally {
      await fleet.stop();
    }
    expect(await fleet.caughtUp()).toBe(false);
  });
});

describe('a record in the bucket', () => {
  it('is renewed by whoever used it, for every node; another account’s does not take its place', async (ctx) => {
    if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
    const time = { seconds: 1_000_000 };
    const told: Buffer[] = [];
    const memory = createStateTable(new Uint8Array(SECRET_BYTES));
    const table = new StoredState(
      memory,
      (record) => told.push(Buffer.from(record)),
      () => time.seconds,
    );
    const tenant = { low: 1, high: 0 };
    table.remember('conv_1', tenant, { provider: 11, key: 101 });
    time.seconds += 10 * 86_400;
    table.find('conv_1', tenant);
    table.remember('conv_1', tenant, { provider: 11, key: 102 });
    const [first, renewed, moved] = told;
    if (first === undefined || renewed === undefined || moved === undefined)
      throw new Error('it was not told');
    await bucket('renewed');
    const [here, there] = [new Member(), new Member()];
    const fleets = [here, there].map(
      (member) => new StateFleet('renewed', member, SILENT, () => connection),
    );
    for (const fleet of fleets) fleet.start();
    try {
      for (const record of [first, renewed]) {
        fleets[0]?.add(record);
        await until('the other node learns it', () => there.learned.has(record.toString('hex')));
      }
      fleets[0]?.add(moved);
      const last = Buffer.alloc(RECORD_BYTES, 9);
      fleets[0]?.add(last);
      await until('what came behind it', () => there.learned.has(last.toString('hex')));
      expect(there.learned).not.toContain(moved.toString('hex'));
    } finally {
      for (const fleet of fleets) await fleet.stop();
    }
  });
});

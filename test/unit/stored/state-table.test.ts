import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Account,
  createStateTable,
  KEPT_SECONDS,
  RECORD_BYTES,
  renews,
  SECRET_BYTES,
  StoredState,
  type TenantWords,
} from '../../../src/stored/state-table.ts';

const SECRET = new Uint8Array(SECRET_BYTES).fill(7);
const TENANTS: readonly TenantWords[] = [
  { low: 1, high: 0 },
  { low: 2, high: 0 },
  { low: 1, high: 1 },
];
const HOME: Account = { provider: 11, key: 101 };

/** Two workers and the main thread of one node, at a time of their own. */
class Node {
  seconds = 1_000_000;
  readonly told: Buffer[] = [];
  readonly workers: readonly StoredState[];
  readonly memory = createStateTable(SECRET);

  constructor() {
    this.workers = [0, 1].map(
      () =>
        new StoredState(
          this.memory,
          (record) => this.told.push(Buffer.from(record)),
          () => this.seconds,
        ),
    );
  }

  get worker(): StoredState {
    const [first] = this.workers;
    if (first === undefined) throw new Error('no worker');
    return first;
  }
}

const tenantAt = (at: number): TenantWords => TENANTS[at] ?? { low: 9, high: 9 };

describe('stored state', () => {
  it('is whose answer brought it first, whichever worker asks, in any order of events', () => {
    const event = fc.record({
      worker: fc.constantFrom(0, 1),
      id: fc.constantFrom('resp_1', 'resp_2', 'ü', 'x'.repeat(300)),
      tenant: fc.constantFrom(0, 1, 2),
      provider: fc.constantFrom(11, 12),
      key: fc.constantFrom(101, 102),
      days: fc.constantFrom(0, 0, 1, 20, 31),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        const node = new Node();
        const owners = new Map<string, { tenant: number; key: number; ends: number }>();
        for (const { worker, id, tenant, provider, key, days } of events) {
          node.seconds += days * 86_400;
          node.workers[worker]?.remember(id, tenantAt(tenant), { provider, key });
          const name = `${provider} ${id}`;
          const owner = owners.get(name);
          const isFree = owner === undefined || owner.ends <= node.seconds;
          const isLater = node.seconds + KEPT_SECONDS - (owner?.ends ?? 0) >= 86_400;
          if (isFree || (owner.tenant === tenant && (owner.key !== key || isLater)))
            owners.set(name, { tenant, key, ends: node.seconds + KEPT_SECONDS });
          for (const [at, words] of TENANTS.entries()) {
            const found = node.workers[1 - worker]?.find(id, words) ?? [];
            const expected = [11, 12].flatMap((one) => {
              const of = owners.get(`${one} ${id}`);
              if (of === undefined || of.tenant !== at || of.ends <= node.seconds) return [];
              // Looked up to be used.
              const ends = node.seconds + KEPT_SECONDS;
              if (ends - of.ends >= 86_400) of.ends = ends;
              return [{ provider: one, key: of.key }];
            });
            expect(new Set(found)).toEqual(new Set(expected));
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('is not found for another tenant, nor once its time is over', () => {
    const node = new Node();
    node.worker.remember('resp_1', tenantAt(0), HOME);
    expect(node.worker.find('resp_1', tenantAt(1))).toEqual([]);
    expect(node.worker.find('resp_1', { low: 1, high: 1 })).toEqual([]);
    expect(node.worker.find('resp_', tenantAt(0))).toEqual([]);
    node.seconds += KEPT_SECONDS - 1;
    expect(node.worker.isStrangers('resp_1', tenantAt(1))).toBe(true);
    node.seconds += 1;
    expect(node.worker.isStrangers('resp_1', tenantAt(1))).toBe(false);
    expect(node.worker.find('resp_1', tenantAt(0))).toEqual([]);
  });

  it('cannot be taken over by who gets a provider to repeat an id', () => {
    const node = new Node();
    node.worker.remember('resp_1', tenantAt(0), HOME);
    node.worker.remember('resp_1', tenantAt(1), HOME);
    expect(node.worker.find('resp_1', tenantAt(0))).toEqual([HOME]);
    expect(node.worker.find('resp_1', tenantAt(1))).toEqual([]);
    expect(node.worker.dropped).toBe(1);
  });

  it('of an id that two providers issue is at both', () => {
    const node = new Node();
    node.worker.remember('1', tenantAt(0), HOME);
    node.worker.remember('1', tenantAt(0), { provider: 12, key: 5 });
    expect(node.worker.find('1', tenantAt(0))).toEqual([HOME, { provider: 12, key: 5 }]);
  });

  it('comes back from its records, and records that were torn or changed bring nothing', () => {
    const node = new Node();
    const ids = Array.from({ length: 50 }, (_, at) => `resp_${at}`);
    for (const id of ids) node.worker.remember(id, tenantAt(0), HOME);
    const again = new StoredState(createStateTable(SECRET), null, () => node.seconds);
    const dumped = [...node.worker.records()];
    expect(new Set(dumped.map(String))).toEqual(new Set(node.told.map(String)));
    fc.assert(
      fc.property(fc.nat(49), fc.nat(RECORD_BYTES * 8 - 1), (which, bit) => {
        const record = Buffer.from(dumped[which] ?? []);
        record[bit >> 3] = (record[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(again.take(record)).toBe(false);
        expect(again.take(record.subarray(0, RECORD_BYTES - 1))).toBe(false);
      }),
    );
    expect(again.entries).toBe(0);
    for (const record of dumped) expect(again.take(record)).toBe(true);
    for (const id of ids) expect(again.find(id, tenantAt(0))).toEqual([HOME]);
  });

  it('holds no id in clear, and another secret finds nothing of it', () => {
    const node = new Node();
    node.worker.remember('resp_in_clear', tenantAt(0), HOME);
    expect(Buffer.from(new Uint8Array(node.memory)).includes('resp_in_clear')).toBe(false);
    const other = new StoredState(
      createStateTable(new Uint8Array(SECRET_BYTES)),
      null,
      () => node.seconds,
    );
    for (const record of node.told) other.take(record);
    expect(other.find('resp_in_clear', tenantAt(0))).toEqual([]);
  });

  it('gives up the oldest of a full set, and counts it', () => {
    const node = new Node();
    const many = 200_000;
    for (let at = 0; at < many; at++) {
      if (at % 10_000 === 0) node.seconds++;
      node.worker.remember(`id${at}`, tenantAt(0), HOME);
    }
    expect(node.worker.dropped).toBeGreaterThan(0);
    expect(node.worker.entries + node.worker.dropped).toBe(many);
    expect(node.worker.find(`id${many - 1}`, tenantAt(0))).toEqual([HOME]);
  });

  it('gives up on a set whose writer died in the middle, and does not hang', () => {
    const node = new Node();
    node.worker.remember('resp_1', tenantAt(0), HOME);
    const words = new Int32Array(node.memory);
    for (let set = 16; set < words.length; set += 96)
      if (Atomics.load(words, set) !== 0) Atomics.add(words, set, 1);
    expect(node.worker.find('resp_1', tenantAt(0))).toEqual([]);
    node.worker.remember('resp_1', tenantAt(0), HOME);
    expect(node.worker.dropped).toBe(1);
    // What is half written is no record either.
    expect([...node.worker.records()]).toEqual([]);
  });

  it('that is used, or brought again, is kept for its whole time from then on, told once a day', () => {
    for (const use of ['find', 'remember'] as const) {
      const node = new Node();
      node.worker.remember('conv_1', tenantAt(0), HOME);
      const other = new StoredState(createStateTable(SECRET), null, () => node.seconds);
      for (let day = 0; day < 100; day++) {
        for (let hour = 0; hour < 24; hour++) {
          node.seconds += 3_600;
          if (use === 'find') node.worker.find('conv_1', tenantAt(0));
          else node.worker.remember('conv_1', tenantAt(0), HOME);
        }
        // Whoever looks and is not its owner renews nothing.
        node.worker.find('conv_1', tenantAt(1));
        node.worker.isStrangers('conv_1', tenantAt(1));
      }
      expect(node.told.length).toBeLessThanOrEqual(101);
      expect(node.told.length).toBeGreaterThan(90);
      for (const record of node.told) other.take(record);
      expect(other.find('conv_1', tenantAt(0))).toEqual([HOME]);
      node.seconds += KEPT_SECONDS - 86_400;
      expect(node.workers[1]?.find('conv_1', tenantAt(0))).toEqual([HOME]);
      node.seconds += KEPT_SECONDS;
      expect(node.worker.find('conv_1', tenantAt(0))).toEqual([]);
    }
  });

  it('renews a record of its own account alone, and only one that is older', () => {
    const node = new Node();
    node.worker.remember('conv_1', tenantAt(0), HOME);
    node.seconds += 2 * 86_400;
    node.worker.find('conv_1', tenantAt(0));
    node.worker.remember('conv_2', tenantAt(0), HOME);
    const [first, later, other] = node.told;
    if (first === undefined || later === undefined || other === undefined) throw new Error('none');
    expect([renews(later, first), renews(first, later), renews(other, first)]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe('another secret', () => {
  it('forgets what was under the last one, on every thread, and begins anew', () => {
    const node = new Node();
    for (const worker of node.workers) worker.remember('resp_1', tenantAt(0), HOME);
    const main = new StoredState(node.memory, null, () => node.seconds);
    const other = new Uint8Array(SECRET_BYTES).fill(9);
    main.adopt(other);
    expect(node.worker.entries).toBe(0);
    for (const worker of node.workers) expect(worker.find('resp_1', tenantAt(0))).toEqual([]);
    node.worker.remember('resp_2', tenantAt(0), HOME);
    for (const worker of node.workers) expect(worker.find('resp_2', tenantAt(0))).toEqual([HOME]);
    // As on a node that has had it from its start.
    const elsewhere = new StoredState(createStateTable(other), null, () => node.seconds);
    for (const record of node.told) elsewhere.take(record);
    expect(elsewhere.find('resp_1', tenantAt(0))).toEqual([]);
    expect(elsewhere.find('resp_2', tenantAt(0))).toEqual([HOME]);
  });
});

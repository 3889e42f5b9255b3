import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createDenyTable,
  DENY_CELLS,
  DENY_FILL,
  type DeniedKind,
  DenyHalves,
  DenyLookup,
  type DenyReason,
} from '../../../src/deny/deny-table.ts';
import { idWords } from '../../../src/keys/virtual-key.ts';

const CELLS = 64;

function table(cells = CELLS) {
  const memory = createDenyTable(cells);
  const halves = new DenyHalves(memory);
  const lookup = new DenyLookup(memory);
  const find = (kind: DeniedKind, id: bigint) => {
    const { low, high } = idWords(id);
    return lookup.find(kind, low, high);
  };
  const deny = (kind: DeniedKind, id: bigint, reason: DenyReason, half = halves.active) => {
    const { low, high } = idWords(id);
    return half.deny(kind, low, high, reason);
  };
  const lift = (kind: DeniedKind, id: bigint, half = halves.active) => {
    const { low, high } = idWords(id);
    return half.lift(kind, low, high);
  };
  return { memory, halves, find, deny, lift };
}

describe('the deny table', () => {
  it('says of each id what was said of it last, and of no other', () => {
    const kinds = fc.constantFrom<DeniedKind>('tenant', 'key');
    const ids = fc.bigInt({ min: 0n, max: 40n }).map((n) => (n % 2n === 0n ? n : n << 40n));
    const steps = fc.array(
      fc.tuple(kinds, ids, fc.constantFrom<DenyReason | null>('spend', 'other', null)),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, (list) => {
        const { halves, find, deny, lift } = table(128);
        const model = new Map<string, DenyReason>();
        for (const [kind, id, reason] of list) {
          if (reason === null) {
            lift(kind, id);
            model.delete(`${kind}${id}`);
          } else if (deny(kind, id, reason) >= 0) model.set(`${kind}${id}`, reason);
          expect(halves.active.size).toBe(model.size);
        }
        for (const kind of ['tenant', 'key'] as const) {
          for (let n = 0n; n <= 40n; n++) {
            const id = n % 2n === 0n ? n : n << 40n;
            expect(find(kind, id)).toBe(model.get(`${kind}${id}`) ?? null);
          }
        }
      }),
    );
  });

  it('tells ids apart that share their low or their high half', () => {
    const { find, deny } = table();
    deny('tenant', 1n, 'spend');
    expect(find('tenant', 1n | (1n << 32n))).toBe(null);
    expect(find('tenant', 1n << 32n)).toBe(null);
    expect(find('key', 1n)).toBe(null);
    deny('tenant', 2n ** 64n - 1n, 'other');
    expect(find('tenant', 2n ** 64n - 1n)).toBe('other');
  });

  it('is never filled up: it takes three quarters, and says when it takes no more', () => {
    const { halves, deny, find, lift } = table();
    const most = CELLS * DENY_FILL;
    for (let id = 0n; id < most; id++)
      expect(deny('tenant', id, 'other')).toBeGreaterThanOrEqual(0);
    expect(deny('tenant', 1_000n, 'other')).toBe(-1);
    expect(find('tenant', 1_000n)).toBe(null);
    // What is in it can still change.
    expect(deny('tenant', 3n, 'spend')).toBeGreaterThanOrEqual(0);
    lift('tenant', 4n);
    expect(deny('tenant', 4n, 'other')).toBeGreaterThanOrEqual(0);
    expect(halves.active.size).toBe(most);
  });

  it('another half counts from one moment to the next, whole', () => {
    const { halves, find, deny } = table();
    deny('tenant', 1n, 'other');
    const spare = halves.spare();
    deny('tenant', 2n, 'spend', spare);
    expect([find('tenant', 1n), find('tenant', 2n)]).toEqual(['other', null]);
    halves.swap();
    expect([find('tenant', 1n), find('tenant', 2n)]).toEqual([null, 'spend']);
    halves.spare();
    expect(find('tenant', 2n)).toBe('spend');
  });

  it('has room for a million entries in the memory that it says', () => {
    expect(DENY_CELLS * DENY_FILL).toBeGreaterThan(1_000_000);
    expect(createDenyTable().byteLength).toBeLessThan(49 * 1_048_576);
  });
});

describe('readers on other threads', () => {
  const SOURCE = `
    const { workerData, parentPort } = require('node:worker_threads');
    import(workerData.module).then(({ DenyLookup }) => {
      const lookup = new DenyLookup(workerData.memory);
      const gate = new Int32Array(workerData.gate);
      let wrong = 0;
      let looked = 0;
      parentPort.postMessage('ready');
      while (Atomics.load(gate, 0) === 0) {
        // Always denied, never denied.
        if (lookup.find('tenant', 7, 0) !== 'other') wrong++;
        if (lookup.find('tenant', 8, 0) !== null) wrong++;
        looked++;
      }
      parentPort.postMessage({ wrong, looked });
    });`;

  it('never see an id come or go that stays, while others change and halves are rebuilt', async () => {
    const { memory, halves, deny, lift } = table(1_024);
    deny('tenant', 7n, 'other');
    const gate = new SharedArrayBuffer(4);
    const module = new URL('../../../src/deny/deny-table.ts', import.meta.url).href;
    const worker = new Worker(SOURCE, { eval: true, workerData: { memory, gate, module } });
    const told = (): Promise<unknown> => new Promise((resolve) => worker.once('message', resolve));
    await told();
    const result = told();
    for (let round = 0; round < 400; round++) {
      for (let id = 100n; id < 300n; id++) deny('tenant', id + BigInt(round), 'spend');
      for (let id = 100n; id < 300n; id++) lift('tenant', id + BigInt(round));
      const spare = halves.spare();
      for (let id = 500n; id < 700n; id++) deny('tenant', id, 'spend', spare);
      deny('tenant', 7n, 'other', spare);
      halves.swap();
    }
    Atomics.store(new Int32Array(gate), 0, 1);
    const { wrong, looked } = (await result) as { wrong: number; looked: number };
    expect(wrong).toBe(0);
    expect(looked).toBeGreaterThan(100);
  });
});

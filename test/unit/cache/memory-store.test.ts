import { describe, expect, test } from 'vitest';
import type { KeptAnswer, PurgeScope } from '../../../src/cache/answer-store.ts';
import { MemoryStore } from '../../../src/cache/memory-store.ts';

const HEAD = {
  status: 200,
  lines: '',
  isEventStream: false,
  streamAsked: false,
  format: 'json',
} as const;

function answer(
  bytes: number,
  expiresMs = Number.MAX_SAFE_INTEGER,
  tenant = '1',
  key = '7',
): KeptAnswer {
  const made = { model: 'm', targetModel: null, route: null, costUsd: null, tenant, key };
  return { head: HEAD, body: new Uint8Array(bytes), made, madeMs: 0, expiresMs };
}

function storeOf(maxBytes: number): {
  readonly store: MemoryStore;
  readonly told: { bytes: number; answers: number; evicted: number };
  readonly clock: { now: number };
} {
  const told = { bytes: 0, answers: 0, evicted: 0 };
  const clock = { now: 0 };
  const counts = {
    holds: (bytes: number, answers: number) => Object.assign(told, { bytes, answers }),
    evicted: (count: number) => {
      told.evicted += count;
    },
  };
  return { store: new MemoryStore(maxBytes, counts, () => clock.now), told, clock };
}

function got(store: MemoryStore, key: string): KeptAnswer | null | undefined {
  let found: KeptAnswer | null | undefined;
  store.get(key, (one) => {
    found = one;
  });
  return found;
}

function purged(store: MemoryStore, of: PurgeScope): number {
  let count = -1;
  store.purge(of, (one) => {
    count = one;
  });
  return count;
}

describe('answers in memory', () => {
  test('what was put is found, and nothing else', () => {
    const { store } = storeOf(1e6);
    const kept = answer(10);
    store.put('a', kept);
    expect(got(store, 'a')).toBe(kept);
    expect(got(store, 'b')).toBeNull();
  });

  test('the one that was not asked for the longest gives way', () => {
    const { store, told } = storeOf(3 * 2_600);
    for (const key of ['a', 'b', 'c']) store.put(key, answer(1_000));
    expect(told.evicted).toBe(0);
    got(store, 'a');
    store.put('d', answer(1_000));
    expect(['a', 'b', 'c', 'd'].map((key) => got(store, key) !== null)).toEqual([
      true,
      false,
      true,
      true,
    ]);
    expect(told).toMatchObject({ evicted: 1, answers: 3 });
  });

  test('it never holds more than it may, whatever comes', () => {
    const { store, told } = storeOf(1e6);
    for (let at = 0; at < 5_000; at++) {
      store.put(`key ${at % 700}`, answer((at * 7_919) % 262_144));
      expect(store.bytes).toBeLessThanOrEqual(1e6);
    }
    expect(store.bytes).toBe(told.bytes);
    expect(store.bytes).toBeGreaterThan(0.7e6);
    const { size } = store;
    expect(purged(store, { tenant: null, key: null })).toBe(size);
    expect(store.bytes).toBe(0);
  });

  test('memory of what gives way is given back at once, and not when it is collected', () => {
    const { store } = storeOf(3_500);
    const first = answer(1_000);
    store.put('a', first);
    store.put('b', answer(1_000));
    expect(got(store, 'a')).toBeNull();
    expect(first.body.buffer.byteLength).toBe(0);
    expect(first.body.buffer.detached).toBe(true);
  });

  test('what replaces another one counts once', () => {
    const { store } = storeOf(1e6);
    store.put('a', answer(1_000));
    const { bytes } = store;
    store.put('a', answer(1_000));
    expect([store.bytes, store.size]).toEqual([bytes, 1]);
  });

  test('what is too old is not found, and takes nothing', () => {
    const { store, clock } = storeOf(1e6);
    store.put('a', answer(10, 5_000));
    clock.now = 4_999;
    expect(got(store, 'a')).not.toBeNull();
    clock.now = 5_000;
    expect(got(store, 'a')).toBeNull();
    expect(store.bytes).toBe(0);
  });

  test('a tenant, one of its keys, or all are thrown away', () => {
    const { store } = storeOf(1e6);
    const later = Number.MAX_SAFE_INTEGER;
    store.put('a', answer(1, later, '1', '7'));
    store.put('b', answer(1, later, '1', '8'));
    store.put('c', answer(1, later, '2', '7'));
    expect(purged(store, { tenant: '1', key: '7' })).toBe(1);
    expect(purged(store, { tenant: null, key: '7' })).toBe(1);
    expect(purged(store, { tenant: '9', key: null })).toBe(0);
    expect([got(store, 'a'), got(store, 'c')]).toEqual([null, null]);
    expect(got(store, 'b')).not.toBeNull();
  });

  test('less room lets the oldest go at once', () => {
    const { store } = storeOf(1e6);
    for (const key of ['a', 'b', 'c']) store.put(key, answer(1_000));
    store.maxBytes = 3_500;
    expect(store.size).toBe(1);
    expect(got(store, 'c')).not.toBeNull();
  });
});

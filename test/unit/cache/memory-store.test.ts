import { describe, expect, test } from 'vitest';
import type { KeptAnswer, PurgeScope, Survey } from '../../../src/cache/answer-store.ts';
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

/** Copied: what is told of it is lent. */
function got(
  store: MemoryStore,
  key: string,
): (Omit<KeptAnswer, 'body'> & { readonly text: readonly number[] }) | null | undefined {
  let found: ReturnType<typeof got>;
  store.get(key, (one) => {
    if (one === null) found = null;
    else {
      const { body, ...rest } = one;
      found = { ...rest, text: [...body] };
    }
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
    const { body, ...kept } = answer(10);
    store.put('a', { ...kept, body: body.fill(7) });
    for (let at = 0; at < 2; at++)
      expect(got(store, 'a')).toEqual({ ...kept, text: [7, 7, 7, 7, 7, 7, 7, 7, 7, 7] });
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

  test('contents of any size are told as they came, whatever came and went between', () => {
    const { store } = storeOf(300_000);
    const sizes = [1, 1_023, 1_024, 1_025, 5_000, 40_000, 100_000];
    for (let at = 0; at < 2_000; at++) {
      const bytes = sizes[(at * 5 + (at >> 3)) % sizes.length] ?? 1;
      const { body, ...rest } = answer(bytes);
      for (let place = 0; place < bytes; place++) body[place] = (at * 31 + place) & 0xff;
      store.put(`key ${at % 9}`, { ...rest, body });
      const text = got(store, `key ${at % 9}`)?.text ?? [];
      expect(text.length).toBe(bytes);
      const isAsItCame = text.every((byte, place) => byte === ((at * 31 + place) & 0xff));
      expect(isAsItCame, `answer ${at}`).toBe(true);
    }
    expect(purged(store, { tenant: null, key: null })).toBeGreaterThan(0);
    // All of it is free again.
    store.put('all', answer(297_000));
    expect(got(store, 'all')?.text.length).toBe(297_000);
  });

  test('what it holds beside contents counts: names as long as somebody made them', () => {
    const { store, told } = storeOf(1e6);
    const short = answer(10);
    store.put('short', short);
    const { bytes } = told;
    const made = { ...short.made, model: 'm'.repeat(4_000), targetModel: 't'.repeat(5_000) };
    store.put('longer', { ...answer(10), made });
    expect(told.bytes - 2 * bytes).toBeGreaterThan(8_900);
    purged(store, { tenant: null, key: null });
    expect(told.bytes).toBe(0);
  });

  test('an answer that is larger than all the memory is not kept, and nobody gives way to it', () => {
    const { store, told } = storeOf(10_000);
    store.put('a', answer(1_000));
    store.put('b', answer(20_000));
    expect([got(store, 'a') === null, got(store, 'b')]).toEqual([false, null]);
    expect(told.evicted).toBe(0);
  });

  test('buffers that it was given, or that it lent, are given back at once', () => {
    const { store } = storeOf(10_000);
    const given = answer(1_000);
    store.put('a', given);
    expect(given.body.buffer.detached).toBe(true);
    let lent: KeptAnswer | null = null;
    store.get('a', (one) => {
      lent = one;
      expect(one?.body.length).toBe(1_000);
    });
    expect((lent as KeptAnswer | null)?.body.buffer.detached).toBe(true);
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

  test('the largest are told with their owners, the largest one first, whatever the order in which they came', () => {
    const { store } = storeOf(1e6);
    const later = Number.MAX_SAFE_INTEGER;
    for (const [at, bytes] of [30, 500, 10, 4_000, 700, 60].entries())
      store.put(`${at}`, answer(bytes, later, `${at}`));
    let told: Survey | null = null;
    store.survey(3, (survey) => {
      told = survey;
    });
    expect(told).toMatchObject({ answers: 6, bytes: store.bytes, isWhole: true });
    const { largest } = told ?? { largest: [] };
    expect(largest.map(({ tenant, bytes }) => [tenant, bytes])).toEqual([
      ['3', 4_000],
      ['4', 700],
      ['1', 500],
    ]);
  });

  test('less room lets the oldest go at once', () => {
    const { store } = storeOf(1e6);
    for (const key of ['a', 'b', 'c']) store.put(key, answer(1_000));
    store.maxBytes = 3_500;
    expect(store.size).toBe(1);
    expect(got(store, 'c')?.text.length).toBe(1_000);
    store.maxBytes = 1e6;
    expect(got(store, 'c')?.text.length).toBe(1_000);
  });
});

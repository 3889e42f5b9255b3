import { describe, expect, it } from 'vitest';
import { type DenySubject, denySubject } from '../../../src/deny/deny-entry.ts';
import { DenySet } from '../../../src/deny/deny-set.ts';
import { createDenyTable, DENY_CELLS, DenyLookup } from '../../../src/deny/deny-table.ts';

const CELLS = 64;
const now = (): number => Math.floor(Date.now() / 1_000);
const SPEND = { reason: 'spend', exp: 0 } as const;

function subject(id: number): DenySubject {
  const found = denySubject(`blackhole.${id}`);
  if (found === null) throw new Error(`${id}`);
  return found;
}

function set(cells = CELLS) {
  const memory = createDenyTable(cells);
  const lookup = new DenyLookup(memory);
  const denies = new DenySet(memory);
  return { denies, find: (id: number) => lookup.find('tenant', id, 0) };
}

describe('DenySet', () => {
  it('lifts what has ended, when it has ended, and nothing else', () => {
    const { denies, find } = set();
    denies.apply(subject(1), { reason: 'spend', exp: now() + 1_000 });
    denies.apply(subject(2), SPEND);
    denies.apply(subject(3), { reason: 'spend', exp: now() - 1 });
    expect([find(1), find(2), find(3)]).toEqual(['spend', 'spend', null]);
    denies.expire();
    expect(denies.size).toBe(2);
    const { size } = denies;
    const real = Date.now;
    Date.now = () => real() + 2_000_000;
    try {
      denies.expire();
    } finally {
      Date.now = real;
    }
    expect([size, find(1), find(2)]).toEqual([2, null, 'spend']);
  });

  it('a hold that is renewed does not end at its old end', () => {
    const { denies, find } = set();
    denies.apply(subject(1), { reason: 'spend', exp: now() + 1 });
    denies.apply(subject(1), SPEND);
    const real = Date.now;
    Date.now = () => real() + 60_000;
    try {
      denies.expire();
    } finally {
      Date.now = real;
    }
    expect(find(1)).toBe('spend');
  });

  it('ids that come and go do not fill it', () => {
    const { denies, find } = set();
    denies.apply(subject(1), SPEND);
    for (let id = 10; id < 1_000; id++) {
      denies.apply(subject(id), SPEND);
      expect(find(id)).toBe('spend');
      denies.apply(subject(id), null);
      expect(find(id)).toBe(null);
    }
    expect([denies.size, denies.overflow, find(1)]).toEqual([1, 0, 'spend']);
  });

  it('counts what finds no room', () => {
    const { denies } = set();
    for (let id = 0; id < CELLS; id++) denies.apply(subject(id), SPEND);
    expect(denies.size).toBe(48);
    expect(denies.overflow).toBe(16);
  });

  it('a rescan counts when it is committed, and what was lifted meanwhile is not in it', () => {
    const { denies, find } = set();
    denies.apply(subject(1), SPEND);
    const rescan = denies.rescan();
    rescan.apply(subject(2), SPEND);
    rescan.apply(subject(3), SPEND);
    rescan.apply(subject(3), null);
    rescan.apply(subject(4), { reason: 'other', exp: now() - 1 });
    expect([find(1), find(2)]).toEqual(['spend', null]);
    rescan.commit();
    expect([find(1), find(2), find(3), find(4)]).toEqual([null, 'spend', null, null]);
    expect(() => rescan.commit()).toThrow();
  });

  it('a rescan whose memory was needed elsewhere is dead, and says so', () => {
    const { denies, find } = set();
    const rescan = denies.rescan();
    for (let id = 0; id < 200; id++) {
      denies.apply(subject(id), SPEND);
      denies.apply(subject(id), null);
    }
    denies.apply(subject(5), SPEND);
    expect(rescan.isAlive).toBe(false);
    rescan.apply(subject(1), SPEND);
    expect([find(1), find(5)]).toEqual([null, 'spend']);
  });

  it('reads a small bucket anew and anew in the memory that its entries need', () => {
    const { denies, find } = set(DENY_CELLS);
    const beforeBytes = process.memoryUsage.rss();
    for (let reading = 1; reading <= 10; reading++) {
      const rescan = denies.rescan();
      rescan.apply(subject(reading), { reason: 'spend', exp: now() + 1_000 });
      rescan.commit();
      expect([denies.size, find(reading), find(reading - 1)]).toEqual([1, 'spend', null]);
    }
    // Both halves are 48 MiB, and the ends of holds 8 MiB each: touching them all shows.
    expect(process.memoryUsage.rss() - beforeBytes).toBeLessThan(16 * 1_048_576);
  });
});

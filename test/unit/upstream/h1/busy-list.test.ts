import { expect, it } from 'vitest';
import { BusyList, type Placed } from '../../../../src/upstream/h1/busy-list.ts';

const member = (): Placed => ({ busyAt: -1 });

it('has what entered and did not leave, whatever the order in which others leave', () => {
  const list = new BusyList<Placed>();
  const members = Array.from({ length: 9 }, member);
  for (const one of members) list.add(one);
  const left = [0, 8, 4, 3, 5].map((at) => members[at] ?? member());
  for (const one of left) expect(list.delete(one)).toBe(true);
  const all = list.all();
  expect(all.length).toBe(4);
  for (const one of members) expect(all.includes(one)).toBe(!left.includes(one));
  for (const one of members) expect(list.delete(one)).toBe(!left.includes(one));
  expect(list.size).toBe(0);
});

it('has nobody twice, and lets nobody go who is not in it', () => {
  const list = new BusyList<Placed>();
  const [one, other] = [member(), member()];
  list.add(one);
  list.add(one);
  expect(list.size).toBe(1);
  expect(list.delete(other)).toBe(false);
  expect(list.delete(one)).toBe(true);
  expect(list.delete(one)).toBe(false);
  list.add(one);
  expect(list.all()).toEqual([one]);
});

it('is looked through as it was, while members leave', () => {
  const list = new BusyList<Placed>();
  const members = Array.from({ length: 5 }, member);
  for (const one of members) list.add(one);
  let seen = 0;
  for (const one of list.all()) {
    list.delete(one);
    seen++;
  }
  expect([seen, list.size]).toEqual([5, 0]);
});

import { describe, expect, it } from 'vitest';
import {
  createFollowedTable,
  FOLLOWED_MAX,
  FollowedTable,
} from '../../../src/exchange/followed-table.ts';

const two = () => {
  const memory = createFollowedTable(2);
  return [new FollowedTable(memory, 0), new FollowedTable(memory, 1)] as const;
};

describe('a response that is followed', () => {
  it('is known to every worker until it is left, and looked at once for each asking', () => {
    const [a, b] = two();
    const slot = a.enter('openai resp_1');
    expect([b.ask('openai resp_2'), b.ask('xai resp_1'), a.wasAsked(slot)]).toEqual([
      false,
      false,
      false,
    ]);
    expect([b.ask('openai resp_1'), a.wasAsked(slot), a.wasAsked(slot)]).toEqual([
      true,
      true,
      false,
    ]);
    a.leave(slot);
    expect(b.ask('openai resp_1')).toBe(false);
  });

  it('finds no slot where all of its worker are taken, and what a dead worker followed is gone', () => {
    const [a, b] = two();
    const slots = Array.from({ length: FOLLOWED_MAX }, (_, at) => a.enter(`openai ${at}`));
    expect(new Set(slots).size).toBe(FOLLOWED_MAX);
    expect([a.enter('openai more'), a.wasAsked(-1)]).toEqual([-1, false]);
    a.leave(-1);
    const other = b.enter('openai other');
    a.reset();
    expect([b.ask('openai 3'), a.ask('openai other'), b.wasAsked(other)]).toEqual([
      false,
      true,
      true,
    ]);
  });
});

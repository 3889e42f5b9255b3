import { describe, expect, it } from 'vitest';
import {
  BLIND_LIMIT_MS,
  LOOK_BYTES,
  REFUSED_FROM_BYTES,
  SLIP_LIMIT_BYTES,
  SLIP_NODE_LIMIT_BYTES,
  SlipShare,
} from '../../../src/edge/slip-account.ts';

/** What all shares of a node have booked. */
class Booked {
  bytes = 0;
  uploadSlipped(bytes: number): void {
    this.bytes += bytes;
  }
  nodeSlippedBytes(): number {
    return this.bytes;
  }
}

describe('an upload that is held back', () => {
  it('looks up until it has let in its own limit, then waits', () => {
    const share = new SlipShare(new Booked());
    share.begin(0);
    let looks = 0;
    while (share.judge(0) === 'look') {
      looks++;
      share.add(LOOK_BYTES);
    }
    expect(looks * LOOK_BYTES).toBe(SLIP_LIMIT_BYTES);
    expect(share.judge(1e9)).toBe('wait');
    share.giveBack();
    expect(share.judge(1e9)).toBe('look');
  });

  it('gives back exactly what was booked, whether or not a look found what it might', () => {
    for (const found of [0, 1, LOOK_BYTES - 1, LOOK_BYTES, LOOK_BYTES + 7]) {
      const booked = new Booked();
      const share = new SlipShare(booked);
      share.begin(0);
      share.add(5);
      share.judge(0);
      share.add(found);
      share.judge(0);
      expect(booked.bytes).toBe(5 + found + LOOK_BYTES);
      share.giveBack();
      expect(booked.bytes).toBe(0);
    }
  });
});

describe('all uploads of a node', () => {
  const shares = (count: number) => {
    const booked = new Booked();
    const all = Array.from({ length: count }, () => new SlipShare(booked));
    for (const share of all) share.begin(0);
    return { booked, all };
  };

  it('never let in more than the bound, also when all look in the same tick', () => {
    const { booked, all } = shares(1_000);
    for (let tick = 0; tick < 10; tick++) {
      const looking = all.filter((share) => share.judge(tick) === 'look');
      for (const share of looking) share.add(LOOK_BYTES);
      expect(booked.bytes).toBeLessThanOrEqual(SLIP_NODE_LIMIT_BYTES);
    }
    expect(booked.bytes).toBe(SLIP_NODE_LIMIT_BYTES);
  });

  it('ask those that hold much to go, once these could not look for the limit, and no more of them than need be', () => {
    const { booked, all } = shares(100);
    const [small, ...large] = all;
    small?.add(REFUSED_FROM_BYTES - 1);
    for (let tick = 0; tick < 10; tick++)
      for (const share of large) if (share.judge(0) === 'look') share.add(LOOK_BYTES);
    expect(SLIP_NODE_LIMIT_BYTES - booked.bytes).toBeLessThan(LOOK_BYTES);
    expect(all.map((share) => share.judge(BLIND_LIMIT_MS))).toEqual(all.map(() => 'wait'));
    expect(small?.judge(BLIND_LIMIT_MS + 1)).toBe('wait');
    expect(large[0]?.judge(BLIND_LIMIT_MS + 1)).toBe('refuse');
    large[0]?.giveBack();
    expect(large[1]?.judge(BLIND_LIMIT_MS + 1)).toBe('look');
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RateBook } from '../../../src/fleet/rate-book.ts';
import { rateShare } from '../../../src/fleet/rate-share.ts';
import { NO_LIMITS } from '../../../src/policy/limit-settings.ts';
import { createLimitTable, LimitTable } from '../../../src/policy/limit-table.ts';
import { type KeyLimits, Limiter, type LimitGrant } from '../../../src/policy/limiter.ts';
import { UNLIMITED } from '../../support/no-limits.ts';

describe('shares of a limit', () => {
  it('are one together, none is less than a fifth of an equal one, and who is asked for more has more', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 10_000 }), { minLength: 1, maxLength: 20 }), (demand) => {
        const rates = demand.map((one) => ({ demand: one, fullness: 1 }));
        const shares = demand.map((own, at) => rateShare(own, rates.toSpliced(at, 1)).share);
        expect(shares.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
        for (const [at, share] of shares.entries()) {
          expect(share).toBeGreaterThan(1 / (5.01 * demand.length));
          for (const [other, theirs] of shares.entries())
            if ((demand[at] ?? 0) > (demand[other] ?? 0))
              expect(share).toBeGreaterThan(theirs - 1e-9);
        }
      }),
    );
  });
});

describe('how full a share is that grows', () => {
  it('is as full as the shares are by which it grows, each by its size', () => {
    const full = { demand: 0, fullness: 1 };
    expect(rateShare(1, [full, full]).fullness).toBe(1);
    expect(rateShare(1, [{ demand: 1, fullness: 0 }]).fullness).toBe(0);
    expect(rateShare(0, [{ demand: 1, fullness: 0 }, full]).fullness).toBeCloseTo(1 / 13, 9);
  });
});

/** Nodes on one clock; what they tell each other arrives at once. */
class Fleet {
  readonly clock = { us: 1_000_000 };
  readonly nodes: { readonly book: RateBook; readonly limits: KeyLimits; served: number[] }[];
  isCutOff = new Set<number>();

  constructor(count: number, limits: Partial<typeof NO_LIMITS>) {
    this.nodes = Array.from({ length: count }, () => {
      const table = new LimitTable(createLimitTable(1), 0);
      const counts = { limitReached: () => {}, limitRowDropped: () => {}, classShed: () => {} };
      const limiter = new Limiter(table, UNLIMITED, counts, () => this.clock.us);
      const purse = limiter.purse('key', '1', { ...NO_LIMITS, ...limits }, true);
      const made = limiter.of('agent', [purse]);
      if (made === null) throw new Error('nothing limits it');
      return { book: new RateBook(table, 0), limits: made, served: [] };
    });
  }

  tell(): void {
    const nowMs = this.clock.us / 1_000;
    for (const [from, { book }] of this.nodes.entries()) {
      const message = book.measure(nowMs);
      if (this.isCutOff.has(from)) continue;
      for (const [to, other] of this.nodes.entries())
        if (to !== from && !this.isCutOff.has(to)) other.book.hear(`n${from}`, message, nowMs);
    }
    for (const [at, { book }] of this.nodes.entries())
      if (!this.isCutOff.has(at)) book.share(nowMs);
  }

  /** @param perSecond requests at each node */
  run(seconds: number, perSecond: readonly number[], tokens = 1): void {
    for (let second = 0; second < seconds; second++) {
      this.tell();
      for (let tenth = 0; tenth < 10; tenth++) {
        this.clock.us += 100_000;
        for (const [at, node] of this.nodes.entries()) {
          for (let one = 0; one < (perSecond[at] ?? 0) / 10; one++) {
            const expected = { inputTokens: tokens, outputTokens: 0 };
            const came = node.limits.admit('openai', 'openai/a', expected, true);
            if ('code' in came) continue;
            (came as LimitGrant).settle(tokens);
            node.served.push(this.clock.us);
          }
        }
      }
    }
  }

  /** In each minute of those behind `fromUs`. */
  minutes(fromUs: number): readonly number[] {
    const all = this.nodes.flatMap(({ served }) => served).filter((us) => us > fromUs);
    const counts: number[] = [];
    for (let us = fromUs; us + 60_000_000 <= this.clock.us; us += 1_000_000)
      counts.push(all.filter((one) => one > us && one <= us + 60_000_000).length);
    return counts;
  }
}

describe('a limit that three nodes share', () => {
  it('of 60 a minute is 54 to 66 in any minute under pressure, whoever is asked how much', () => {
    for (const perSecond of [
      [10, 10, 10],
      [20, 5, 5],
      [30, 1, 0],
    ]) {
      const fleet = new Fleet(3, { rpm: 60 });
      // One minute's worth is there at first.
      fleet.run(90, perSecond);
      const fromUs = fleet.clock.us;
      fleet.run(180, perSecond);
      const minutes = fleet.minutes(fromUs);
      expect(Math.max(...minutes), `${perSecond}`).toBeLessThanOrEqual(66);
      expect(Math.min(...minutes), `${perSecond}`).toBeGreaterThanOrEqual(54);
    }
  });

  it('makes no second burst when the load moves from one node to another', () => {
    const fleet = new Fleet(3, { rpm: 60 });
    fleet.run(90, [30, 0, 0]);
    const fromUs = fleet.clock.us;
    fleet.run(60, [0, 30, 0]);
    fleet.run(60, [0, 0, 30]);
    const all = fleet.nodes.flatMap(({ served }) => served).filter((us) => us > fromUs);
    // Two minutes' worth, and what the idle ones had of theirs.
    expect(all.length).toBeLessThanOrEqual(120 + 15);
  });

  it('is spent once: what one node took of a key that nobody knew is not there at the others, which are asked behind it', () => {
    const fleet = new Fleet(3, { rpm: 60 });
    fleet.run(1, [0, 0, 0]);
    const beganUs = fleet.clock.us;
    fleet.run(10, [30, 0, 0]);
    const alone = fleet.nodes[0]?.served.length ?? 0;
    // Its third at once, and what the others do not want behind that.
    expect(alone).toBeGreaterThanOrEqual(50);
    fleet.run(5, [0, 30, 30]);
    const all = fleet.nodes.flatMap(({ served }) => served);
    const seconds = (fleet.clock.us - beganUs) / 1_000_000;
    expect(all.length).toBeLessThanOrEqual(60 + seconds + 6);
  });

  it('serves what is larger than a share of it, and no more in the long run', () => {
    const fleet = new Fleet(3, { tpm: 1_000 });
    fleet.run(120, [1, 1, 1], 800);
    const fromUs = fleet.clock.us;
    fleet.run(300, [1, 1, 1], 800);
    const served = fleet.nodes.flatMap((node) => node.served.filter((us) => us > fromUs));
    // Five minutes of 1,000 tokens are six and a quarter of them, and each node may be ahead by one.
    expect(served.length).toBeGreaterThanOrEqual(4);
    expect(served.length).toBeLessThanOrEqual(9);
  });

  it('keeps its last shares at a node that is cut off, and is whole again at the last one that is left', () => {
    const fleet = new Fleet(3, { rpm: 60 });
    fleet.run(90, [10, 10, 10]);
    fleet.isCutOff.add(0);
    let before = fleet.nodes[0]?.served.length ?? 0;
    fleet.run(120, [10, 0, 0]);
    expect((fleet.nodes[0]?.served.length ?? 0) - before).toBeLessThanOrEqual(44);
    fleet.isCutOff.clear();
    fleet.isCutOff.add(1).add(2);
    before = fleet.nodes[0]?.served.length ?? 0;
    fleet.run(120, [10, 0, 0]);
    expect(fleet.nodes[0]?.book.nodes).toBe(1);
    expect((fleet.nodes[0]?.served.length ?? 0) - before).toBeGreaterThanOrEqual(100);
  });

  it('of requests in flight gives each node its part', () => {
    const fleet = new Fleet(3, { maxInFlight: 9 });
    fleet.run(2, [1, 1, 1]);
    const held = fleet.nodes.map(({ limits }) => {
      let count = 0;
      while (
        !('code' in limits.admit('openai', 'openai/a', { inputTokens: 1, outputTokens: 0 }, true))
      )
        count++;
      return count;
    });
    expect(held).toEqual([3, 3, 3]);
  });
});

it('a limit of which a node hears first from another is small there before anybody asks it', () => {
  const told = new LimitTable(createLimitTable(1), 0);
  const first = new RateBook(told, 0);
  const row = told.place('key 7');
  told.asked(row, 30, 0);
  const message = first.measure(1_000);
  const heard = new LimitTable(createLimitTable(1), 0);
  const second = new RateBook(heard, 0);
  second.hear('first', Buffer.alloc(8, Buffer.of(2, 0, 0, 0, 0, 0, 0, 0)), 1_000);
  second.share(1_000);
  second.hear('first', message, 1_001);
  expect(heard.share(heard.place('key 7'), 'requests')).toBeLessThan(0.15);
  expect(heard.share(heard.place('key 8'), 'requests')).toBe(0.5);
});

it('of a limit that a dead worker holds the share grows when that is known: by itself it would be full of what nobody gave', () => {
  const memory = createLimitTable(1);
  const table = new LimitTable(memory, null);
  const book = new RateBook(table, 0);
  const row = table.place('key 7');
  book.hear('other', Buffer.alloc(8, Buffer.of(2, 0, 0, 0, 0, 0, 0, 0)), 1_000);
  book.share(1_000);
  expect(table.share(row, 'requests')).toBe(0.5);
  table.asked(row, 30, 0);
  book.measure(1_000);
  // The lock is the first word of a row's last cell: it holds the first worker's mark.
  new Int32Array(memory, 8 + (row * 7 + 6) * 8, 1)[0] = 2;
  book.share(1_000);
  expect(table.share(row, 'requests')).toBe(0.5);
  table.forget(0);
  book.share(1_000);
  expect(table.share(row, 'requests')).toBeGreaterThan(0.8);
});

it('a message of another version is no message', () => {
  const table = new LimitTable(createLimitTable(1), 0);
  const book = new RateBook(table, 0);
  expect(book.hear('old', Buffer.alloc(8, Buffer.of(1, 0, 0, 0, 0, 0, 0, 0)), 0)).toBe(false);
  expect(book.nodes).toBe(1);
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type FleetAsker,
  FleetQuestions,
  WAITING_MAX,
} from '../../../src/stored/fleet-questions.ts';

const NEVER = (): boolean => false;

function asker(isKnown: () => boolean, told: () => unknown): FleetAsker {
  return { isKnown, told: () => void told() };
}

function questions() {
  const asked = { count: 0 };
  const reported: unknown[] = [];
  const fleet = new FleetQuestions(
    () => asked.count++,
    (error) => reported.push(error),
  );
  return { fleet, asked, reported };
}

describe('the questions of a worker to its fleet', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('are one for all who came before it', () => {
    const { fleet, asked } = questions();
    const told: number[] = [];
    for (let one = 0; one < 100; one++)
      fleet.ask(
        asker(
          () => true,
          () => told.push(one),
        ),
      );
    expect(asked.count).toBe(1);
    fleet.answer(true);
    // The first was asked for alone; whoever came behind it gets the next answer.
    expect(told).toEqual([0]);
    vi.advanceTimersByTime(100);
    expect(asked.count).toBe(2);
    fleet.answer(true);
    expect(told).toHaveLength(100);
    vi.advanceTimersByTime(10_000);
    expect(asked.count).toBe(2);
  });

  it('are repeated while the node does not know what is looked for, and end without it', () => {
    const { fleet, asked } = questions();
    const known = { isIt: false };
    const told: string[] = [];
    fleet.ask(
      asker(
        () => known.isIt,
        () => told.push('found'),
      ),
    );
    fleet.answer(true);
    expect(told).toEqual([]);
    vi.advanceTimersByTime(100);
    known.isIt = true;
    fleet.answer(true);
    expect(told).toEqual(['found']);
    fleet.ask(asker(NEVER, () => told.push('ended')));
    const before = asked.count;
    for (let round = 0; round < 1_000 && told.length < 2; round++) {
      fleet.answer(true);
      if (told.length < 2) vi.advanceTimersByTime(30);
    }
    expect(told).toEqual(['found', 'ended']);
    expect(asked.count - before).toBeLessThan(20);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('end at once where nobody can say, and after a second where nobody answers', () => {
    const { fleet } = questions();
    const told: string[] = [];
    fleet.ask(asker(NEVER, () => told.push('away')));
    fleet.answer(false);
    expect(told).toEqual(['away']);
    fleet.ask(asker(NEVER, () => told.push('silent')));
    vi.advanceTimersByTime(999);
    expect(told).toEqual(['away']);
    vi.advanceTimersByTime(1);
    expect(told).toEqual(['away', 'silent']);
    // It comes all the same, late: the next ones are answered as ever.
    fleet.answer(true);
    fleet.ask(
      asker(
        () => true,
        () => told.push('next'),
      ),
    );
    fleet.answer(true);
    expect(told).toEqual(['away', 'silent', 'next']);
  });

  it('have a bound, and one that throws keeps no other from its answer', () => {
    const { fleet, reported } = questions();
    const told = { count: 0 };
    const broken = new Error('a bug');
    fleet.ask(
      asker(NEVER, () => {
        throw broken;
      }),
    );
    for (let more = 1; more < WAITING_MAX; more++)
      expect(fleet.ask(asker(NEVER, () => told.count++))).toBe(true);
    expect(fleet.ask(asker(NEVER, () => told.count++))).toBe(false);
    vi.advanceTimersByTime(1_000);
    expect(told.count).toBe(WAITING_MAX - 1);
    expect(reported).toEqual([broken]);
  });
});

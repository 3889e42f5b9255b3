import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BudgetCalendar } from '../../../src/budget/budget-calendar.ts';
import { BudgetTable, createBudgetTable } from '../../../src/budget/budget-table.ts';
import { ChainSpending, type ChainTarget } from '../../../src/budget/chain-spending.ts';
import { DefaultRates } from '../../../src/budget/default-rate.ts';
import { OutputSizes } from '../../../src/budget/output-sizes.ts';
import { Reservation } from '../../../src/budget/reservation.ts';
import { KeySpending, type SpendingQuestion } from '../../../src/budget/spending.ts';
import { PriceBook, shippedBook } from '../../../src/prices/price-book.ts';

const book = new PriceBook(shippedBook());
const BUDGET = 1_000_000_000;
const DAY_MS = 86_400_000;

function scene({ budget = BUDGET, enforced = true, maxCostNano = 0 } = {}) {
  const clock = { ms: Date.parse('2026-11-28T12:00:00Z') };
  const told: string[] = [];
  const context = {
    table: new BudgetTable(createBudgetTable(1, true), 0),
    calendar: new BudgetCalendar('UTC'),
    book,
    defaults: new DefaultRates(book),
    sizes: new OutputSizes(),
    counts: {
      budgetReached: (...args: readonly unknown[]) => void told.push(args.join(' ')),
      budgetRowDropped: () => void told.push('dropped'),
    },
    met: () => {},
    status: 402 as const,
    assumedOutputTokens: 0,
    models: book,
    candidates: [],
    now: () => clock.ms,
  };
  const rules = {
    keyClass: 'agent',
    maxCostNano,
    enforced: true,
    unpriced: 'deny',
    isStrict: false,
    capsOutput: false,
    candidates: [],
  } as const;
  const own = {
    scope: 'key',
    name: '1/1',
    limits: { day: budget, month: 0 },
    enforced,
    stops: false,
  } as const;
  const spending = new KeySpending(context, rules, [own]);
  const stands = () => {
    const [view] = spending.views();
    return { spent: view?.spent ?? 0, reserved: view?.reserved ?? 0 };
  };
  return { spending, clock, told, stands };
}

const at = (model: string): ChainTarget => ({ provider: { name: 'openai' }, model });
const CHEAP = at('gpt-4o-mini');
const MIDDLE = at('gpt-4o');
const DEAR = at('o1-pro');

function question(model: string, chain: ChainSpending | null): SpendingQuestion {
  const asked = {
    textBytes: 0,
    dataBytes: 0,
    outputTokens: 1_000,
    choices: 1,
    serviceTier: null,
    speed: null,
    inferenceGeo: null,
    marksCache: false,
    isHour: false,
    tools: 0,
    toolUses: 0,
    named: 0,
  };
  return {
    provider: 'openai',
    model,
    further: [],
    asked,
    requestBytes: 0,
    writes: true,
    chain,
    mayMove: false,
    isUncapped: false,
  };
}

const costOf = ({ model }: ChainTarget): number => {
  const came = scene({ budget: 1e15 }).spending.reserve(question(model, null));
  if (!(came instanceof Reservation)) throw new Error(`refused: ${came.code}`);
  return came.reserved;
};

function taken(spending: KeySpending, target: ChainTarget, chain: ChainSpending): Reservation {
  const came = spending.reserve(question(target.model, chain));
  if (!(came instanceof Reservation)) throw new Error(`refused: ${came.code} ${came.detail}`);
  return came;
}

const isRefused = (spending: KeySpending, target: ChainTarget, chain: ChainSpending | null) =>
  !(spending.reserve(question(target.model, chain)) instanceof Reservation);

describe('ChainSpending', () => {
  test('the dearest target that may follow is reserved, and an attempt is settled by its own', () => {
    const { spending, stands } = scene();
    const chain = new ChainSpending(() => [MIDDLE, DEAR]);
    const first = taken(spending, CHEAP, chain);
    expect(first.reserved).toBe(costOf(CHEAP));
    expect(stands().reserved).toBe(costOf(DEAR));
    chain.close();
    expect(stands().reserved).toBe(costOf(CHEAP));
    first.settle(null);
    expect(stands()).toEqual({ spent: costOf(CHEAP), reserved: 0 });
  });

  test('a target for which there is no room is not reserved for, and keeps nobody from the others', () => {
    const { spending, stands, told } = scene({ budget: costOf(MIDDLE) });
    const left = [MIDDLE, DEAR];
    const chain = new ChainSpending(() => left);
    const first = taken(spending, CHEAP, chain);
    expect(stands().reserved).toBe(costOf(MIDDLE));
    first.settle(0);
    left.shift();
    const second = taken(spending, MIDDLE, chain);
    second.settle(0);
    left.shift();
    expect(isRefused(spending, DEAR, chain)).toBe(true);
    chain.close();
    expect(stands()).toEqual({ spent: 0, reserved: 0 });
    expect(told).toEqual(['key day true']);
  });

  test('what the first one left is there for the second, whoever asks in between', () => {
    const { spending, stands } = scene({ budget: costOf(MIDDLE) });
    const left = [MIDDLE];
    const chain = new ChainSpending(() => left);
    const first = taken(spending, CHEAP, chain);
    expect(isRefused(spending, CHEAP, null)).toBe(true);
    first.settle(0);
    left.shift();
    // Between two attempts: a wait that the first one's provider asked for.
    expect(isRefused(spending, CHEAP, null)).toBe(true);
    const second = taken(spending, MIDDLE, chain);
    expect(isRefused(spending, CHEAP, null)).toBe(true);
    chain.close();
    second.settle(7);
    expect(stands()).toEqual({ spent: 7, reserved: 0 });
  });

  test('what the first one spent is missing for the second, which asks for the difference', () => {
    const budget = costOf(MIDDLE) + 5;
    const { spending, stands } = scene({ budget });
    const left = [MIDDLE];
    const chain = new ChainSpending(() => left);
    taken(spending, CHEAP, chain).settle(5);
    left.shift();
    taken(spending, MIDDLE, chain);
    expect(stands()).toEqual({ spent: 5, reserved: costOf(MIDDLE) });
    chain.close();
    const tight = scene({ budget: budget - 1 });
    const more = [MIDDLE];
    const other = new ChainSpending(() => more);
    taken(tight.spending, CHEAP, other).settle(5);
    more.shift();
    expect(isRefused(tight.spending, MIDDLE, other)).toBe(true);
    other.close();
    expect(tight.stands()).toEqual({ spent: 5, reserved: 0 });
  });

  test('what a single request may not cost is not reserved for', () => {
    const { spending, stands } = scene({ maxCostNano: costOf(MIDDLE) });
    taken(spending, CHEAP, new ChainSpending(() => [DEAR, MIDDLE]));
    expect(stands().reserved).toBe(costOf(MIDDLE));
  });

  test('a budget that is only counted counts what is asked for, and not what might have been', () => {
    const { spending, told, stands } = scene({ budget: costOf(CHEAP), enforced: false });
    taken(spending, CHEAP, new ChainSpending(() => [DEAR]));
    expect(told).toEqual([]);
    expect(stands().reserved).toBe(costOf(CHEAP));
  });

  test('what was kept for an earlier day is none of the next one’s', () => {
    const { spending, clock, stands } = scene();
    const left = [MIDDLE];
    const chain = new ChainSpending(() => left);
    taken(spending, CHEAP, chain).settle(0);
    clock.ms += DAY_MS;
    left.shift();
    const second = taken(spending, MIDDLE, chain);
    expect(stands()).toEqual({ spent: 0, reserved: costOf(MIDDLE) });
    chain.close();
    second.settle(3);
    expect(stands()).toEqual({ spent: 3, reserved: 0 });
  });

  test('G1, G2: whatever targets follow each other, no more is held than the budget, and in the end nothing', () => {
    const targets = [CHEAP, MIDDLE, DEAR];
    const costs = targets.map(costOf);
    const request = fc.record({
      plan: fc.array(fc.nat({ max: 2 }), { minLength: 1, maxLength: 5 }),
      /** Of what each attempt may cost, in percent. */
      spends: fc.array(fc.nat({ max: 100 }), { minLength: 5, maxLength: 5 }),
      /** Behind how many attempts it commits, or its client leaves. */
      ends: fc.nat({ max: 5 }),
    });
    const budgets = fc.integer({ min: costs[0] ?? 0, max: 3 * (costs[2] ?? 0) });
    fc.assert(
      fc.property(
        fc.array(request, { minLength: 1, maxLength: 8 }),
        budgets,
        (requests, budget) => {
          const { spending, stands } = scene({ budget });
          let spent = 0;
          const holds = () => {
            const { spent, reserved } = stands();
            expect(spent + reserved).toBeLessThanOrEqual(budget);
          };
          const running = requests.map(({ plan, spends, ends }) => {
            const left = plan.map((index) => targets[index] ?? CHEAP);
            const chain = new ChainSpending(() => left);
            return { left, spends: [...spends], ends, chain, now: null as Reservation | null };
          });
          // Attempt by attempt of all of them in turn: they meet between each other's.
          for (let round = 0; round < 6; round++)
            for (const one of running) {
              const percent = one.spends[round] ?? 0;
              if (one.now !== null) {
                const cost = Math.floor((one.now.reserved * percent) / 100);
                if (round > one.ends) one.chain.close();
                one.now.settle(cost);
                spent += cost;
                one.now = null;
                holds();
              }
              const next = one.chain.isOpen ? one.left.shift() : undefined;
              if (next === undefined) {
                one.chain.close();
                continue;
              }
              const came = spending.reserve(question(next.model, one.chain));
              one.now = came instanceof Reservation ? came : null;
              holds();
            }
          for (const { chain, now } of running) {
            chain.close();
            now?.settle(0);
          }
          expect(stands()).toEqual({ spent, reserved: 0 });
        },
      ),
      { numRuns: 300 },
    );
  });
});

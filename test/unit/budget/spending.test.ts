import { describe, expect, test } from 'vitest';
import { BudgetCalendar } from '../../../src/budget/budget-calendar.ts';
import { BudgetTable, createBudgetTable, rowName } from '../../../src/budget/budget-table.ts';
import { DefaultRates } from '../../../src/budget/default-rate.ts';
import { OutputSizes } from '../../../src/budget/output-sizes.ts';
import { Reservation } from '../../../src/budget/reservation.ts';
import {
  KeySpending,
  type OwnBudget,
  type SpendingQuestion,
  type SpendingRules,
  WAITS,
} from '../../../src/budget/spending.ts';
import { PriceBook, shippedBook } from '../../../src/prices/price-book.ts';
import type { Rejection } from '../../../src/rejection.ts';

const book = new PriceBook(shippedBook());
const NOW = Date.parse('2026-11-28T12:00:00Z');
const BUDGET = 1_000_000_000;

function scene(
  rules: Partial<SpendingRules> = {},
  budget: Partial<OwnBudget> = {},
  isWhole = true,
) {
  const told: string[] = [];
  const clock = { nowMs: NOW };
  const context = {
    table: new BudgetTable(createBudgetTable(1, isWhole), 0),
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
    now: () => clock.nowMs,
  };
  const said = {
    keyClass: 'agent',
    maxCostNano: 0,
    enforced: true,
    unpriced: 'deny',
    isStrict: false,
    capsOutput: false,
    candidates: [],
    ...rules,
  };
  const own = {
    scope: 'key',
    name: '1/1',
    limits: { day: BUDGET, month: 0 },
    enforced: true,
    stops: false,
    ...budget,
  } as const;
  return {
    spending: new KeySpending(context, said as SpendingRules, [own]),
    told,
    clock,
    table: context.table,
  };
}

const ASKED = {
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
} as const;
const QUESTION: SpendingQuestion = {
  provider: 'openai',
  model: 'gpt-4o-mini',
  further: [],
  asked: ASKED,
  requestBytes: 0,
  writes: true,
  chain: null,
  mayMove: false,
  isUncapped: false,
};

function reserved(spending: KeySpending, question: Partial<SpendingQuestion> = {}): Reservation {
  const came = spending.reserve({ ...QUESTION, ...question });
  if (!(came instanceof Reservation)) throw new Error(`refused: ${came.code} ${came.detail}`);
  return came;
}

function refused(spending: KeySpending, question: Partial<SpendingQuestion> = {}): Rejection {
  const came = spending.reserve({ ...QUESTION, ...question });
  if (came instanceof Reservation) throw new Error('it was let through');
  return came;
}

describe('KeySpending', () => {
  test('of several models that a request names the dearest is reserved, and none without a price passes', () => {
    const { spending } = scene();
    const alone = reserved(spending).reserved;
    const beside = reserved(spending, { further: ['gpt-4o', 'gpt-4o-mini'] }).reserved;
    expect(beside).toBe(reserved(spending, { model: 'gpt-4o' }).reserved);
    expect(beside).toBeGreaterThan(alone * 10);
    expect(refused(spending, { further: ['nobody-knows'] }).code).toBe('unpriced_model');
  });

  describe('who has no room for it', () => {
    const candidate = (name: string) => {
      const [provider = '', ...model] = name.split('/');
      return { provider, model: model.join('/'), name };
    };
    const named = [
      'openai/gpt-4o-mini',
      'gemini/gemini-2.5-flash-lite',
      'openai/gpt-4o',
      'groq/none',
    ];
    const candidates = named.map(candidate);
    const told = (question: Partial<SpendingQuestion>, budget: number, room = candidates) => {
      const { spending } = scene({ candidates: room }, { limits: { day: budget, month: 0 } });
      const { members } = refused(spending, { model: 'gpt-4o', ...question });
      return /"alternative":(?:null|\{"model":"([^"]+)")/.exec(members)?.[1] ?? null;
    };
    const LONG = { ...ASKED, outputTokens: 1_000 };

    test('is told the cheapest that there is room for', () => {
      expect(told({ mayMove: true, asked: LONG }, 2_000_000)).toBe('gemini/gemini-2.5-flash-lite');
    });

    test('is told of its own provider alone where the path names that', () => {
      expect(told({ mayMove: false, asked: LONG }, 2_000_000)).toBe('openai/gpt-4o-mini');
    });

    test('is told of nothing that it may not ask for, and of nothing that has no room either', () => {
      expect(told({ mayMove: true, asked: LONG }, 2_000_000, [])).toBeNull();
      expect(told({ mayMove: true, asked: LONG }, 1)).toBeNull();
    });

    test('is told of no model that cannot read its pictures, run its tools or make its vectors', () => {
      const pictures = { ...LONG, dataBytes: 1_000 };
      expect(told({ mayMove: true, asked: pictures }, 2_000_000)).toBe(
        'gemini/gemini-2.5-flash-lite',
      );
      expect(told({ mayMove: true, asked: { ...LONG, tools: 1 } }, 2_000_000)).toBeNull();
      expect(told({ mayMove: true, asked: LONG, writes: false }, 1)).toBeNull();
    });
  });

  test('a model that cannot be told for sure has no price', () => {
    const { spending } = scene();
    expect(refused(spending, { model: null })).toMatchObject({
      code: 'unpriced_model',
      fieldLines: 'x-should-retry: false\r\n',
    });
  });

  test('unpriced = "tokens" lets it through and books nothing, "default_rate" the dearest of its provider', () => {
    const free = scene({ unpriced: 'tokens' }).spending;
    const through = reserved(free, { model: 'nobody-knows' });
    expect([through.reserved, through.isPriced]).toEqual([0, false]);
    const dear = scene({ unpriced: 'default_rate' }, { limits: { day: 1e15, month: 0 } }).spending;
    const most = reserved(dear, { model: 'nobody-knows' });
    for (const model of ['gpt-4o', 'gpt-5.1', 'o1-pro'])
      expect(most.reserved).toBeGreaterThanOrEqual(reserved(dear, { model }).reserved);
    most.settle(null);
    expect(dear.views()[0]?.spent).toBe(most.reserved);
  });

  test('what costs nothing is let through by a budget that was passed', () => {
    const { spending } = scene({ unpriced: 'tokens' });
    reserved(spending).settle(2 * BUDGET);
    expect(refused(spending).code).toBe('budget_exceeded');
    expect(reserved(spending, { model: 'nobody-knows' }).reserved).toBe(0);
  });

  test('a settlement counts once, and what was reserved is free in the same step', () => {
    const { spending } = scene();
    const one = reserved(spending);
    expect(spending.views()[0]).toMatchObject({ spent: 0, reserved: one.reserved });
    one.settle(100);
    one.settle(100);
    one.settle(null);
    expect(spending.views()[0]).toMatchObject({ spent: 100, reserved: 0, limit: BUDGET });
  });

  test('a refusal is exact: the same request fits to the last nano-dollar and not one behind it', () => {
    const asks = reserved(scene().spending).reserved;
    const exact = scene({}, { limits: { day: asks, month: 0 } });
    reserved(exact.spending);
    const tight = scene({}, { limits: { day: asks - 1, month: 0 } });
    const { code, members } = refused(tight.spending);
    expect(code).toBe('budget_exceeded');
    expect(JSON.parse(`{${members}}`).budget).toMatchObject({
      scope: 'key',
      window: 'day',
      period: '2026-11-28',
      renews_at: '2026-11-29T00:00:00.000Z',
      reason: 'spent',
    });
    expect(tight.told).toEqual(['key day true']);
  });

  test('what is only counted is let through, told, and booked', () => {
    const { spending, told } = scene({}, { limits: { day: 1, month: 0 }, enforced: false });
    reserved(spending).settle(500);
    expect(told).toEqual(['key day false']);
    expect(spending.views()[0]).toMatchObject({ spent: 500, enforced: false });
  });

  test('a single request’s limit holds without a budget', () => {
    const most = reserved(scene().spending).reserved;
    const none = { limits: { day: 0, month: 0 } };
    expect(reserved(scene({ maxCostNano: most }, none).spending).reserved).toBe(most);
    expect(refused(scene({ maxCostNano: most - 1 }, none).spending).code).toBe('cost_limit');
    expect(reserved(scene({ maxCostNano: 1, enforced: false }, none).spending).reserved).toBe(most);
  });

  test('how long an answer is taken to be that nobody limits is learned from such answers alone', () => {
    const { spending } = scene({}, { limits: { day: 1e15, month: 0 } });
    const asked = { ...ASKED, outputTokens: null };
    const guessed = reserved(spending, { asked }).reserved;
    for (let at = 0; at < 200; at++) {
      const limited = reserved(spending);
      limited.learn(50);
      limited.settle(1);
    }
    expect(reserved(spending, { asked }).reserved).toBe(guessed);
    for (let at = 0; at < 200; at++) {
      const open = reserved(spending, { asked });
      open.learn(1_500);
      open.settle(1);
    }
    expect(reserved(spending, { asked }).reserved).toBeLessThan(guessed / 2);
  });

  describe('a stream under hard_stop that costs more than is reserved for it', () => {
    const stopping = { stops: true } as const;

    test('goes on as long as its budget has room, and ends at it with how that stands', () => {
      const { spending } = scene({}, stopping);
      const stream = reserved(spending);
      expect(spending.goesOn(stream, BUDGET, false)).toBeNull();
      const why = spending.goesOn(stream, BUDGET + 1, false) as Rejection;
      expect(why.code).toBe('budget_exceeded');
      expect(JSON.parse(`{${why.members}}`).budget).toMatchObject({
        period: '2026-11-28',
        renews_at: '2026-11-29T00:00:00.000Z',
        reason: 'spent',
      });
      stream.settle(BUDGET + 1);
      expect(spending.views()[0]).toMatchObject({ reserved: 0 });
    });

    test('has all reserved that its budget had left when it ends: as much is booked of what nobody reports', () => {
      const { spending } = scene({}, stopping);
      reserved(spending).settle(400);
      const stream = reserved(spending);
      spending.goesOn(stream, 2 * BUDGET, false);
      expect(stream.reserved).toBe(BUDGET - 400);
      stream.settle(null);
      expect(spending.views()[0]).toMatchObject({ spent: BUDGET, reserved: 0 });
    });

    test('of a budget that only counts goes on', () => {
      const { spending } = scene({}, { ...stopping, enforced: false });
      expect(spending.stops).toBe(false);
      expect(spending.goesOn(reserved(spending), 2 * BUDGET, false)).toBeNull();
    });

    test('that needs more than this node was granted waits for it, and ends where none comes', () => {
      const { spending, table } = scene({}, stopping, false);
      const name = rowName('key 1/1 day');
      const grant = (granted: number, elsewhere: number): number =>
        table.grant(name, table.find(name), 20261128, granted, elsewhere);
      table.isGranting = true;
      expect(spending.reserve(QUESTION, true)).toBe(WAITS);
      grant(BUDGET / 2, 0);
      const stream = reserved(spending);
      expect(spending.goesOn(stream, BUDGET / 2 + 1, true)).toBe(WAITS);
      const why = spending.goesOn(stream, BUDGET / 2 + 1, false) as Rejection;
      expect(JSON.parse(`{${why.members}}`).budget).toMatchObject({ reason: 'partition' });
      grant(BUDGET, 0);
      expect(spending.goesOn(stream, BUDGET / 2 + 1, true)).toBeNull();
      grant(BUDGET, BUDGET / 4);
      // Other nodes have the rest: nothing to wait for.
      const spent = spending.goesOn(stream, BUDGET + 1, true) as Rejection;
      expect(JSON.parse(`{${spent.members}}`).budget).toMatchObject({ reason: 'spent' });
    });

    test('over midnight is not held to the day that is over, although nobody has asked in the new one', () => {
      const { spending, clock } = scene({}, stopping);
      const stream = reserved(spending);
      clock.nowMs = Date.parse('2026-11-29T00:00:01Z');
      expect(spending.goesOn(stream, 2 * BUDGET, false)).toBeNull();
      stream.settle(2 * BUDGET);
      expect(spending.views()[0]).toMatchObject({ spent: 0, reserved: 0 });
    });

    test('over midnight is held to the month that goes on', () => {
      const { spending, clock } = scene(
        {},
        { ...stopping, limits: { day: BUDGET, month: BUDGET } },
      );
      const stream = reserved(spending);
      clock.nowMs = Date.parse('2026-11-29T00:00:01Z');
      const why = spending.goesOn(stream, BUDGET + 1, false) as Rejection;
      expect(JSON.parse(`{${why.members}}`).budget).toMatchObject({
        window: 'month',
        period: '2026-11',
        renews_at: '2026-12-01T00:00:00.000Z',
      });
    });
  });
});

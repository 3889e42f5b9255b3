// What a key's limits and budgets cost each request, by their parts: npm run bench:policy
import { BudgetCalendar } from '../../src/budget/budget-calendar.ts';
import { BudgetTable, createBudgetTable } from '../../src/budget/budget-table.ts';
import { DefaultRates } from '../../src/budget/default-rate.ts';
import { OutputSizes } from '../../src/budget/output-sizes.ts';
import { KeySpending, type OwnBudget, type SpendingQuestion } from '../../src/budget/spending.ts';
import type { Limits } from '../../src/policy/limit-settings.ts';
import { createLimitTable, LimitTable } from '../../src/policy/limit-table.ts';
import { Limiter } from '../../src/policy/limiter.ts';
import { nanoOfCost } from '../../src/prices/cost.ts';
import { PriceBook, shippedBook } from '../../src/prices/price-book.ts';
import { askedSpending } from '../../src/wire/asked-spending.ts';
import { FurtherModels } from '../../src/wire/further-models.ts';
import { SpendingFields } from '../../src/wire/spending-fields.ts';
import { CHAT_REQUEST, MODEL } from '../chat.ts';
import { taskTable } from './task-cost.ts';

const BODY = Buffer.from(CHAT_REQUEST);
const HIGH: Limits = { rpm: 1_000_000_000, tpm: 1_000_000_000, maxInFlight: 1_000_000 };
const NAME = `openai/${MODEL}`;
const EXPECTED = { inputTokens: 256, outputTokens: 1_024 };
const USED_TOKENS = 319;

const counts = { limitReached() {}, limitRowDropped() {}, classShed() {} };
const limiter = new Limiter(
  new LimitTable(createLimitTable(1), 0),
  {
    gateway: HIGH,
    models: new Map([[NAME, HIGH]]),
    providers: new Map([['openai', HIGH]]),
    classes: new Map([['developer', HIGH]]),
    shares: new Map([['developer', 0.9]]),
  },
  counts,
);
const limits = limiter.of('developer', [
  limiter.purse('key', '1/1', HIGH, true),
  limiter.purse('tenant', '1', HIGH, true),
]);
if (limits === null) throw new Error('nothing limits the key');

const book = new PriceBook(shippedBook());
const each = { limits: { day: 1e15, month: 1e15 }, enforced: true, stops: false };
const budgets: readonly OwnBudget[] = [
  { ...each, scope: 'key', name: '1/1' },
  { ...each, scope: 'tenant', name: '1' },
];
const spending = new KeySpending(
  {
    table: new BudgetTable(createBudgetTable(1, true), 0),
    calendar: new BudgetCalendar('UTC'),
    book,
    defaults: new DefaultRates(book),
    sizes: new OutputSizes(),
    counts: { budgetReached() {}, budgetRowDropped() {} },
    met() {},
    status: 402,
    assumedOutputTokens: 0,
    models: book,
    candidates: [],
    now: () => Date.now(),
  },
  {
    keyClass: 'developer',
    maxCostNano: 1e12,
    enforced: true,
    unpriced: 'deny',
    isStrict: false,
    capsOutput: false,
    candidates: [],
  },
  budgets,
);

function read(): SpendingFields {
  const fields = new SpendingFields();
  fields.marks.push(BODY);
  fields.marks.end();
  return fields;
}

const asked = askedSpending(BODY.length, read(), BODY.length);
/** As the body's scan makes a model's name for each request. */
const scanned = (): string => BODY.toString('latin1', 10, 10 + MODEL.length);
const question = (): SpendingQuestion => ({
  provider: 'openai',
  model: scanned(),
  further: [],
  asked,
  requestBytes: BODY.length,
  writes: true,
  chain: null,
  mayMove: false,
  isUncapped: false,
});

function taken() {
  const came = limits?.admit('openai', `openai/${scanned()}`, EXPECTED, true);
  if (came === undefined || 'code' in came) throw new Error('it was refused');
  return came;
}

function reserved() {
  const came = spending.reserve(question());
  if ('code' in came) throw new Error(came.detail);
  return came;
}

const COST = {
  usd: '0.00023375',
  status: 'priced',
  reason: null,
  version: null,
  lines: null,
} as const;

await taskTable('policy', 'Limits and budgets of a request', [
  {
    name: 'limits: six purses taken from and settled',
    run: () => taken().settle(USED_TOKENS, MODEL),
  },
  {
    name: 'limits: the same, told to the caller',
    run: () => {
      const grant = taken();
      const lines = grant.lines('openai');
      grant.settle(USED_TOKENS, MODEL);
      return lines;
    },
  },
  {
    name: 'budgets: four reserved in and settled',
    run: () => {
      const one = reserved();
      one.learn(88);
      one.settle(233_750);
    },
  },
  { name: 'budgets: what a body of 1 KB is looked through for', run: read },
  {
    name: 'limits: further models in a body of 1 KB',
    run: () => {
      const found = new FurtherModels();
      found.push(BODY);
      return found.names;
    },
  },
  { name: 'budgets: a cost in nano-dollars', run: () => nanoOfCost(COST) },
]);

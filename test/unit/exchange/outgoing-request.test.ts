import { describe, expect, it } from 'vitest';
import { BudgetCalendar } from '../../../src/budget/budget-calendar.ts';
import { BudgetTable, createBudgetTable, rowName } from '../../../src/budget/budget-table.ts';
import { DefaultRates } from '../../../src/budget/default-rate.ts';
import { OutputSizes } from '../../../src/budget/output-sizes.ts';
import { KeySpending } from '../../../src/budget/spending.ts';
import { BackgroundAnswers } from '../../../src/exchange/background-answers.ts';
import { createFollowedTable, FollowedTable } from '../../../src/exchange/followed-table.ts';
import { OutgoingRequest, type Sending } from '../../../src/exchange/outgoing-request.ts';
import { UnseenAnswers } from '../../../src/exchange/unseen-answers.ts';
import { idWords } from '../../../src/keys/virtual-key.ts';
import { Metering } from '../../../src/meter/metering.ts';
import { TokenRatios } from '../../../src/meter/token-ratios.ts';
import { Pricing } from '../../../src/prices/cost.ts';
import { PriceBook, shippedBook } from '../../../src/prices/price-book.ts';
import { PoolKey } from '../../../src/providers/pool-keys.ts';
import { providerTable } from '../../../src/providers/providers.ts';
import { Secret } from '../../../src/secret.ts';
import { MetricsLayout, WorkerMetrics } from '../../../src/settle/metrics.ts';
import { Deadlines, Ticker } from '../../../src/ticker.ts';
import type { Transports, UpstreamCall } from '../../../src/upstream/transport.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { requestFraming } from '../../../src/wire/request-framing.ts';
import { until } from '../../support/conditions.ts';
import { nothingStored } from '../../support/stored.ts';

const providers = providerTable([{ name: 'openai', authority: 'http://127.0.0.1:1' }]);
const [provider] = providers;
const scanner = loadJsonScanner();
const ratios = new TokenRatios();
const ticker = new Ticker(10_000);
const layout = new MetricsLayout(['openai']);
const metrics = new WorkerMetrics(layout, layout.allocate(1), 0);
const followed = new FollowedTable(createFollowedTable(1), 0);
const book = new PriceBook(shippedBook());
const LIMIT = 1_000_000_000;
const BODY = Buffer.from('{"model":"gpt-4o","max_tokens":10,"messages":[]}');

const ASKED = 'asked for more';

/** A request of a key whose node shares its budget with others, and what became of it, in order. */
function scene() {
  const told: string[] = [];
  const table = new BudgetTable(createBudgetTable(1, false), 0);
  table.isGranting = true;
  const calendar = new BudgetCalendar('UTC');
  const spending = new KeySpending(
    {
      table,
      calendar,
      book,
      defaults: new DefaultRates(book),
      sizes: new OutputSizes(),
      counts: { budgetReached() {}, budgetRowDropped() {} },
      met: () => told.push(ASKED),
      status: 402,
      assumedOutputTokens: 0,
      models: book,
      candidates: [],
      now: Date.now,
    },
    {
      keyClass: 'agent',
      maxCostNano: 0,
      enforced: true,
      unpriced: 'deny',
      isStrict: false,
      capsOutput: false,
      candidates: [],
    },
    [{ scope: 'key', name: '1/1', limits: { day: LIMIT, month: 0 }, enforced: true, stops: false }],
  );
  const call: UpstreamCall = {
    reached: true,
    push: () => true,
    end() {},
    pause() {},
    resume() {},
    abort() {},
  };
  const transports: Transports = {
    of: () => ({
      open: (_request, content) => {
        told.push(`sent ${content.map(String).join('')}`);
        return call;
      },
    }),
  };
  const context = {
    transports,
    metrics,
    scanner,
    ratios,
    background: new BackgroundAnswers({
      ticker,
      scanner,
      ratios,
      metrics,
      table: followed,
      told() {},
    }),
    unseen: new UnseenAnswers(new Deadlines(20)),
    stored: nothingStored(providers),
    pricing: new Pricing(book),
    ownsCors: false,
    report(error: unknown) {
      throw error;
    },
  };
  if (provider === undefined) throw new Error('no provider');
  const managed = {
    identity: {
      kid: 1,
      tenantId: 1n,
      vpcId: 1n,
      keyId: 1n,
      keyClass: 'agent',
      tenantText: '1',
      vpcText: '1',
      keyText: '1',
      tenantWords: idWords(1n),
      keyWords: idWords(1n),
    },
    policy: {
      name: null,
      keyClass: 'agent',
      expiresMs: Number.POSITIVE_INFINITY,
      models: null,
      mayRehearse: false,
      isStrict: false,
      limits: null,
      spending,
      onExceeded: null,
      repeats: null,
      guards: null,
      cache: null,
      share: 1,
    },
    poolKey: new PoolKey('bearer', new Secret('sk-pool')),
    permission: null,
    pathModel: null,
    metering: 'completions',
    keepsState: false,
  } as const;
  const sending = {
    isOver: false,
    uploadFull() {},
    refused: (why) => told.push(`refused ${why.code} ${/"reason":"\w+"/.exec(why.members)?.[0]}`),
    onDueBroken(error: unknown) {
      throw error;
    },
  } as Partial<Sending> as Sending;
  const path = '/v1/chat/completions';
  const fields = ['content-type', 'application/json', 'content-length', String(BODY.length)];
  const asked = { method: 'POST', fields, framing: requestFraming('POST', fields) };
  const dialect = 'openai' as const;
  const target = { provider, dialect, path, target: path, managed, routing: null };
  const metering = new Metering(scanner, ratios, 'completions', provider, false, true);
  const request = new OutgoingRequest(context, asked, target, metering, sending);
  /** As whoever grants does it, for the row that was asked for. */
  const grant = (): void => {
    const name = rowName('key 1/1 day');
    const row = table.find(name);
    table.grant(name, row, calendar.at(Date.now()).day, LIMIT, 0);
  };
  const came = () => told.filter((what) => what !== ASKED);
  return { request, told, came, grant, table, sending };
}

describe('a request that does not fit what its node was granted, where more may be', () => {
  it('waits for it, and is sent whole when it is there', async () => {
    const { request, told, came, grant } = scene();
    const lent = Buffer.from(BODY);
    request.body(lent, true);
    // In this turn nobody is refused, and nothing leaves.
    expect([came(), told.length > 0]).toEqual([[], true]);
    lent.fill(0);
    grant();
    await until('it is sent', () => came().length > 0);
    expect(came()).toEqual([`sent ${BODY}`]);
    expect(request.reservation?.reserved).toBeGreaterThan(0);
  });

  it('is refused when nothing was granted for as long as it may wait, and says that it is no end of the budget', async () => {
    const { request, told, came } = scene();
    request.body(BODY, true);
    const first = told.length;
    expect(came()).toEqual([]);
    await until('it is refused', () => came().length > 0);
    expect(came()).toEqual(['refused budget_exceeded "reason":"partition"']);
    // It asked again meanwhile.
    expect(told.length).toBeGreaterThan(first + 1);
    expect(request.reservation).toBeNull();
  });

  it('is refused at once where nobody can grant more', () => {
    const { request, came, table } = scene();
    table.isGranting = false;
    request.body(BODY, true);
    expect(came()).toEqual(['refused budget_exceeded "reason":"partition"']);
  });

  it('asks for nothing any more when its exchange is over, and keeps nothing', async () => {
    const { request, came, grant, sending } = scene();
    request.body(BODY, true);
    (sending as { isOver: boolean }).isOver = true;
    const other = scene();
    other.request.body(BODY, true);
    grant();
    other.grant();
    await until('one that came later is sent', () => other.came().length > 0);
    expect(came()).toEqual([]);
    expect(request.reservation).toBeNull();
  });
});

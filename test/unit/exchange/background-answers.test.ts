import { describe, expect, it } from 'vitest';
import {
  type BackgroundAnswer,
  BackgroundAnswers,
} from '../../../src/exchange/background-answers.ts';
import { createFollowedTable, FollowedTable } from '../../../src/exchange/followed-table.ts';
import { TokenRatios } from '../../../src/meter/token-ratios.ts';
import { COST_UNKNOWN } from '../../../src/prices/cost.ts';
import { PoolKey } from '../../../src/providers/pool-keys.ts';
import { providerTable } from '../../../src/providers/providers.ts';
import { Secret } from '../../../src/secret.ts';
import { MetricsLayout, WorkerMetrics } from '../../../src/settle/metrics.ts';
import type { UsageFact } from '../../../src/settle/usage-fact.ts';
import { Ticker } from '../../../src/ticker.ts';
import type { Transports, UpstreamCall, UpstreamEvents } from '../../../src/upstream/transport.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';

const [provider] = providerTable([{ name: 'openai', authority: 'http://127.0.0.1:1' }]);
const layout = new MetricsLayout(['openai']);
const CALL: UpstreamCall = {
  reached: true,
  push: () => true,
  end() {},
  pause() {},
  resume() {},
  abort() {},
};
const PATH = '/v1/responses/resp_1';

/** One answer that is followed, on a worker of its own, and every look at it. */
function followed() {
  if (provider === undefined) throw new Error('no provider');
  const looks: UpstreamEvents[] = [];
  const told: UsageFact[] = [];
  const settled: UsageFact[] = [];
  const scanner = loadJsonScanner();
  const answers = new BackgroundAnswers({
    ticker: new Ticker(60_000),
    scanner,
    ratios: new TokenRatios(),
    metrics: new WorkerMetrics(layout, layout.allocate(1), 0),
    table: new FollowedTable(createFollowedTable(1), 0),
    told: (fact) => told.push(fact),
  });
  const transports: Transports = {
    of: () => ({
      open(_request, _content, _whole, events) {
        looks.push(events);
        return CALL;
      },
    }),
  } as Transports;
  const answer: BackgroundAnswer = {
    provider,
    poolKey: new PoolKey('bearer', new Secret('sk-pool')),
    transports,
    target: PATH,
    owner: '42/7',
    fact: { model: 'm', source: 'estimated', durationMs: 1 } as UsageFact,
    priced: () => COST_UNKNOWN,
    requestBytes: 10,
    settled: (fact) => settled.push(fact),
  };
  expect(answers.follow(answer)).toBe(true);
  const isFollowed = () => answers.isFollowed(answer.provider, PATH);
  return { answers, scanner, looks, told, settled, isFollowed };
}

function answered(look: UpstreamEvents | undefined, status: string): void {
  const usage = { input_tokens: 5, output_tokens: 2 };
  look?.onResponseHead(200, 'OK', [], false);
  look?.onResponseChunk(Buffer.from(JSON.stringify({ id: 'resp_1', status, usage })), true);
  look?.onResponseEnd();
}

describe('an answer that is followed', () => {
  it('gives its scan back when a look takes too long, and hears no more of that look', () => {
    const { answers, scanner, looks, told } = followed();
    const at = performance.now();
    answers.onTick(at + 2_000);
    looks[0]?.onResponseHead(200, 'OK', [], false);
    looks[0]?.onResponseChunk(Buffer.from('{"status":'), false);
    expect(scanner.open).toBe(1);
    answers.onTick(at + 70_000);
    expect(scanner.open).toBe(0);
    answered(looks[0], 'completed');
    expect([scanner.open, told]).toEqual([0, []]);
    answers.onTick(at + 71_000);
    answers.onTick(at + 110_000);
    answered(looks[1], 'completed');
    answers.onTick(at + 111_000);
    expect(told).toMatchObject([{ source: 'reported' }]);
    expect(scanner.open).toBe(0);
  });

  it('is looked at when it is asked for, and is followed no more once its bill is told; what it held is settled once', () => {
    const { answers, looks, told, settled, isFollowed } = followed();
    const at = performance.now();
    expect(isFollowed()).toBe(true);
    answers.onTick(at + 100);
    expect(looks).toHaveLength(1);
    answered(looks[0], 'in_progress');
    answers.onTick(at + 200);
    isFollowed();
    answers.onTick(at + 300);
    // Not again at once, however often somebody asks.
    expect(looks).toHaveLength(1);
    answers.onTick(at + 800);
    answered(looks[1], 'completed');
    expect([told, settled]).toEqual([[], []]);
    answers.onTick(at + 900);
    expect(told).toMatchObject([{ source: 'reported', counts: { outputTokens: 2 } }]);
    expect(settled).toEqual(told);
    expect(isFollowed()).toBe(false);
    answers.endAll();
    expect(told).toHaveLength(1);
  });

  it('whose end was seen as the worker stops is told with its bill, another one with its estimate', () => {
    const seen = followed();
    const at = performance.now();
    seen.answers.onTick(at + 2_000);
    answered(seen.looks[0], 'completed');
    seen.answers.endAll();
    expect(seen.told).toMatchObject([{ source: 'reported' }]);
    const unseen = followed();
    unseen.answers.onTick(at + 2_000);
    unseen.answers.endAll();
    expect(unseen.told).toMatchObject([{ source: 'estimated' }]);
    expect([seen.settled.length, unseen.settled.length]).toEqual([1, 1]);
    expect([seen.scanner.open, unseen.scanner.open]).toEqual([0, 0]);
  });
});

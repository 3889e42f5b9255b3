import { describe, expect, test, vi } from 'vitest';
import { fieldWishes } from '../../../src/admit/wishes.ts';
import { BackgroundAnswers } from '../../../src/exchange/background-answers.ts';
import { createFollowedTable, FollowedTable } from '../../../src/exchange/followed-table.ts';
import { createKeptMemory, KeptBudget } from '../../../src/exchange/kept-budget.ts';
import type { Answer } from '../../../src/exchange/lane.ts';
import { RoutedLane } from '../../../src/exchange/routed-lane.ts';
import { UnseenAnswers } from '../../../src/exchange/unseen-answers.ts';
import { idWords } from '../../../src/keys/virtual-key.ts';
import { TokenRatios } from '../../../src/meter/token-ratios.ts';
import { type Failed, failureOfStatus } from '../../../src/plan/failover.ts';
import { PrefixWatch } from '../../../src/plan/prefix-watch.ts';
import { Pricing } from '../../../src/prices/cost.ts';
import { PriceBook, shippedBook } from '../../../src/prices/price-book.ts';
import { providerTable } from '../../../src/providers/providers.ts';
import type { Rejection } from '../../../src/rejection.ts';
import { MetricsLayout, WorkerMetrics } from '../../../src/settle/metrics.ts';
import { Deadlines, Ticker } from '../../../src/ticker.ts';
import type { UpstreamFailure } from '../../../src/upstream/failure.ts';
import type { UpstreamCall, UpstreamEvents } from '../../../src/upstream/transport.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { requestFraming } from '../../../src/wire/request-framing.ts';
import { entries, PlannedScene } from '../../support/planned-scene.ts';
import { nothingStored } from '../../support/stored.ts';

const providers = providerTable([]);
const [provider] = providers;
const layout = new MetricsLayout(providers.map(({ name }) => name));
const deadlines = new Deadlines(20);
const ticker = new Ticker(10_000);
const scanner = loadJsonScanner();
const ratios = new TokenRatios();
const table = new FollowedTable(createFollowedTable(1), 0);
const metrics = new WorkerMetrics(layout, layout.allocate(1), 0);
const unbounded = (): KeptBudget => new KeptBudget(createKeptMemory(1), 0, 0);
const SERVER_ERROR = failureOfStatus(500, '') as Failed;

/** The client's side: what it was told. */
class Client implements Answer {
  readonly told: string[] = [];

  uploadFull(): void {}
  uploadDrained(): void {}
  head(): void {
    this.told.push('head');
  }
  piece(): boolean {
    this.told.push('piece');
    return true;
  }
  answered(): void {
    this.told.push('answered');
  }
  failed(failure: UpstreamFailure): void {
    this.told.push(failure.code);
  }
  refused(why: Rejection): void {
    this.told.push(why.code);
  }
  onBroken(error: unknown): void {
    throw error;
  }
}

const CALL: UpstreamCall = {
  reached: true,
  push: () => true,
  end() {},
  pause() {},
  resume() {},
  abort() {},
};

/** One request for the route `chat`, whose upstream does what the test tells it to. */
function asked(scene: PlannedScene, client: Client): UpstreamEvents {
  if (provider === undefined) throw new Error('no provider');
  const opened: UpstreamEvents[] = [];
  const context = {
    transports: {
      of: () => ({
        open(_request: unknown, _content: unknown, _whole: unknown, events: UpstreamEvents) {
          opened.push(events);
          return CALL;
        },
      }),
    },
    metrics,
    scanner,
    ratios,
    pricing: new Pricing(new PriceBook(shippedBook())),
    background: new BackgroundAnswers({ ticker, scanner, ratios, metrics, table, told() {} }),
    unseen: new UnseenAnswers(deadlines),
    stored: nothingStored(providers),
    ownsCors: false,
    report(error: unknown) {
      throw error;
    },
    planner: scene.planner,
    retryAfterMaxMs: 2_000,
    deadlines,
    holdMs: 3_000,
    replay: unbounded(),
    replayMaxBytes: 0,
    held: unbounded(),
    rehearsal: null,
    prefixes: new PrefixWatch(metrics),
    brokeCache() {},
  };
  const body = Buffer.from('{"model":"chat","messages":[]}');
  const fields = ['content-length', String(body.length)];
  const lane = new RoutedLane(
    context,
    { method: 'POST', fields, framing: requestFraming('POST', fields) },
    {
      identity: {
        kid: 1,
        tenantId: 42n,
        vpcId: 7n,
        keyId: null,
        keyClass: 'application',
        tenantText: '42',
        vpcText: '7',
        keyText: null,
        tenantWords: idWords(42n),
        keyWords: null,
      },
      policy: {
        name: null,
        keyClass: 'application',
        expiresMs: Number.POSITIVE_INFINITY,
        models: null,
        mayRehearse: false,
        isStrict: false,
        limits: null,
        spending: null,
        onExceeded: null,
        repeats: null,
        guards: null,
        cache: null,
        share: 1,
      },
      metering: 'completions',
      namesState: false,
      keepsState: false,
      coding: null,
      provider,
      suffix: '/chat/completions',
      query: '',
      wire: 'openai-chat',
      wishes: fieldWishes([], '42', 'openai'),
    },
    client,
    { requestId: 'r', traceparent: null, payer: null },
  );
  lane.body(body, true);
  const [events] = opened;
  if (events === undefined) throw new Error(`Nothing was opened: ${client.told}`);
  return events;
}

/** A target whose breaker lets one probe through. */
function probed(): PlannedScene {
  const scene = new PlannedScene({ targets: entries('openai/a') }, { openai: ['one'] });
  for (let i = 0; i < 5; i++) {
    const [planned] = scene.plan().targets;
    const trial = planned && scene.planner.enter(planned.target, [], 0);
    if (trial) scene.planner.failed(trial, SERVER_ERROR, null);
  }
  expect(scene.plan().targets).toEqual([]);
  scene.pass(6_000);
  return scene;
}

describe('a probe', () => {
  test('that failed by the gateway’s own fault lets the next request probe at once', () => {
    const scene = probed();
    const client = new Client();
    const upstream = asked(scene, client);
    // While it is under way, nobody else may.
    expect(scene.plan().targets).toEqual([]);
    upstream.onUpstreamFailure({ kind: 'exhausted', rejection: 'overloaded', code: 'EMFILE' });
    expect(client.told).toEqual(['EMFILE']);
    expect(scene.plan().targets).toHaveLength(1);
  });

  test('that was answered brings its target back, and one that was not keeps it away', () => {
    const scene = probed();
    const upstream = asked(scene, new Client());
    upstream.onUpstreamFailure({
      kind: 'reset',
      rejection: 'upstream_unreachable',
      code: 'ECONNRESET',
    });
    expect(scene.plan().targets).toEqual([]);
    scene.pass(11_000);
    const client = new Client();
    const again = asked(scene, client);
    again.onResponseHead(200, 'OK', ['content-type', 'application/json'], true);
    again.onResponseChunk(Buffer.from('{"choices":[{}]}'), true);
    again.onResponseEnd();
    expect(client.told).toEqual(['head', 'piece', 'answered']);
    expect(scene.plan().leftOut).toEqual([]);
  });
});

const JSON_TYPE = ['content-type', 'application/json'];
const RESET: UpstreamFailure = {
  kind: 'reset',
  rejection: 'upstream_unreachable',
  code: 'ECONNRESET',
};

describe('what is told of a target', () => {
  /** A scene of two targets, of which the second goes away while the first one is asked. */
  function left() {
    const route = { targets: entries('openai/a'), fallbacks: ['openai/b'] };
    const scene = new PlannedScene({ ...route, retries: 0 }, { openai: ['one'] });
    const told = {
      failed: vi.spyOn(scene.planner, 'failed'),
      succeeded: vi.spyOn(scene.planner, 'succeeded'),
    };
    const goes = () => {
      const second = scene.plan().targets.find(({ target }) => target.name === 'openai/b');
      for (let i = 0; second !== undefined && i < 5; i++) {
        const trial = scene.planner.enter(second.target, [], 0);
        if (trial !== null) scene.planner.failed(trial, SERVER_ERROR, null);
      }
      told.failed.mockClear();
    };
    return { scene, told, goes };
  }

  test('is one failure where nothing follows: before its head, while it is held, behind its commit', () => {
    for (const begun of [0, 1, 2]) {
      const { scene, told, goes } = left();
      const client = new Client();
      const upstream = asked(scene, client);
      if (begun === 2) goes();
      if (begun > 0) {
        upstream.onResponseHead(200, 'OK', JSON_TYPE, true);
        upstream.onResponseChunk(Buffer.from('{"choices":['), false);
      }
      if (begun < 2) goes();
      upstream.onUpstreamFailure(RESET);
      expect(client.told.at(-1)).toBe('ECONNRESET');
      expect([begun, told.failed.mock.calls.length]).toEqual([begun, 1]);
    }
  });

  test('is no success where its answer was none, though it is what the caller gets', () => {
    const none = [
      [400, '{"error":{"message":"no"}}'],
      [404, '{"error":{"code":"model_not_found"}}'],
      [500, '{}'],
      [200, '{"error":{"code":"context_length_exceeded"}}'],
      [200, '{"choices":[{"message":{},"finish_reason":"content_filter"}]}'],
      [200, '{"choices":['],
    ] as const;
    for (const [status, text] of none) {
      const { scene, told, goes } = left();
      const client = new Client();
      const upstream = asked(scene, client);
      upstream.onResponseHead(status, 'Said', JSON_TYPE, true);
      goes();
      upstream.onResponseChunk(Buffer.from(text), true);
      upstream.onResponseEnd();
      expect(client.told).toEqual(['head', 'piece', 'answered']);
      expect([status, text, told.succeeded.mock.calls.length]).toEqual([status, text, 0]);
    }
  });
});

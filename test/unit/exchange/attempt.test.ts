import { describe, expect, it } from 'vitest';
import {
  Attempt,
  type AttemptEnd,
  type AttemptSink,
  type Verdict,
} from '../../../src/exchange/attempt.ts';
import { BackgroundAnswers } from '../../../src/exchange/background-answers.ts';
import { createFollowedTable, FollowedTable } from '../../../src/exchange/followed-table.ts';
import { UnseenAnswers } from '../../../src/exchange/unseen-answers.ts';
import { idWords } from '../../../src/keys/virtual-key.ts';
import { TokenRatios } from '../../../src/meter/token-ratios.ts';
import { Pricing } from '../../../src/prices/cost.ts';
import { PriceBook, shippedBook } from '../../../src/prices/price-book.ts';
import { PoolKey } from '../../../src/providers/pool-keys.ts';
import { providerTable } from '../../../src/providers/providers.ts';
import type { Rejection } from '../../../src/rejection.ts';
import { Secret } from '../../../src/secret.ts';
import { MetricsLayout, WorkerMetrics } from '../../../src/settle/metrics.ts';
import { Deadlines, Ticker } from '../../../src/ticker.ts';
import type { UpstreamFailure } from '../../../src/upstream/failure.ts';
import type { Transports, UpstreamCall, UpstreamEvents } from '../../../src/upstream/transport.ts';
import { openTransports } from '../../../src/upstream/transports.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { requestFraming } from '../../../src/wire/request-framing.ts';
import { transportOptions } from '../../support/egress.ts';
import { nothingStored } from '../../support/stored.ts';

const providers = providerTable([{ name: 'openai', authority: 'http://127.0.0.1:1' }]);
const layout = new MetricsLayout(providers.map(({ name }) => name));
const counters = layout.allocate(1);
const ticker = new Ticker(10_000);
const timeouts = { connectTimeoutMs: 0, firstByteTimeoutMs: 0, idleTimeoutMs: 0 };
const metrics = new WorkerMetrics(layout, counters, 0);
const scanner = loadJsonScanner();
const ratios = new TokenRatios();
const table = new FollowedTable(createFollowedTable(1), 0);
const context = {
  transports: openTransports(providers, transportOptions(providers, ticker, timeouts), null),
  metrics,
  scanner,
  ratios,
  background: new BackgroundAnswers({ ticker, scanner, ratios, metrics, table, told() {} }),
  unseen: new UnseenAnswers(new Deadlines(20)),
  stored: nothingStored(providers),
  pricing: new Pricing(new PriceBook(shippedBook())),
  ownsCors: false,
  report(error: unknown) {
    throw error;
  },
};
const RESET: UpstreamFailure = {
  kind: 'reset',
  rejection: 'upstream_unreachable',
  code: 'ECONNRESET',
};

const MANAGED = {
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
  poolKey: new PoolKey('bearer', new Secret('sk-pool')),
  permission: null,
  pathModel: null,
  metering: 'completions',
  keepsState: false,
} as const;

/** A lane's end of attempts: what it was told, by whom. */
class Lane implements AttemptSink {
  readonly told: (readonly [attempt: Attempt, what: string])[] = [];
  verdict: Verdict = 'commit';

  attempt(
    transports: Transports = context.transports,
    isManaged = false,
    unseen = context.unseen,
  ): Attempt {
    const [provider] = providers;
    if (provider === undefined) throw new Error('no provider');
    const asked = { method: 'POST', fields: [], framing: requestFraming('POST', []) };
    const managed = isManaged ? MANAGED : null;
    const target = {
      provider,
      dialect: 'openai' as const,
      path: '/v1/x',
      target: '/v1/x',
      managed,
      routing: null,
    };
    return new Attempt({ ...context, transports, unseen }, asked, target, this);
  }

  uploadFull(attempt: Attempt): void {
    this.told.push([attempt, 'full']);
  }

  uploadDrained(attempt: Attempt): void {
    this.told.push([attempt, 'drained']);
  }

  head(attempt: Attempt): Verdict {
    this.told.push([attempt, 'head']);
    return this.verdict;
  }

  piece(attempt: Attempt, piece: Buffer): boolean {
    this.told.push([attempt, `piece ${piece}`]);
    return true;
  }

  onBroken(attempt: Attempt, error: unknown): void {
    this.told.push([attempt, `broken ${error}`]);
  }

  over(attempt: Attempt, { failure }: AttemptEnd): void {
    this.told.push([attempt, failure === null ? 'complete' : failure.code]);
  }

  refused(attempt: Attempt, { code }: Rejection): void {
    this.told.push([attempt, code]);
  }
}

/** Everything that an upstream can say to an attempt. */
const EVENTS: readonly (readonly [string, (attempt: Attempt) => void])[] = [
  ['onRequestRetried', (attempt) => attempt.onRequestRetried()],
  ['onUploadDrained', (attempt) => attempt.onUploadDrained()],
  ['onResponseHead', (attempt) => attempt.onResponseHead(200, 'OK', [], false)],
  ['onResponseChunk', (attempt) => attempt.onResponseChunk(Buffer.from('late'), false)],
  ['onResponseEnd', (attempt) => attempt.onResponseEnd()],
  ['onUpstreamFailure', (attempt) => attempt.onUpstreamFailure(RESET)],
  ['the stalled upload', (attempt) => attempt.uploadStalled()],
];

describe('what comes late for an attempt', () => {
  it.each(EVENTS)('that was aborted reaches nobody: %s', (_, late) => {
    const lane = new Lane();
    const first = lane.attempt();
    const second = lane.attempt();
    first.abort();
    const counted = Buffer.from(counters).toString('hex');
    late(first);
    expect(lane.told).toEqual([]);
    expect(first.failure).toBeNull();
    expect(Buffer.from(counters).toString('hex')).toBe(counted);
    // Its successor lives.
    second.onResponseHead(200, 'OK', [], false);
    late(first);
    second.onResponseChunk(Buffer.from('a'), true);
    second.onResponseEnd();
    expect(lane.told).toEqual([
      [second, 'head'],
      [second, 'piece a'],
      [second, 'complete'],
    ]);
  });

  it.each(EVENTS)('that its lane gave up for another reaches nobody: %s', (_, late) => {
    const lane = new Lane();
    lane.verdict = 'next';
    const first = lane.attempt();
    first.onResponseHead(503, 'Busy', [], false);
    lane.told.length = 0;
    late(first);
    expect(lane.told).toEqual([]);
  });

  it.each(EVENTS)('that is complete, or failed, reaches nobody: %s', (_, late) => {
    const lane = new Lane();
    const complete = lane.attempt();
    complete.onResponseHead(200, 'OK', [], false);
    complete.onResponseEnd();
    const failed = lane.attempt();
    failed.onUpstreamFailure(RESET);
    lane.told.length = 0;
    late(complete);
    late(failed);
    expect(lane.told).toEqual([]);
    expect([complete.failure, failed.failure]).toEqual([null, RESET]);
  });
});

describe('an attempt', () => {
  it('that is held or committed goes on', () => {
    for (const verdict of ['hold', 'commit'] as const) {
      const lane = new Lane();
      lane.verdict = verdict;
      const attempt = lane.attempt();
      attempt.onResponseHead(200, 'OK', [], false);
      attempt.onResponseChunk(Buffer.from('a'), false);
      attempt.onUpstreamFailure(RESET);
      expect(lane.told.map(([, what]) => what)).toEqual(['head', 'piece a', 'ECONNRESET']);
    }
  });

  it('whose upload stalls fails, unless the provider has begun to answer', () => {
    const lane = new Lane();
    lane.attempt().uploadStalled();
    const answering = lane.attempt();
    answering.onResponseHead(200, 'OK', [], false);
    answering.uploadStalled();
    expect(lane.told.map(([, what]) => what)).toEqual(['UPLOAD_STALLED', 'head']);
  });

  it('that its lane gives up while it is opened aborts the call that comes of it', () => {
    const lane = new Lane();
    const calls: string[] = [];
    const attempt = lane.attempt(transports(calls, (events) => events.onUploadDrained()));
    lane.uploadDrained = () => attempt.abort();
    attempt.begin();
    expect(calls).toEqual(['abort']);
  });

  it('whose slow client left behind an end sign reads on for the bill, although it was paused', () => {
    const lane = new Lane();
    const calls: string[] = [];
    const attempt = lane.attempt(transports(calls), true);
    attempt.body(Buffer.from('{"model":"m","stream":true}'), true);
    attempt.onResponseHead(200, 'OK', ['content-type', 'text/event-stream'], false);
    lane.piece = () => false;
    attempt.onResponseChunk(Buffer.from(`data: {"choices":[{"finish_reason":"stop"}]}\n\n`), false);
    expect(calls).toEqual(['pause']);
    expect(attempt.readOn()).toBe(true);
    expect(calls).toEqual(['pause', 'resume']);
  });
});

it('a bill that is not waited for, because too many are, is counted', () => {
  const unseen = new UnseenAnswers(new Deadlines(20));
  while (unseen.enter({ dueSlot: -1, onDue() {}, onDueBroken() {} }));
  const before = layout.slab(counters, 0)[layout.billsUnread] ?? 0;
  const attempt = new Lane().attempt(transports([]), true, unseen);
  attempt.body(Buffer.from('{"model":"m","stream":true}'), true);
  attempt.onResponseHead(200, 'OK', ['content-type', 'text/event-stream'], false);
  attempt.onResponseChunk(Buffer.from(`data: {"choices":[{"finish_reason":"stop"}]}\n\n`), false);
  expect(attempt.readOn()).toBe(false);
  expect(layout.slab(counters, 0)[layout.billsUnread]).toBe(before + 1);
});

/** A way out that tells what its call is told. */
function transports(calls: string[], opening: (events: UpstreamEvents) => void = () => {}) {
  const call: UpstreamCall = {
    reached: true,
    push: () => true,
    end() {},
    pause: () => void calls.push('pause'),
    resume: () => void calls.push('resume'),
    abort: () => void calls.push('abort'),
  };
  const open = (_request: unknown, _content: unknown, _whole: unknown, events: UpstreamEvents) => {
    opening(events);
    return call;
  };
  return { of: () => ({ open }) };
}

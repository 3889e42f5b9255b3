import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { KeySpending } from '../../../src/budget/spending.ts';
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
import type { UpstreamCall } from '../../../src/upstream/transport.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { requestFraming } from '../../../src/wire/request-framing.ts';
import { spendingContext } from '../../support/spending-context.ts';
import { nothingStored } from '../../support/stored.ts';

// Where a stream ends that passes its budget, whichever of its bytes come together: who reads, holds back and counts stand in one row.

const KIB = 1_024;
const MODEL = 'gpt-4o-mini';
const word = (at: number): string =>
  `data: {"id":"c","model":"${MODEL}","choices":[{"index":0,"delta":{"content":"${`word ${at} `.repeat(24)}"}}]}\n\n`;
const WORDS = Array.from({ length: 12 }, (_, at) => word(at)).join('');
const REPORT = `data: {"id":"c","model":"${MODEL}","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":60,"total_tokens":69}}\n\n`;
/** Nano-dollars: some words more than are reserved for, and fewer than there are. */
const BUDGET = 300_000;

let providers: ReturnType<typeof providerTable>;
let book: PriceBook;
let context: ConstructorParameters<typeof Attempt>[0];

beforeAll(() => {
  providers = providerTable([{ name: 'openai', authority: 'http://127.0.0.1:1' }]);
  book = new PriceBook(shippedBook());
  const layout = new MetricsLayout(providers.map(({ name }) => name));
  const metrics = new WorkerMetrics(layout, layout.allocate(1), 0);
  const scanner = loadJsonScanner();
  const ratios = new TokenRatios();
  const table = new FollowedTable(createFollowedTable(1), 0);
  const ticker = new Ticker(10_000);
  const call: UpstreamCall = {
    reached: true,
    push: () => true,
    end() {},
    pause() {},
    resume() {},
    abort() {},
  };
  context = {
    transports: { of: () => ({ open: () => call }) },
    metrics,
    scanner,
    ratios,
    background: new BackgroundAnswers({ ticker, scanner, ratios, metrics, table, told() {} }),
    unseen: new UnseenAnswers(new Deadlines(20)),
    stored: nothingStored(providers),
    pricing: new Pricing(book),
    ownsCors: false,
    report(error: unknown) {
      throw error;
    },
  };
});

/** A key with one budget that ends what passes it, of which nothing is spent. */
function spending(): KeySpending {
  const rules = {
    keyClass: 'agent',
    maxCostNano: 0,
    enforced: true,
    unpriced: 'deny',
    isStrict: false,
    capsOutput: false,
    candidates: [],
  } as const;
  const own = {
    scope: 'key',
    name: '1/1',
    limits: { day: BUDGET, month: 0 },
    enforced: true,
    stops: true,
  } as const;
  return new KeySpending(spendingContext({ book, assumedOutputTokens: 20 }), rules, [own]);
}

function managed() {
  return {
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
      spending: spending(),
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
}

class Lane implements AttemptSink {
  told = '';
  ended: string | null = null;
  uploadFull(): void {}
  uploadDrained(): void {}
  head(): Verdict {
    return 'commit';
  }
  piece(_attempt: Attempt, piece: Buffer): boolean {
    expect(this.ended).toBeNull();
    this.told += piece.toString('latin1');
    return true;
  }
  over(_attempt: Attempt, { failure }: AttemptEnd): void {
    this.ended = failure?.code ?? 'complete';
  }
  refused(_attempt: Attempt, { code }: Rejection): void {
    throw new Error(`refused: ${code}`);
  }
  onBroken(_attempt: Attempt, error: unknown): void {
    throw error;
  }
}

/** What a client is told of a stream that comes in these pieces, and how it ends; null: it goes on. */
function told(pieces: readonly string[]): Lane {
  const [provider] = providers;
  if (provider === undefined) throw new Error('no provider');
  const lane = new Lane();
  const target = {
    provider,
    dialect: 'openai',
    path: '/v1/chat/completions',
    target: '/v1/chat/completions',
    managed: managed(),
    routing: null,
  } as const;
  const asked = { method: 'POST', fields: [], framing: requestFraming('POST', []) };
  const attempt = new Attempt(context, asked, target, lane);
  attempt.body(Buffer.from(`{"model":"${MODEL}","stream":true,"messages":[]}`), true);
  attempt.onResponseHead(200, 'OK', ['content-type', 'text/event-stream'], false);
  for (const piece of pieces) attempt.onResponseChunk(Buffer.from(piece), false);
  return lane;
}

/** It ended at an event's end with what is its client's: whole words from the first one on, and no report. */
function expectEndsBetween({ told: text, ended }: Lane): void {
  expect(ended).toBe('HARD_STOP');
  expect(WORDS.startsWith(text)).toBe(true);
  expect(text.endsWith('\n\n')).toBe(true);
}

function cutAt(text: string, places: readonly number[]): readonly string[] {
  const at = [0, ...[...new Set(places)].sort((a, b) => a - b), text.length];
  return at
    .slice(1)
    .map((to, place) => text.slice(at[place], to))
    .filter((piece) => piece !== '');
}

describe('a stream that passes its budget ends between two events', () => {
  test('cut once, at every byte of three words: the one with which it is passed, and those around it', () => {
    const last = told([...WORDS]).told.length;
    const size = word(0).length;
    for (let at = last - 2 * size; at <= last + size; at++)
      expectEndsBetween(told(cutAt(WORDS, [at])));
  });

  test('byte by byte, with the word that its budget had no room for, and no sooner', () => {
    const lane = told([...WORDS]);
    expectEndsBetween(lane);
    const words = lane.told.split('\n\n').length - 1;
    expect(words).toBeGreaterThan(2);
    expect(words).toBeLessThan(12);
    // Seen as they end, so that a word is told that passes it.
    expect(told([lane.told.slice(0, -2), '\n']).ended).toBeNull();
    expect(told([lane.told]).ended).toBe('HARD_STOP');
  });

  test('however it is cut, also where the report stands behind it that its client did not ask for', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: WORDS.length + REPORT.length }), { maxLength: 40 }),
        fc.boolean(),
        (places, reports) => {
          expectEndsBetween(told(cutAt(reports ? WORDS + REPORT : WORDS, places)));
        },
      ),
      { numRuns: 500 },
    );
  });

  test('of an event that may be that report nothing is told, whichever part of it comes with the last word', () => {
    for (let at = 0; at <= '{"id":"c","model":"m","choices":['.length; at++) {
      const lane = told([`${WORDS}data: ${REPORT.slice('data: '.length).slice(0, at)}`]);
      expect(lane).toMatchObject({ told: WORDS, ended: 'HARD_STOP' });
    }
  });
});

describe('of an event that has begun for its client', () => {
  const begun = 'data: {"choices":[{"index":0,"delta":{"content":"';

  test.each([1, 700, 64 * KIB])('it is told to its end, in pieces of %i', (size) => {
    const rest = `${'x'.repeat(2_000)}"}}]}\n\n`;
    const pieces = Array.from({ length: Math.ceil(rest.length / size) }, (_, at) =>
      rest.slice(at * size, (at + 1) * size),
    );
    expect(told([WORDS + begun]).ended).toBeNull();
    const lane = told([WORDS + begun, ...pieces, word(99)]);
    expect(lane).toMatchObject({ told: WORDS + begun + rest, ended: 'HARD_STOP' });
  });

  test('no more than 64 KiB are told, and then it is cut in its middle', () => {
    const open = [WORDS + begun, 'x'.repeat(64 * KIB)];
    expect(told(open).ended).toBeNull();
    const lane = told([...open, 'x', 'x']);
    expect(lane).toMatchObject({ told: `${open.join('')}x`, ended: 'HARD_STOP' });
  });
});

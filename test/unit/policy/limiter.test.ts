import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Limits, type LimitsConfig, NO_LIMITS } from '../../../src/policy/limit-settings.ts';
import { createLimitTable, LimitTable } from '../../../src/policy/limit-table.ts';
import { type KeyLimits, Limiter, type LimitGrant } from '../../../src/policy/limiter.ts';
import type { Rejection } from '../../../src/rejection.ts';
import { UNLIMITED } from '../../support/no-limits.ts';

/** Two workers of one node, and a clock that stands. */
function node(config: Partial<LimitsConfig> = {}) {
  const memory = createLimitTable(2);
  const told: string[] = [];
  const clock = { us: 1_000_000 };
  const counts = {
    limitReached: (scope: string, unit: string, enforced: boolean) =>
      told.push(`${scope} ${unit} ${enforced ? 'refused' : 'warned'}`),
    limitRowDropped: () => told.push('dropped'),
    classShed: (keyClass: string) => told.push(`${keyClass} shed`),
  };
  const limiters = [0, 1].map(
    (worker) =>
      new Limiter(
        new LimitTable(memory, worker),
        { ...UNLIMITED, ...config },
        counts,
        () => clock.us,
      ),
  );
  const key = (limits: Partial<Limits>, name = '1', worker = 0, enforced = true): KeyLimits => {
    const limiter = limiters[worker];
    const purse = limiter?.purse('key', name, { ...NO_LIMITS, ...limits }, enforced) ?? null;
    const made = limiter?.of('agent', [purse]) ?? null;
    if (made === null) throw new Error('nothing limits it');
    return made;
  };
  return { key, told, clock, limiters };
}

const LITTLE = { inputTokens: 1, outputTokens: 0 };
const ask = (limits: KeyLimits, expected = LITTLE, isFirst = true) =>
  limits.admit('openai', 'openai/a', expected, isFirst);
const isGrant = (came: LimitGrant | Rejection): came is LimitGrant => !('code' in came);

function granted(came: LimitGrant | Rejection): LimitGrant {
  if (isGrant(came)) return came;
  throw new Error(`${came.code}: ${came.detail}`);
}

const waitMs = (came: LimitGrant | Rejection): number =>
  isGrant(came) ? 0 : Number(/retry-after-ms: (\d+)/.exec(came.fieldLines)?.[1]);

describe('KeyLimits', () => {
  it('T1: retry-after is true for whichever purse waits longest, requests and tokens', () => {
    fc.assert(
      fc.property(
        fc.record({
          rpm: fc.integer({ min: 1, max: 100 }),
          tpm: fc.integer({ min: 10, max: 10_000 }),
        }),
        fc.integer({ min: 1, max: 100 }),
        fc.array(fc.nat({ max: 3_000 }), { minLength: 1, maxLength: 100 }),
        (own, rpm, waits) => {
          const { key, clock } = node({ gateway: { ...NO_LIMITS, rpm } });
          const limits = key(own);
          for (const ms of waits) {
            clock.us += ms * 1_000;
            const came = ask(limits, { inputTokens: 10, outputTokens: 20 });
            if (isGrant(came)) continue;
            const wait = waitMs(came);
            const seconds = Number(/^retry-after: (\d+)/m.exec(came.fieldLines)?.[1]);
            expect(seconds).toBe(Math.ceil(wait / 1_000));
            const at = clock.us;
            clock.us = at + (wait - 1) * 1_000;
            expect(isGrant(ask(limits, { inputTokens: 10, outputTokens: 20 }))).toBe(false);
            clock.us = at + wait * 1_000;
            // Tokens are told behind requests: each wait is true, and the last one lets through.
            const again = ask(limits, { inputTokens: 10, outputTokens: 20 });
            if (!isGrant(again)) expect(again.detail).toContain('tokens');
          }
        },
      ),
      {
        numRuns: 100,
        // A sum of thirds that came out a hair above whole milliseconds was told as one millisecond more.
        examples: [[{ rpm: 2, tpm: 14 }, 2, [0, 0, 0, 0, 0, 0, 0]]],
      },
    );
  });

  it('T3: larger than the whole limit is told so, with the numbers, and takes nothing', () => {
    const { key } = node();
    const limits = key({ tpm: 100, rpm: 1 });
    const came = ask(limits, { inputTokens: 101, outputTokens: 0 });
    expect(came).toMatchObject({ code: 'exceeds_limit', fieldLines: '' });
    expect('detail' in came && came.detail).toMatch(/101 tokens.*this key is 100 a minute/);
    expect(isGrant(ask(limits, { inputTokens: 100, outputTokens: 5_000 }))).toBe(true);
  });

  it('T6, T7: a refusal takes nothing: neither a request for tokens that were refused, nor of another purse', () => {
    const { key, told } = node({ gateway: { ...NO_LIMITS, rpm: 3 } });
    const poor = key({ tpm: 10 }, 'poor');
    granted(ask(poor, { inputTokens: 10, outputTokens: 0 }));
    for (let i = 0; i < 50; i++)
      expect(isGrant(ask(poor, { inputTokens: 10, outputTokens: 0 }))).toBe(false);
    const rich = key({ rpm: 100 }, 'rich');
    expect([ask(rich), ask(rich), ask(rich)].map(isGrant)).toEqual([true, true, false]);
    expect(told.at(-1)).toBe('gateway requests refused');
    expect(told.filter((what) => what === 'key tokens refused')).toHaveLength(50);
  });

  it('what was reserved and not used is there again; what was used beyond is taken from who comes next', () => {
    const { key } = node();
    const limits = key({ tpm: 1_000 });
    const first = granted(ask(limits, { inputTokens: 700, outputTokens: 9_000 }));
    expect(isGrant(ask(limits, { inputTokens: 100, outputTokens: 0 }))).toBe(false);
    first.settle(100);
    first.settle(100);
    const second = granted(ask(limits, { inputTokens: 900, outputTokens: 0 }));
    second.settle(1_900);
    // 1,000 over, and one more: a minute and 60 ms.
    expect(waitMs(ask(limits, LITTLE))).toBe(60_060);
  });

  it('in flight is freed by the settlement, once, over two workers', () => {
    const { key } = node();
    const [here, there] = [key({ maxInFlight: 2 }), key({ maxInFlight: 2 }, '1', 1)];
    const grant = granted(ask(here));
    granted(ask(there));
    expect([ask(here), ask(there)].map(isGrant)).toEqual([false, false]);
    expect(waitMs(ask(here))).toBe(1_000);
    grant.settle(0);
    grant.settle(0);
    expect([ask(there), ask(here)].map(isGrant)).toEqual([true, false]);
  });

  it('two keys have a purse each, all of a class one together, a model and a provider theirs', () => {
    const one = { ...NO_LIMITS, rpm: 1 };
    const { key } = node();
    expect([ask(key({ rpm: 1 }, 'a')), ask(key({ rpm: 1 }, 'b'))].map(isGrant)).toEqual([
      true,
      true,
    ]);
    const ofClass = node({ classes: new Map([['agent', one]]) });
    const [a, b] = [ofClass.key({ rpm: 9 }, 'a'), ofClass.key({ rpm: 9 }, 'b', 1)];
    expect([ask(a), ask(b)].map(isGrant)).toEqual([true, false]);
    const ofModel = node({ models: new Map([['openai/a', one]]) });
    const any = ofModel.key({ rpm: 9 });
    expect([ask(any), ask(any)].map(isGrant)).toEqual([true, false]);
    expect(isGrant(any.admit('openai', 'openai/b', LITTLE, true))).toBe(true);
    const ofProvider = node({ providers: new Map([['openai', one]]) });
    const all = ofProvider.key({ rpm: 9 });
    expect(isGrant(all.admit('openai', null, LITTLE, true))).toBe(true);
    expect(isGrant(all.admit('openai', 'openai/b', LITTLE, true))).toBe(false);
    expect(isGrant(all.admit('groq', 'groq/b', LITTLE, true))).toBe(true);
  });

  it('a model that is spelled otherwise, dated or named beside another one takes from the same purse', () => {
    const limit = { ...NO_LIMITS, rpm: 1 };
    for (const spelled of [
      'openai/GPT-4o',
      'openai/gpt-4o-2024-08-06',
      'openai/gpt-4o-latest',
      'openai/gpt-4o:online',
      'openai/models/gpt-4o',
    ]) {
      const { key } = node({ models: new Map([['openai/gpt-4o', limit]]) });
      const any = key({ rpm: 9 });
      granted(any.admit('openai', spelled, LITTLE, true));
      expect(any.admit('openai', 'openai/gpt-4o', LITTLE, true)).toMatchObject({
        code: 'rate_limited',
      });
    }
    const { key } = node({ models: new Map([['openai/gpt-4o', limit]]) });
    const any = key({ rpm: 9 });
    granted(any.admit('openai', 'openai/gpt-4o-mini', LITTLE, true));
    granted(any.admit('openai', 'openai/cheap', LITTLE, true, ['openai/gpt-4o']));
    expect(isGrant(any.admit('openai', 'openai/gpt-4o', LITTLE, true))).toBe(false);
    expect(isGrant(any.admit('groq', 'groq/gpt-4o', LITTLE, true))).toBe(true);
  });

  it('of several models that could have answered only the one that did has used tokens', () => {
    const limit = { ...NO_LIMITS, tpm: 100 };
    const limited = node({
      models: new Map([
        ['openrouter/a/one', limit],
        ['openrouter/a/two', limit],
      ]),
    });
    const any = limited.key({ rpm: 90 });
    const expected = { inputTokens: 60, outputTokens: 0 };
    const both = granted(
      any.admit('openrouter', 'openrouter/a/one', expected, true, ['openrouter/a/two']),
    );
    for (const name of ['one', 'two'])
      expect(isGrant(any.admit('openrouter', `openrouter/a/${name}`, expected, true))).toBe(false);
    both.settle(60, 'a/two-20260101');
    expect(isGrant(any.admit('openrouter', 'openrouter/a/two', expected, true))).toBe(false);
    expect(isGrant(any.admit('openrouter', 'openrouter/a/one', expected, true))).toBe(true);
  });

  it('what is given back when it came back by itself lets no second minute through', () => {
    const { key, clock } = node();
    const limits = key({ tpm: 100 });
    const all = { inputTokens: 100, outputTokens: 0 };
    const long = granted(ask(limits, all));
    clock.us += 60_000_000;
    granted(ask(limits, all));
    long.settle(0);
    expect(waitMs(ask(limits, all))).toBe(60_000);
  });

  it('a further attempt costs its key no request, and its tokens', () => {
    const { key } = node();
    const limits = key({ rpm: 1, tpm: 10 });
    granted(ask(limits, { inputTokens: 5, outputTokens: 0 }));
    granted(ask(limits, { inputTokens: 5, outputTokens: 0 }, false));
    expect(ask(limits, { inputTokens: 5, outputTokens: 0 }, false)).toMatchObject({
      code: 'rate_limited',
    });
  });

  it('with mode = "warn" what another worker took between the look and the taking is counted too, once', () => {
    const memory = createLimitTable(2);
    const other = new LimitTable(memory, 1);
    /** Another worker is faster by all there is, whenever this one has looked. */
    class Slower extends LimitTable {
      override waitUs(...asked: Parameters<LimitTable['waitUs']>): number {
        const waits = super.waitUs(...asked);
        const [row, unit, nowUs] = asked;
        other.correct(row, unit, nowUs, 60_000_000);
        return waits;
      }
    }
    const told: string[] = [];
    const counts = {
      limitReached: (scope: string, unit: string) => told.push(`${scope} ${unit}`),
      limitRowDropped: () => {},
      classShed: () => {},
    };
    const limiter = new Limiter(new Slower(memory, 0), UNLIMITED, counts, () => 1_000_000);
    const purse = limiter.purse('key', '1', { ...NO_LIMITS, rpm: 2 }, false);
    const limits = limiter.of('agent', [purse]);
    if (limits === null) throw new Error('nothing limits it');
    granted(ask(limits));
    expect(told).toEqual(['key requests']);
    granted(ask(limits));
    expect(told).toEqual(['key requests', 'key requests']);
  });

  it('with mode = "warn" nothing is refused, what would have been is counted, and the fields say nothing', () => {
    const { key, told } = node();
    const limits = key({ rpm: 1, tpm: 10, maxInFlight: 1 }, '1', 0, false);
    const grants = [1, 2, 3].map(() => granted(ask(limits, { inputTokens: 20, outputTokens: 0 })));
    expect(told).toEqual([
      'key tokens warned',
      'key requests warned',
      'key tokens warned',
      'key in_flight warned',
      'key requests warned',
      'key tokens warned',
      'key in_flight warned',
    ]);
    expect(grants[0]?.lines('openai')).toBe('');
    for (const grant of grants) grant.settle(0);
    expect(granted(ask(limits)).lines('openai')).toBe('');
  });

  it('the fields tell the purse that is nearest to its end, in either dialect', () => {
    const { key, clock } = node({ gateway: { ...NO_LIMITS, rpm: 600 } });
    const limits = key({ rpm: 60, tpm: 6_000 });
    for (let i = 0; i < 9; i++) granted(ask(limits, { inputTokens: 100, outputTokens: 0 }));
    const grant = granted(ask(limits, { inputTokens: 100, outputTokens: 0 }));
    clock.us += 500_000;
    expect(grant.lines('openai').split('\r\n')).toEqual([
      'x-ratelimit-limit-requests: 60',
      'x-ratelimit-remaining-requests: 50',
      'x-ratelimit-reset-requests: 10s',
      'x-ratelimit-limit-tokens: 6000',
      'x-ratelimit-remaining-tokens: 5050',
      'x-ratelimit-reset-tokens: 10s',
      '',
    ]);
    const lines = grant.lines('anthropic');
    expect(lines).toContain('anthropic-ratelimit-tokens-remaining: 5050\r\n');
    expect(lines).toMatch(
      /anthropic-ratelimit-requests-reset: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\r\n/,
    );
  });

  it('K1: of what all share a class takes no more than its share, the wait is true, and its own purse is its own', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 100 }),
        fc.integer({ min: 1, max: 9 }),
        (places, tenths) => {
          const share = tenths / 10;
          const limits = { rpm: places, tpm: 0, maxInFlight: 0 };
          const { key, clock, told } = node({
            gateway: limits,
            shares: new Map([['agent', share]]),
          });
          const agent = key({ rpm: places });
          let served = 0;
          while (isGrant(ask(agent))) served++;
          // At least one, so that a share of nothing is none.
          expect(served).toBe(Math.max(1, Math.floor(places * share + 1e-6)));
          expect(told).toContain('agent shed');
          const wait = waitMs(ask(agent));
          clock.us += wait * 1_000;
          expect(isGrant(ask(agent))).toBe(true);
        },
      ),
    );
  });

  it('K1: what a class has no share of is all its own, tokens and places in flight too', () => {
    const gateway = { rpm: 0, tpm: 1_000, maxInFlight: 10 };
    const shared = node({ gateway, shares: new Map([['developer', 0.5]]) });
    const agent = shared.key({});
    const held = Array.from({ length: 10 }, () => granted(ask(agent)));
    expect(isGrant(ask(agent))).toBe(false);
    expect(shared.told).not.toContain('agent shed');
    for (const grant of held) grant.settle(0);
    const half = node({ gateway, shares: new Map([['agent', 0.5]]) });
    const few = half.key({});
    expect(isGrant(ask(few, { inputTokens: 400, outputTokens: 0 }))).toBe(true);
    expect(isGrant(ask(few, { inputTokens: 200, outputTokens: 0 }))).toBe(false);
    // Larger than its share, and not than the limit: it waits for all of it, and is not refused for ever.
    half.clock.us += 60_000_000;
    expect(isGrant(ask(few, { inputTokens: 900, outputTokens: 0 }))).toBe(true);
  });
});

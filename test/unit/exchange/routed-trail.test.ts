import { describe, expect, test } from 'vitest';
import { NO_TRAIL, type RoutedTrail, toldHead } from '../../../src/exchange/routed-trail.ts';
import type { UsageFact } from '../../../src/settle/usage-fact.ts';
import type { ResponseHead } from '../../../src/wire/response-head.ts';

/** Of a fact only what a trail touches. */
const fact = (attempt: number, final: boolean): UsageFact => ({ attempt, final }) as UsageFact;

describe('the facts of a request', () => {
  test('the last attempt is the final one', () => {
    let trail: RoutedTrail = NO_TRAIL;
    trail = trail.with('openai/m', '500', fact(1, false));
    expect(trail.facts(fact(2, true))).toEqual([fact(1, false), fact(2, true)]);
  });

  test('where the last one never reached its provider, the one before it is', () => {
    let trail: RoutedTrail = NO_TRAIL;
    trail = trail.with('openai/m', '500', fact(1, false));
    trail = trail.with('groq/m', '500', fact(2, false));
    trail = trail.with('xai/m', 'ECONNREFUSED', null);
    expect(trail.facts(null)).toEqual([fact(1, false), fact(2, true)]);
  });

  test('and where none did, there are none', () => {
    let trail: RoutedTrail = NO_TRAIL;
    trail = trail.with('xai/m', 'ECONNREFUSED', null);
    expect([trail.facts(null), NO_TRAIL.facts(fact(1, true))]).toEqual([[], [fact(1, true)]]);
  });
});

describe('the fields of an answer', () => {
  test('tell the way, in the letters that a field may have', () => {
    let trail: RoutedTrail = NO_TRAIL;
    trail = trail.with('openai/gpt\r\nset-cookie: x', '429', null);
    expect(trail.ownLines('groq/é', 200)).toBe(
      'x-sluice-target: groq/_\r\nx-sluice-attempts: openai/gpt__set-cookie:_x 429, groq/_ 200\r\n',
    );
  });

  test('and are bounded', () => {
    let trail: RoutedTrail = NO_TRAIL;
    for (let n = 0; n < 16; n++) trail = trail.with('openai/'.padEnd(200, 'm'), '500', null);
    expect(trail.ownLines('groq/m', 200).length).toBeLessThan(1_024 + 64);
  });
});

describe('the wait that a caller is told', () => {
  const head = (fields: string): ResponseHead => ({
    status: 429,
    head: `HTTP/1.1 429 Slow\r\n${fields}x-a: 1\r\n`,
    size: 'chunked',
    eventStream: false,
    streamAsked: false,
    format: 'json',
  });

  test.each([
    [
      'the least that remains, in place of a longer one',
      'retry-after: 90\r\nRetry-After-Ms: 90000\r\n',
      4_100,
      'x-a: 1\r\nx-b: 2\r\nretry-after: 5\r\n',
    ],
    [
      'its own, where it is shorter',
      'retry-after: 3\r\n',
      4_000,
      'retry-after: 3\r\nx-a: 1\r\nx-b: 2\r\n',
    ],
    [
      'its own, where it is as long',
      'retry-after: 4\r\n',
      4_000,
      'retry-after: 4\r\nx-a: 1\r\nx-b: 2\r\n',
    ],
    [
      'its own, where nothing waits',
      'retry-after: 90\r\n',
      0,
      'retry-after: 90\r\nx-a: 1\r\nx-b: 2\r\n',
    ],
    ['none, where the provider asks for none', '', 4_000, 'x-a: 1\r\nx-b: 2\r\n'],
  ])('is %s', (_, fields, leastMs, told) => {
    expect(toldHead(head(fields), 'x-b: 2\r\n', leastMs)).toBe(`HTTP/1.1 429 Slow\r\n${told}`);
  });
});

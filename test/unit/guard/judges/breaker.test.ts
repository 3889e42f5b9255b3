import { describe, expect, it } from 'vitest';
import { Breaker } from '../../../../src/guard/judges/breaker.ts';

function failing(breaker: Breaker, nowMs: number, times = 5): void {
  for (let i = 0; i < times; i++) {
    if (breaker.mayAsk(nowMs)) breaker.failed(nowMs);
  }
}

describe('Breaker', () => {
  it('rests behind five failures in a row, and not behind a success among them', () => {
    const breaker = new Breaker();
    failing(breaker, 0, 4);
    breaker.succeeded();
    failing(breaker, 0, 4);
    expect(breaker.mayAsk(0)).toBe(true);
    failing(breaker, 0, 1);
    expect(breaker.mayAsk(999)).toBe(false);
  });

  it('lets one try when the rest is over, and rests twice as long where that fails, up to 30 s', () => {
    const breaker = new Breaker();
    failing(breaker, 0);
    let nowMs = 0;
    for (const restMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      expect(breaker.mayAsk(nowMs + restMs - 1)).toBe(false);
      nowMs += restMs;
      expect(breaker.mayAsk(nowMs)).toBe(true);
      expect(breaker.mayAsk(nowMs)).toBe(false);
      breaker.failed(nowMs);
    }
  });

  it('is as new when the one that tries succeeds', () => {
    const breaker = new Breaker();
    failing(breaker, 0);
    expect(breaker.mayAsk(1_000)).toBe(true);
    breaker.succeeded();
    failing(breaker, 1_000);
    expect(breaker.mayAsk(1_999)).toBe(false);
    expect(breaker.mayAsk(2_000)).toBe(true);
  });

  it('lets another one try where whoever tried has gone', () => {
    const breaker = new Breaker();
    failing(breaker, 0);
    expect(breaker.mayAsk(1_000)).toBe(true);
    breaker.unknown();
    expect(breaker.mayAsk(1_000)).toBe(true);
  });

  it('is kept from its rest by nobody whose failure began before it', () => {
    const breaker = new Breaker();
    failing(breaker, 0);
    breaker.failed(900);
    expect(breaker.mayAsk(1_000)).toBe(true);
  });
});

import type { HttpResponse } from 'uWebSockets.js';
import { expect, it } from 'vitest';
import { REARM_TICKS } from '../../../src/edge/front-end-timers.ts';
import { SlowClient } from '../../../src/edge/slow-client.ts';
import { Ticker } from '../../../src/ticker.ts';

function slowClient(stallTimeoutMs: number, body: { held: boolean } | null = null) {
  const calls: string[] = [];
  const res = {
    pause: () => calls.push('pause'),
    resume: () => calls.push('resume'),
    close: () => calls.push('close'),
  };
  const ticker = new Ticker(1_000_000);
  ticker.stop();
  const broken = (error: unknown): never => {
    throw error;
  };
  const client = new SlowClient(
    res as unknown as HttpResponse,
    ticker,
    stallTimeoutMs,
    body,
    broken,
  );
  return { client, calls, ticker, beganMs: ticker.now };
}

it('arms the timer every few ticks, whether or not a write waits, always in a pair', () => {
  const { client, calls, beganMs } = slowClient(0);
  for (let tick = 1; tick <= 2 * REARM_TICKS; tick++) client.onTick(beganMs + tick);
  expect(calls).toEqual(['pause', 'resume', 'pause', 'resume']);
});

it('leaves the timer to an upload that is held back, and takes it over when it goes on', () => {
  const body = { held: true };
  const { client, calls, beganMs } = slowClient(0, body);
  for (let tick = 1; tick <= REARM_TICKS; tick++) client.onTick(beganMs + tick);
  expect(calls).toEqual([]);
  body.held = false;
  for (let tick = 1; tick <= REARM_TICKS; tick++) client.onTick(beganMs + tick);
  expect(calls).toEqual(['pause', 'resume']);
});

it('gives up a client that takes nothing for the limit, not one that waits for us', () => {
  const { client, calls, beganMs } = slowClient(1_000);
  client.onTick(beganMs + 5_000);
  expect(calls).toEqual([]);
  client.block(false);
  client.onTick(beganMs + 999);
  expect(calls).toEqual([]);
  client.unblock();
  client.onTick(beganMs + 1_001);
  client.block(false);
  client.onTick(beganMs + 1_001);
  expect(calls.filter((call) => call === 'close')).toEqual(['close']);
});

it.each([
  ['nothing', false, true],
  ['a part', true, false],
])('a try that took %s is no progress, or is some', (_what, tookSome, closes) => {
  const { client, calls, ticker, beganMs } = slowClient(1_000, { held: true });
  client.block(false);
  ticker.now = beganMs + 900;
  client.isRetrying = true;
  client.unblock();
  client.block(tookSome);
  client.isRetrying = false;
  client.onTick(beganMs + 1_001);
  expect(calls).toEqual(closes ? ['close'] : []);
});

it('never gives up a client where the limit is 0', () => {
  const { client, calls, beganMs } = slowClient(0);
  client.block(false);
  client.onTick(beganMs + 1e9);
  expect(calls).toEqual([]);
});

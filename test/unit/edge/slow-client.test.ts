import type { HttpResponse } from 'uWebSockets.js';
import { expect, it } from 'vitest';
import { REARM_TICKS } from '../../../src/edge/front-end-timers.ts';
import { SlowClient } from '../../../src/edge/slow-client.ts';
import { Ticker } from '../../../src/ticker.ts';

function slowClient(stallTimeoutMs: number) {
  const calls: string[] = [];
  const res = {
    pause: () => calls.push('pause'),
    resume: () => calls.push('resume'),
    close: () => calls.push('close'),
  };
  const ticker = new Ticker(1_000_000);
  ticker.stop();
  const client = new SlowClient(res as unknown as HttpResponse, ticker, stallTimeoutMs);
  return { client, calls, beganMs: ticker.now };
}

it('arms the timer every few ticks, whether or not a write waits, always in a pair', () => {
  const { client, calls, beganMs } = slowClient(0);
  for (let tick = 1; tick <= 2 * REARM_TICKS; tick++) client.onTick(beganMs + tick);
  expect(calls).toEqual(['pause', 'resume', 'pause', 'resume']);
});

it('gives up a client that takes nothing for the limit, not one that waits for us', () => {
  const { client, calls, beganMs } = slowClient(1_000);
  client.onTick(beganMs + 5_000);
  expect(calls).toEqual([]);
  client.block();
  client.onTick(beganMs + 999);
  expect(calls).toEqual([]);
  client.unblock();
  client.onTick(beganMs + 1_001);
  client.block();
  client.onTick(beganMs + 1_001);
  expect(calls.filter((call) => call === 'close')).toEqual(['close']);
});

it('never gives up a client where the limit is 0', () => {
  const { client, calls, beganMs } = slowClient(0);
  client.block();
  client.onTick(beganMs + 1e9);
  expect(calls).toEqual([]);
});

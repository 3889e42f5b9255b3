import type { HttpResponse } from 'uWebSockets.js';
import { describe, expect, it } from 'vitest';
import type { UploadEvents } from '../../../src/edge/door.ts';
import { REARM_TICKS } from '../../../src/edge/front-end-timers.ts';
import { ClientBody } from '../../../src/edge/request-body.ts';
import { SLIP_NODE_LIMIT_BYTES } from '../../../src/edge/slip-account.ts';
import { Ticker } from '../../../src/ticker.ts';

const CHUNK = new ArrayBuffer(1_024);
const LIMITS = { clientStallTimeoutMs: 0, uploadSilenceTimeoutMs: 60_000, uploadStallTimeoutMs: 0 };

function clientBody(limits = LIMITS, nodeSlippedBytes = 0) {
  const seen: string[] = [];
  const res = { pause: () => seen.push('pause'), resume: () => seen.push('resume') };
  const account = {
    bytes: nodeSlippedBytes,
    uploadSlipped(bytes: number) {
      this.bytes += bytes;
    },
    nodeSlippedBytes() {
      return this.bytes;
    },
  };
  const ticker = new Ticker(1_000_000);
  ticker.stop();
  const body = new ClientBody(res as unknown as HttpResponse, ticker, limits, account);
  const events: UploadEvents = {
    onUploadSilent: () => seen.push('silent'),
    onUploadStalled: () => seen.push('stalled'),
    onUploadRefused: () => seen.push('refused'),
  };
  body.bind(events, { retry: () => seen.push('retry'), onBroken() {} });
  body.take(CHUNK, false);
  seen.length = 0;
  /** What happened since the last call. */
  const since = (): readonly string[] => seen.splice(0);
  return { body, account, since, beganMs: ticker.now };
}

describe('a body that is read', () => {
  it('has its timer armed every few ticks, in pairs, and is given up when it was silent for the limit', () => {
    const { body, since, beganMs } = clientBody();
    for (let tick = 1; tick <= REARM_TICKS; tick++) body.onTick(beganMs + 60_000);
    expect(since()).toEqual(['pause', 'resume']);
    body.onTick(beganMs + 60_001);
    expect(since()).toEqual(['silent']);
  });

  it('may be silent for ever where the limit is 0, and its timer is armed', () => {
    const { body, since, beganMs } = clientBody({ ...LIMITS, uploadSilenceTimeoutMs: 0 });
    for (let tick = 1; tick <= REARM_TICKS; tick++) body.onTick(beganMs + 1e9);
    expect(since()).toEqual(['pause', 'resume']);
  });

  it('is done with the last piece: nothing is armed for it any more', () => {
    const { body, since, beganMs } = clientBody();
    body.take(CHUNK, true);
    body.onTick(beganMs + 1e9);
    body.onTick(beganMs + 1e9);
    expect(since()).not.toContain('silent');
  });
});

describe('a body that is held back', () => {
  it('looks up once a tick, and what slips in stops it again, for good, and is booked', async () => {
    const { body, since, account, beganMs } = clientBody();
    body.pause();
    expect(since()).toEqual(['pause']);
    body.onTick(beganMs + 1);
    expect(since()).toEqual(['retry', 'pause', 'resume']);
    body.take(CHUNK, false);
    expect(since()).toEqual(['pause']);
    await new Promise((resolve) => setImmediate(resolve));
    expect(since()).toEqual(['pause']);
    expect(account.bytes).toBeGreaterThanOrEqual(CHUNK.byteLength);
    body.resume();
    expect(since()).toEqual(['pause', 'resume', 'retry']);
    expect(account.bytes).toBe(0);
  });

  it('whose last piece slips in lets its response try behind that callback: nothing else would', async () => {
    const { body, since } = clientBody();
    body.pause();
    body.take(CHUNK, true);
    expect(since()).toEqual(['pause', 'pause', 'resume']);
    await new Promise((resolve) => setImmediate(resolve));
    expect(since()).toEqual(['retry']);
  });

  it('that goes on in the same turn in which something slipped in is not held again', async () => {
    const { body, since } = clientBody();
    body.pause();
    body.take(CHUNK, false);
    body.resume();
    since();
    await new Promise((resolve) => setImmediate(resolve));
    expect(since()).toEqual([]);
  });

  it('does not look where the node holds too much, and is never silent', () => {
    const { body, since, beganMs } = clientBody(LIMITS, SLIP_NODE_LIMIT_BYTES);
    body.pause();
    since();
    body.onTick(beganMs + 1e9);
    expect(since()).toEqual(['retry', 'pause']);
  });

  it('that must go to make room is read on and thrown away before it is told', () => {
    const { body, since, account, beganMs } = clientBody();
    body.pause();
    body.take(new ArrayBuffer(1_048_576), false);
    account.bytes = SLIP_NODE_LIMIT_BYTES;
    since();
    body.onTick(beganMs + 1);
    expect(since()).toEqual(['retry', 'pause']);
    body.onTick(beganMs + 1e9);
    expect(since()).toEqual(['retry', 'pause', 'resume', 'refused']);
    body.onTick(beganMs + 2e9);
    expect(body.take(CHUNK, false)).toHaveLength(CHUNK.byteLength);
    expect(account.bytes).toBe(SLIP_NODE_LIMIT_BYTES - 1_048_576);
  });

  it('whose provider takes nothing for the limit is told so, and goes on looking while it lives', () => {
    const { body, since, beganMs } = clientBody({ ...LIMITS, uploadStallTimeoutMs: 1_000 });
    body.pause();
    since();
    body.onTick(beganMs + 1_001);
    expect(since()).toEqual(['stalled', 'retry', 'pause', 'resume']);
  });

  it('and ends while it is, waits for its answer with the timer armed', () => {
    const { body, since, beganMs } = clientBody();
    body.pause();
    body.take(CHUNK, true);
    since();
    for (let tick = 1; tick <= REARM_TICKS; tick++) body.onTick(beganMs + 1e9);
    expect(since()).toEqual(['pause', 'resume']);
  });
});

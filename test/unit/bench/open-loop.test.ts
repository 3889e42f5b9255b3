import { describe, expect, test } from 'vitest';
import { OpenLoop } from '../../../bench/ends/open-loop.ts';
import { percentile } from '../../../bench/statistics.ts';

const BEGIN_MS = 5_000;

/** Takes what is due every millisecond, and answers each request when `answerAt` says. */
function play(loop: OpenLoop, endMs: number, answerAt: (sentMs: number) => number): void {
  const under: { readonly index: number; readonly doneMs: number }[] = [];
  for (let now = BEGIN_MS; now <= endMs; now++) {
    for (let index = loop.take(now); index !== -1; index = loop.take(now))
      under.push({ index, doneMs: answerAt(now) });
    for (const { index } of under.filter((one) => one.doneMs === now)) loop.answered(index, now);
  }
}

describe('an open loop', () => {
  test('asks at its rate, whether or not anything is answered', () => {
    const loop = new OpenLoop(500, 100);
    loop.begin(BEGIN_MS);
    let taken = 0;
    const counts = [0, 99, 150, 1_000].map((ms) => {
      while (loop.take(BEGIN_MS + ms) !== -1) taken++;
      return taken;
    });
    expect(counts).toEqual([1, 50, 76, 100]);
  });

  test('asks for nothing before it has begun to be due', () => {
    const loop = new OpenLoop(1_000, 10);
    loop.begin(BEGIN_MS);
    expect(loop.take(BEGIN_MS - 0.5)).toBe(-1);
    expect(loop.take(BEGIN_MS)).toBe(0);
    expect(loop.take(BEGIN_MS + 0.5)).toBe(-1);
  });

  test('a stall delays everything that was due in it', () => {
    const loop = new OpenLoop(1_000, 1_000);
    loop.begin(BEGIN_MS);
    const stallEnds = BEGIN_MS + 600;
    const stalled = (sent: number): boolean => sent >= BEGIN_MS + 400 && sent < stallEnds;
    play(loop, BEGIN_MS + 1_100, (sent) => (stalled(sent) ? stallEnds : sent));
    const latencies = loop.latenciesMs(BEGIN_MS + 1_100);
    expect(loop.isOver).toBe(true);
    // 200 of 1,000 requests fell into the stall and waited 1 to 200 ms; a closed loop would have counted one.
    expect(latencies.filter((ms) => ms > 0).length).toBe(200);
    expect([0.8, 0.9, 0.99, 1].map((share) => percentile(latencies, share))).toEqual([
      0, 100, 190, 200,
    ]);
  });

  test('counts from when a request was due, not from when it was sent', () => {
    const loop = new OpenLoop(1_000, 3);
    loop.begin(BEGIN_MS);
    const late = BEGIN_MS + 50;
    for (let index = loop.take(late); index !== -1; index = loop.take(late))
      loop.answered(index, late);
    expect([...loop.latenciesMs(late)]).toEqual([48, 49, 50]);
  });

  test('what is never answered counts as waiting to the end', () => {
    const loop = new OpenLoop(1_000, 4);
    loop.begin(BEGIN_MS);
    play(loop, BEGIN_MS + 10, (sent) => (sent === BEGIN_MS ? sent : Number.POSITIVE_INFINITY));
    expect([loop.isOver, loop.unanswered]).toEqual([false, 3]);
    expect([...loop.latenciesMs(BEGIN_MS + 100)]).toEqual([0, 97, 98, 99]);
  });
});

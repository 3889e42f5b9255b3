import { expect, it } from 'vitest';
import { LateHead } from '../../../src/edge/late-head.ts';
import { Ticker } from '../../../src/ticker.ts';

const TICK_MS = 5;

it('a head that cannot be sent ends its exchange and nothing else', async () => {
  const ticker = new Ticker(TICK_MS);
  const broken: unknown[] = [];
  let sent = 0;
  const bug = new Error('bug');
  new LateHead(ticker, {
    sendHead: () => {
      throw bug;
    },
    onBroken: (error) => broken.push(error),
  });
  new LateHead(ticker, { sendHead: () => sent++, onBroken: (error) => broken.push(error) });
  await expect.poll(() => sent).toBe(1);
  await expect.poll(() => broken).toEqual([bug]);
  ticker.stop();
});

it('a head that left in time is forgotten', async () => {
  const ticker = new Ticker(TICK_MS);
  let sent = 0;
  const late = new LateHead(ticker, { sendHead: () => sent++, onBroken() {} });
  late.forget();
  let other = 0;
  new LateHead(ticker, { sendHead: () => other++, onBroken() {} });
  await expect.poll(() => other).toBe(1);
  expect(sent).toBe(0);
  ticker.stop();
});

import { describe, expect, test } from 'vitest';
import { HeldBytes } from '../../../src/exchange/held-bytes.ts';
import { createKeptMemory, KeptBudget } from '../../../src/exchange/kept-budget.ts';
import type { Answer } from '../../../src/exchange/lane.ts';
import { RoutedFlow } from '../../../src/exchange/routed-flow.ts';

/** A client's side that takes as many pieces as it is told, and says no to the last of them. */
class Client implements Answer {
  room = Number.POSITIVE_INFINITY;
  readonly got: string[] = [];

  piece(piece: Buffer, last: boolean): boolean {
    this.got.push(`${piece.toString()}${last ? '.' : ''}`);
    return --this.room > 0;
  }

  uploadFull(): void {}
  uploadDrained(): void {}
  head(): void {}
  answered(): void {}
  failed(): void {}
  refused(): void {}
  onBroken(): void {}
}

function scene(...slabs: readonly string[]) {
  const budget = new KeptBudget(createKeptMemory(1), 0, 0);
  const held = new HeldBytes(budget);
  for (const slab of slabs) held.append(Buffer.from(slab.padEnd(1_024, '-')));
  const client = new Client();
  const flow = new RoutedFlow(client);
  flow.begin(held);
  return { budget, client, flow };
}

const short = (got: readonly string[]): string[] =>
  got.map((text) => text.replace(/-+(\.?)$/, '$1').slice(0, 8));

describe('what was held', () => {
  test('leaves before what comes behind it, whenever that comes', () => {
    const { client, flow } = scene('a', 'b');
    client.room = 1;
    flow.flush(false);
    expect([short(client.got), flow.isEmpty, flow.isBlocked]).toEqual([['a'], false, true]);
    const lent = Buffer.from('behind');
    expect(flow.pass(lent, false)).toBe(false);
    lent.fill(0);
    client.room = Number.POSITIVE_INFINITY;
    flow.drained();
    flow.flush(false);
    expect(short(client.got)).toEqual(['a', 'b', 'behind']);
    expect(flow.pass(Buffer.from('direct'), true)).toBe(true);
    expect(client.got.at(-1)).toBe('direct.');
  });

  test('and was lent outlives its turn where the client takes no more in it', () => {
    const { client, flow } = scene('a');
    const held = new HeldBytes(new KeptBudget(createKeptMemory(1), 0, 0));
    held.append(Buffer.from('kept'));
    const lent = Buffer.from('lent');
    held.lend(lent);
    flow.begin(held);
    client.room = 1;
    flow.flush(true);
    lent.fill(0);
    client.room = Number.POSITIVE_INFINITY;
    flow.drained();
    flow.flush(true);
    expect(client.got).toEqual(['kept', 'lent.']);
  });

  test('ends the answer with its last piece, and only where the end follows', () => {
    for (const endFollows of [true, false]) {
      const { client, flow } = scene('a', 'b');
      flow.flush(endFollows);
      expect(short(client.got)).toEqual(['a', endFollows ? 'b.' : 'b']);
    }
  });

  test('waits while the client takes nothing, and what is dropped leaves no more', () => {
    const { budget, client, flow } = scene('a', 'b', 'c');
    client.room = 1;
    flow.flush(true);
    flow.flush(true);
    expect(short(client.got)).toEqual(['a']);
    flow.drop();
    flow.drained();
    flow.flush(true);
    expect([client.got.length, flow.isEmpty, budget.keptBytes]).toEqual([1, true, 0]);
  });

  test('that is nothing holds nothing up', () => {
    const { client, flow } = scene();
    flow.flush(true);
    expect([client.got, flow.isEmpty, flow.isBlocked]).toEqual([[], true, false]);
    client.room = 1;
    expect(flow.pass(Buffer.from('x'), false)).toBe(false);
    expect(flow.isBlocked).toBe(true);
  });
});

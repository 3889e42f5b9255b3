import { Buffer } from 'node:buffer';
import { describe, expect, test } from 'vitest';
import { HeldBytes } from '../../../src/exchange/held-bytes.ts';
import { createKeptMemory, KeptBudget } from '../../../src/exchange/kept-budget.ts';

const KIB = 1_024;

function everything(held: HeldBytes): { readonly text: string; readonly pieces: number } {
  const pieces: Buffer[] = [];
  for (let piece = held.shift(); piece !== null; piece = held.shift()) pieces.push(piece);
  return { text: Buffer.concat(pieces).toString(), pieces: pieces.length };
}

describe('bytes that are held', () => {
  test('come out as they came, although each piece was lent, and ten bytes cost no Buffer of their own', () => {
    const budget = new KeptBudget(createKeptMemory(1), 0, 0);
    const held = new HeldBytes(budget);
    let expected = '';
    for (let n = 0; n < 20_000; n++) {
      const lent = Buffer.from(`${n} `.padStart(10, '.'));
      expected += lent.toString();
      held.append(lent);
      lent.fill(0);
    }
    expect(held.length).toBe(200_000);
    expect(held.joined().toString()).toBe(expected);
    const { text, pieces } = everything(held);
    expect(text).toBe(expected);
    // 1, 1, 2, 4, 8, 16, 32 and then 64 KiB each.
    expect(pieces).toBeLessThanOrEqual(10);
    expect(held.length).toBe(0);
    expect(budget.keptBytes).toBe(0);
  });

  test('count for the node as they are kept, until they have left, and no slab is larger than 64 KiB', () => {
    const budget = new KeptBudget(createKeptMemory(1), 0, 0);
    const held = new HeldBytes(budget);
    held.append(Buffer.alloc(150 * KIB));
    expect(budget.keptBytes).toBe(192 * KIB);
    expect(held.shift()?.length).toBe(64 * KIB);
    expect(budget.keptBytes).toBe(128 * KIB);
    held.append(Buffer.alloc(10));
    held.drop();
    held.drop();
    expect([budget.keptBytes, held.length, held.shift()]).toEqual([0, 0, null]);
  });

  test('are kept although the node has no room for them, and say so, so that nothing more is held', () => {
    const budget = new KeptBudget(createKeptMemory(2), 1, 4 * KIB);
    const held = new HeldBytes(budget);
    held.append(Buffer.alloc(KIB, 'a'));
    expect(held.isOver).toBe(false);
    held.append(Buffer.alloc(5 * KIB, 'b'));
    expect([held.isOver, held.length, budget.keptBytes]).toEqual([true, 6 * KIB, KIB]);
    expect(everything(held).text).toBe('a'.repeat(KIB) + 'b'.repeat(5 * KIB));
    expect(budget.keptBytes).toBe(0);
  });

  test('that are lent are not copied in their turn, stand behind what was copied, and outlive it once they are kept', () => {
    const budget = new KeptBudget(createKeptMemory(1), 0, 0);
    const alone = new HeldBytes(budget);
    const lent = Buffer.from('lent');
    alone.lend(lent);
    expect([alone.length, alone.joined(), budget.keptBytes]).toEqual([4, lent, 0]);
    expect(alone.shift()).toBe(lent);
    expect([alone.length, alone.shift()]).toEqual([0, null]);
    const held = new HeldBytes(budget);
    held.append(Buffer.from('one '));
    for (const word of ['two ', 'three ', 'four']) {
      const piece = Buffer.from(word);
      held.lend(piece);
      expect(held.joined().toString()).toBe('one two three four'.slice(0, held.length));
      // What is lent behind it copies it, as its turn's end does.
      held.keep();
      piece.fill(0);
    }
    held.lend(Buffer.from('!'));
    expect(everything(held).text).toBe('one two three four!');
    held.lend(Buffer.from('x'));
    held.drop();
    expect([held.length, held.shift(), budget.keptBytes]).toEqual([0, null, 0]);
  });

  test('appended behind the last that was taken out come out behind it', () => {
    const held = new HeldBytes(new KeptBudget(createKeptMemory(1), 0, 0));
    held.append(Buffer.from('one'));
    expect(held.shift()?.toString()).toBe('one');
    held.append(Buffer.from('two'));
    expect(everything(held).text).toBe('two');
  });
});

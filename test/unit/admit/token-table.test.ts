import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createTokenTable, TokenTable } from '../../../src/admit/token-table.ts';

const KEY = new Uint8Array(32).fill(1);
const OTHER_KEY = new Uint8Array(32).fill(2);
const TOKEN_MAX = 140;

const tokenOf = (n: number): string => `bai_v1.7.${'A'.repeat(22)}.${String(n).padStart(86, 'x')}`;

describe('the table of verified tokens', () => {
  it('tells every thread what one has added, and nothing else', () => {
    const memory = createTokenTable();
    const [one, other] = [new TokenTable(memory, TOKEN_MAX), new TokenTable(memory, TOKEN_MAX)];
    one.add(tokenOf(1), KEY);
    expect(other.has(tokenOf(1), KEY)).toBe(true);
    expect(other.has(tokenOf(2), KEY)).toBe(false);
    expect(other.has(tokenOf(1).slice(0, -1), KEY)).toBe(false);
  });

  it('knows nothing under another public key', () => {
    const table = new TokenTable(createTokenTable(), TOKEN_MAX);
    table.add(tokenOf(1), KEY);
    expect(table.has(tokenOf(1), OTHER_KEY)).toBe(false);
  });

  it('holds 65,536 tokens and forgets less than three of a hundred of them', () => {
    const table = new TokenTable(createTokenTable(), TOKEN_MAX);
    const tokens = Array.from({ length: 65_536 }, (_, n) => tokenOf(n));
    for (const token of tokens) table.add(token, KEY);
    const forgotten = tokens.filter((token) => !table.has(token, KEY)).length;
    expect(forgotten).toBeLessThan(tokens.length * 0.03);
    // And nobody else is let in by a table that is this full.
    expect(tokens.filter((_, n) => table.has(tokenOf(n + 1_000_000), KEY))).toEqual([]);
  });

  it('takes as much memory however many are added, and keeps the newest', () => {
    const memory = createTokenTable();
    const before = memory.byteLength;
    const table = new TokenTable(memory, TOKEN_MAX);
    for (let n = 0; n < 300_000; n++) table.add(tokenOf(n), KEY);
    expect(memory.byteLength).toBe(before);
    expect(table.has(tokenOf(299_999), KEY)).toBe(true);
  });

  it('lets nobody in by an entry of which any one word is another', () => {
    const memory = createTokenTable();
    const table = new TokenTable(memory, TOKEN_MAX);
    const words = new Int32Array(memory);
    const header = words.slice();
    table.add(tokenOf(1), KEY);
    const written = [...words.keys()].filter((at) => words[at] !== header[at]);
    expect(written).toHaveLength(4);
    for (const at of written) {
      const kept = words[at] ?? 0;
      words[at] = kept ^ randomBytes(4).readInt32LE(0) ^ 1;
      if (words[at] !== kept) expect(table.has(tokenOf(1), KEY)).toBe(false);
      words[at] = kept;
    }
    expect(table.has(tokenOf(1), KEY)).toBe(true);
  });

  it('has a secret of its own in every process', () => {
    const secret = (): string => Buffer.from(createTokenTable(), 0, 32).toString('hex');
    expect(secret()).not.toBe(secret());
  });
});

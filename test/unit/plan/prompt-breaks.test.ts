import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  BREAKS_MAX,
  breaksPath,
  type PromptBreak,
  PromptBreaks,
  readBreaks,
} from '../../../src/plan/prompt-breaks.ts';

const BROKEN: PromptBreak = {
  tenantId: '42',
  keyId: '7',
  model: 'chat',
  target: 'openai/gpt-4o',
  part: 'messages',
  offset: 120,
  partOffset: 80,
  turns: 3,
  lostPico: 5_000,
};

let folder: string;
let faults: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-breaks-'));
  faults = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (dataDir: string | null = folder, now: () => number = Date.now): PromptBreaks =>
  new PromptBreaks(dataDir, (reason) => faults.push(reason), now);

describe('the list of broken prompt caches', () => {
  test('has one row for a key, target and part, with all its sessions and the last one’s place', () => {
    const clock = { ms: 1_000 };
    const list = open(null, () => clock.ms);
    list.add(BROKEN);
    clock.ms = 2_000;
    list.add({ ...BROKEN, keyId: '8' });
    list.add({ ...BROKEN, part: 'tools' });
    clock.ms = 3_000;
    list.add({ ...BROKEN, offset: null, partOffset: 9, turns: 4, lostPico: null });
    expect(list.rows.map(({ keyId, part }) => [keyId, part])).toEqual([
      ['7', 'messages'],
      ['7', 'tools'],
      ['8', 'messages'],
    ]);
    expect(list.rows[0]).toEqual({
      ...BROKEN,
      offset: null,
      partOffset: 9,
      turns: 7,
      sessions: 2,
      unpriced: 1,
      lostPico: 5_000n,
      firstMs: 1_000,
      lastMs: 3_000,
    });
  });

  test('is there behind a restart, as it was and in its order, also of sums that no double holds', async () => {
    const list = open();
    for (const keyId of ['1', null, '3']) list.add({ ...BROKEN, keyId });
    for (let nth = 0; nth < 9; nth++) list.add({ ...BROKEN, keyId: '1', lostPico: 9e15 + 1 });
    expect(await list.stop(5_000)).toBe(true);
    const again = open();
    expect(again.rows).toEqual(list.rows);
    expect(again.rows[0]?.lostPico).toBe(9n * 9_000_000_000_000_001n + 5_000n);
    expect(readBreaks(folder).toReversed()).toEqual(list.rows);
    again.add({ ...BROKEN, keyId: '3' });
    await again.stop(5_000);
    expect(readBreaks(folder).map(({ keyId, sessions }) => [keyId, sessions])).toEqual([
      [null, 1],
      ['1', 10],
      ['3', 2],
    ]);
    expect(faults).toEqual([]);
  });

  test('forgets the one that broke longest ago where there are too many, and counts it', () => {
    const list = open(null);
    for (let nth = 0; nth < BREAKS_MAX; nth++) list.add({ ...BROKEN, keyId: String(nth) });
    list.add({ ...BROKEN, keyId: '0' });
    expect([list.rows.length, list.dropped]).toEqual([BREAKS_MAX, 0]);
    list.add({ ...BROKEN, keyId: 'one more' });
    expect([list.rows.length, list.dropped]).toEqual([BREAKS_MAX, 1]);
    const kept = list.rows.map(({ keyId }) => keyId);
    expect(kept.slice(0, 2)).toEqual(['one more', '0']);
    expect(kept).not.toContain('1');
  });

  test.each([
    'no JSON',
    '{"v":2,"rows":[]}',
    '{"v":1,"rows":[{"tenantId":"42"}]}',
    '{"v":1,"rows":[null]}',
  ])('a file that says %s is none of ours: told once, and the list begins anew', async (text) => {
    writeFileSync(breaksPath(folder), text);
    expect(() => readBreaks(folder)).toThrow('is no list of broken prompt caches');
    const list = open();
    expect(list.rows).toEqual([]);
    expect(faults).toEqual([expect.stringContaining('is no list of broken prompt caches')]);
    list.add(BROKEN);
    await list.stop(5_000);
    expect(readBreaks(folder)).toHaveLength(1);
  });

  test('no file is no row, and a folder that cannot be written is told once', async () => {
    expect(readBreaks(join(folder, 'nowhere'))).toEqual([]);
    writeFileSync(join(folder, 'file'), '');
    const list = open(join(folder, 'file', 'data'));
    list.add(BROKEN);
    await list.stop(5_000);
    list.add(BROKEN);
    await list.stop(5_000);
    expect(faults).toHaveLength(1);
    expect(list.rows).toHaveLength(1);
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('');
  });
});

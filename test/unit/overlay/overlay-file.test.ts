import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  changeFault,
  decodeEntry,
  encodeEntry,
  placeFrom,
} from '../../../src/overlay/overlay-entry.ts';
import { OverlayFile, readOverlayFile } from '../../../src/overlay/overlay-file.ts';
import { OverlayConflict } from '../../../src/overlay/overlay-store.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-overlay-file-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const change = (name: string, rpm = 1) => ({
  table: 'policies' as const,
  name,
  value: { rpm },
  author: 'ada',
  reason: 'why',
  atMs: 1_000,
  expiresMs: null,
});

describe('the overlay in a file', () => {
  test('is whole and in the order of writing for whoever reads it, and nobody else’s to read', async () => {
    const store = new OverlayFile(folder);
    await store.put(change('a'), null);
    const second = await store.put(change('b'), null);
    await store.put(change('a', 2), 1);
    expect(await store.list()).toMatchObject([
      { name: 'b', revision: second, value: { rpm: 1 }, author: 'ada', reason: 'why', atMs: 1_000 },
      { name: 'a', revision: 3, value: { rpm: 2 } },
    ]);
    expect(readdirSync(folder)).toEqual(['overlay.json']);
    expect(statSync(store.place).mode & 0o777).toBe(0o600);
    await store.delete('policies', 'b', second);
    expect(await store.list()).toMatchObject([{ name: 'a' }]);
  });

  test('lets one of two writers of the same entry through', async () => {
    const store = new OverlayFile(folder);
    const wrong = expect.any(OverlayConflict);
    const first = await store.put(change('a'), null);
    await expect(store.put(change('a'), null)).rejects.toEqual(wrong);
    await expect(store.delete('policies', 'a', first + 1)).rejects.toEqual(wrong);
    const all = Array.from({ length: 8 }, (_, at) => store.put(change('a', at), first));
    const results = await Promise.allSettled(all);
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect((await store.list()).map(({ revision }) => revision)).toEqual([first + 1]);
  });

  test('loses no entry of writers that come at the same time', async () => {
    const stores = Array.from({ length: 8 }, () => new OverlayFile(folder));
    await Promise.all(stores.map((store, at) => store.put(change(`p${at}`), null)));
    expect(await stores[0]?.list()).toHaveLength(8);
    expect(existsSync(join(folder, 'overlay.json.lock'))).toBe(false);
  });

  test('that is not there is empty; one that is no overlay says so', () => {
    const path = join(folder, 'overlay.json');
    expect(readOverlayFile(path).entries).toEqual([]);
    for (const text of ['', '{', '[]', '{"revision":1}', '{"revision":1,"entries":{"a":1}}']) {
      writeFileSync(path, text);
      expect(() => readOverlayFile(path)).toThrow();
    }
  });

  test('keeps what it does not understand, and says where that is', async () => {
    const path = join(folder, 'overlay.json');
    writeFileSync(path, '{"revision":4,"entries":{"moods.7":{"revision":4,"value":{}}}}');
    const store = new OverlayFile(folder);
    expect(readOverlayFile(path)).toMatchObject({ entries: [], unreadable: ['moods.7'] });
    await store.put(change('a'), null);
    expect(readOverlayFile(path)).toMatchObject({
      entries: [{ name: 'a', revision: 5 }],
      unreadable: ['moods.7'],
    });
  });
});

describe('an entry', () => {
  test('is the same behind its text', () => {
    const made = { ...change('x'), expiresMs: 5_000 };
    expect(decodeEntry(made, encodeEntry(made), 9)).toEqual({ ...made, revision: 9 });
    for (const text of [
      '',
      '[]',
      '{}',
      '{"value":[]}',
      encodeEntry(made).replace('ada', 'a'.repeat(201)),
    ])
      expect(decodeEntry(made, text, 1)).toBeNull();
  });

  test.each([
    ['a reference to a file', { name: 'file:/etc/passwd' }],
    ['a reference to a variable', { models: [`\${HOME}`] }],
    ['a lock', { locked: true }],
    ['more than its bound', { name: 'x'.repeat(70_000) }],
  ])('with %s enters no store', (_, value) => {
    expect(changeFault({ ...change('a'), value })).not.toBeNull();
  });

  test('has its place by the first dot', () => {
    expect(placeFrom('prices.openai/gpt-4.1')).toEqual({ table: 'prices', name: 'openai/gpt-4.1' });
    for (const text of ['', 'keys', 'keys.', 'pool_keys.openai', 'limits.rpm', 'keys.a b'])
      expect(placeFrom(text)).toBeNull();
  });
});

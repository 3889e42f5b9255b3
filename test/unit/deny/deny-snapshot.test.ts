import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type DenySnapshot,
  decodeSnapshot,
  encodeSnapshot,
  readSnapshot,
  SnapshotError,
  writeSnapshot,
} from '../../../src/deny/deny-snapshot.ts';

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const records = fc.array(
  fc.record({
    kind: fc.constantFrom('tenant' as const, 'key' as const),
    reason: fc.constantFrom('spend' as const, 'other' as const),
    exp: fc.nat({ max: 2 ** 32 - 1 }),
    low: int32,
    high: int32,
  }),
  { maxLength: 30 },
);
const CURSOR = { bucketCreated: '2026-11-21T08:00:00.123456789Z', revision: 12_345 };

const snapshotOf = (list: readonly object[]): DenySnapshot => ({
  bucket: 'ai-gateway',
  cursor: CURSOR,
  records: list as never,
  count: list.length,
});

describe('a snapshot', () => {
  it('reads back as it was', () => {
    fc.assert(
      fc.property(records, fc.boolean(), (list, hasCursor) => {
        const cursor = hasCursor ? CURSOR : null;
        const again = decodeSnapshot(encodeSnapshot({ ...snapshotOf(list), cursor }));
        expect([...again.records]).toEqual(list);
        expect(again).toMatchObject({ bucket: 'ai-gateway', cursor, count: list.length });
      }),
    );
  });

  it('that was cut anywhere, or changed in any byte, is refused', () => {
    const list = fc.sample(records, { numRuns: 1, seed: 3 })[0] ?? [];
    const bytes = encodeSnapshot(snapshotOf(list));
    for (let end = 0; end < bytes.length; end++) {
      expect(() => decodeSnapshot(bytes.subarray(0, end))).toThrow(SnapshotError);
    }
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 0x40;
      expect(() => decodeSnapshot(changed)).toThrow(SnapshotError);
    }
    expect(() => decodeSnapshot(Buffer.concat([bytes, bytes]))).toThrow(SnapshotError);
  });

  it('of another version says so', () => {
    const bytes = encodeSnapshot(snapshotOf([]));
    bytes.writeUInt16LE(2, 10);
    expect(() => decodeSnapshot(bytes)).toThrow(/version is 2/);
  });

  it('takes the place of the last one, and leaves nothing beside it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-snapshot-'));
    const path = join(folder, 'deny.snapshot');
    expect(readSnapshot(path)).toBe(null);
    await writeSnapshot(path, encodeSnapshot(snapshotOf([])));
    const bytes = encodeSnapshot(
      snapshotOf([{ kind: 'key', reason: 'spend', exp: 5, low: 1, high: 2 }]),
    );
    await writeSnapshot(path, bytes);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(readdirSync(folder)).toEqual(['deny.snapshot']);
    await expect(writeSnapshot(join(folder, 'nowhere', 'x'), bytes)).rejects.toThrow(/ENOENT/);
  });
});

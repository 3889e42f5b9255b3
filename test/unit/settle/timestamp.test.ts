import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { timestamp } from '../../../src/settle/timestamp.ts';

describe('timestamp', () => {
  it('writes every instant as Date does, in any order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -4_102_444_800_000, max: 4_102_444_800_000 })),
        (instants) => {
          for (const ms of instants) {
            for (const at of [ms, ms + 1, ms - 1_000, ms])
              expect(timestamp(at)).toBe(new Date(at).toISOString());
          }
        },
      ),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressOf, changed, hrefOf } from '../../../../src/console/dashboard/address.ts';

describe('the address of a view', () => {
  test('holds every name and value, whatever is in it', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1 });
    fc.assert(
      fc.property(
        fc.array(text),
        fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), text),
        (path, query) => {
          const back = addressOf(hrefOf(path, query));
          expect(back.path).toEqual(path);
          expect({ ...back.query }).toEqual({ ...query });
        },
      ),
    );
  });

  test('leaves out what is empty', () => {
    expect(hrefOf(['keys'], { q: '', tab: undefined })).toBe('#/keys');
  });

  test('begins its pages anew when a filter changes', () => {
    const address = addressOf('#/requests?model=a&cursor=xyz');
    expect(changed(address, { model: 'b' })).toBe('#/requests?model=b');
    expect(changed(address, { cursor: 'next' })).toBe('#/requests?model=a&cursor=next');
  });

  test('that is broken is read as it stands', () => {
    expect(addressOf('#/requests/%E0%A4%A').path).toEqual(['requests', '%E0%A4%A']);
    expect(addressOf('').path).toEqual([]);
  });
});

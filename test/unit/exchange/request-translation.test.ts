import { describe, expect, test } from 'vitest';
import { lossLines } from '../../../src/exchange/request-translation.ts';

// Tools have the names that their callers give them, and these are told in a field of an answer's head.

describe('what is told of losses', () => {
  test.each([
    ['a line end', 'tools.a\r\nset-cookie: b=c'],
    ['a comma', 'tools.a, tools.b'],
    ['what is no ASCII', 'tools.ä\u{1f600}\u2028'],
    ['a null and a delete', 'tools.\0\u007f'],
  ])('is one field of one name where that has %s in it', (_name, dropped) => {
    const told = lossLines({ dropped: [dropped, 'seed'], adjusted: [] });
    expect(told).toMatch(/^x-sluice-dropped: [\x21-\x2b\x2d-\x7e]+, seed\r\n$/);
  });

  test('is no longer than a field may be, and nothing where nothing is lost', () => {
    const adjusted = [`max_tokens=${'9'.repeat(5_000)}`];
    const told = lossLines({ dropped: [], adjusted });
    expect(told).toBe(`x-sluice-adjusted: ${adjusted[0]?.slice(0, 1_024)}\r\n`);
    expect(lossLines({ dropped: [] })).toBe('');
  });
});

import { expect, test } from 'vitest';
import { csvText } from '../../../src/ledger/csv.ts';

test.each([
  ['=1+1', "'=1+1"],
  ['  @SUM(A1)', "  '@SUM(A1)"],
  ['＝1+1', "'＝1+1"],
  // Where cells end at semicolons.
  ['x;=HYPERLINK("http://evil")', '"x;\'=HYPERLINK(""http://evil"")"'],
  ['x; -2+3', "x; '-2+3"],
  ['x;"=1', '"x;""\'=1"'],
  ['\t=1', '\\u{9}=1'],
  ['-0.25', '-0.25'],
  ['gpt-5;mini=1', 'gpt-5;mini=1'],
])('a cell %j is one that no spreadsheet runs', (text, cell) => {
  expect(csvText([[text]])).toBe(cell);
});

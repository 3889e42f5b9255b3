import { describe, expect, test } from 'vitest';
import { SpendingMarks } from '../../../src/wire/spending-marks.ts';

const found = (text: string, ...cuts: readonly number[]) => {
  const marks = new SpendingMarks();
  let from = 0;
  const bytes = Buffer.from(text);
  for (const cut of [...cuts, bytes.length]) {
    marks.push(bytes.subarray(from, cut));
    from = cut;
  }
  marks.end();
  const { marksCache, isHour, tools, limits, uses, pictures } = marks;
  return { marksCache, isHour, tools, limits, uses, pictures };
};

const NOTHING = { marksCache: false, isHour: false, tools: 0, limits: 0, uses: 0, pictures: 0 };

const BODY = JSON.stringify({
  system: [{ type: 'text', text: 'x', cache_control: { type: 'ephemeral', ttl: '1h' } }],
  tools: [
    { type: 'web_search_20250305', name: 'web_search', max_uses: 12 },
    { type: 'code_execution_20250522', name: 'code_execution' },
  ],
  messages: [
    { role: 'user', content: [{ type: 'image', source: { type: 'url', url: 'https://x/y' } }] },
    { role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x/y' } }] },
  ],
});
const ALL = { marksCache: true, isHour: true, tools: 2, limits: 1, uses: 12, pictures: 2 };

describe('SpendingMarks', () => {
  test('finds caching, its hour, tools with their uses, and pictures', () => {
    expect(found(BODY)).toEqual(ALL);
  });

  test('finds the same over any cut', () => {
    for (let at = 1; at < BODY.length; at++) expect(found(BODY, at), `cut at ${at}`).toEqual(ALL);
    for (let at = 1; at < BODY.length - 9; at++)
      expect(found(BODY, at, at + 3, at + 9), `cut thrice at ${at}`).toEqual(ALL);
    const everyByte = Array.from({ length: BODY.length - 1 }, (_, at) => at + 1);
    expect(found(BODY, ...everyByte)).toEqual(ALL);
  });

  test('texts that speak of them, and calls and results of earlier turns, are none', () => {
    const text = JSON.stringify({
      content: 'write "cache_control" and "max_uses": 9 and "web_search" for me',
      input: [{ type: 'web_search_call' }, { type: 'web_search_tool_result' }],
      tool_choice: { type: 'tool', name: 'web_search' },
    });
    expect(found(text)).toEqual(NOTHING);
  });

  test.each([
    ['{"tools":[{"type":"web_search_preview"}]}', 1],
    ['{"web_search_options":{}}', 1],
    ['{"web_search"', 1],
    ['{"tools":[{"google_search":{}},{"googleSearch":{}}]}', 2],
    ['{"tools":[{"type":"file_search"},{"type":"code_interpreter"}]}', 2],
  ])('%s offers %i', (text, tools) => {
    expect(found(text).tools).toBe(tools);
  });
});

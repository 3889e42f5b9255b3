import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ToolCalls } from '../../../src/wire/tool-calls.ts';
import { cutAtRandom } from '../../support/fixtures.ts';

function counted(chunks: readonly Buffer[]) {
  const calls = new ToolCalls();
  for (const chunk of chunks) {
    const lent = Buffer.from(chunk);
    calls.push(lent);
    lent.fill(0xee);
  }
  return calls.uses;
}

const ANSWER = JSON.stringify({
  output: [
    { id: 'ws_1', type: 'web_search_call', status: 'completed' },
    { type: 'message', content: [{ text: 'he said "type":"web_search_call"' }] },
    { id: 'ws_2', type: 'web_search_call' },
    { type: 'file_search_call' },
    { type: 'function_call', name: 'x', kind: 'web_search_call' },
  ],
  include: ['web_search_call.action.sources', 'web_search_call'],
});
const USES = { web_search: 2, file_search: 1 };

it('calls are the items of that type, at every split', () => {
  for (const text of [ANSWER, ANSWER.replaceAll('":"', '" :  "')]) {
    const bytes = Buffer.from(text);
    for (let at = 0; at <= bytes.length; at++)
      expect(counted([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(USES);
    expect(counted(Array.from(bytes, (byte) => Buffer.from([byte])))).toEqual(USES);
  }
});

it('calls are counted once at any cuts', () => {
  const item = fc.constantFrom('{"type":"web_search_call"}', '{"type":"x"}', ' ', 'a'.repeat(50));
  fc.assert(
    fc.property(fc.array(item, { maxLength: 20 }), fc.nat(), (items, seed) => {
      const bytes = Buffer.from(items.join(','));
      const right = items.filter((one) => one.includes('web_search')).length;
      expect(counted(cutAtRandom(bytes, seed))['web_search'] ?? 0).toBe(right);
      expect(
        counted(cutAtRandom(bytes, seed).flatMap((one) => [one.subarray(0, 7), one.subarray(7)]))[
          'web_search'
        ] ?? 0,
      ).toBe(right);
    }),
  );
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DATA_MIN_SAMPLES, STRIDE_BYTES, TextCount } from '../../../src/wire/text-count.ts';
import { cutAtRandom } from '../../support/fixtures.ts';
import { requestFixtures } from '../../support/request-fixtures.ts';

function counted(chunks: readonly Buffer[]): number {
  const count = new TextCount();
  for (const chunk of chunks) count.push(chunk);
  return count.textBytes;
}

/** The same on a whole body, in words of its definition. */
function oracle(body: Buffer): number {
  const samples = Array.from(body)
    .filter((_, at) => at % STRIDE_BYTES === 0)
    .map((byte) => (/[A-Za-z0-9+/=_\\-]/.test(String.fromCharCode(byte)) ? 'd' : ' '))
    .join('');
  const rows = samples.match(new RegExp(`d{${DATA_MIN_SAMPLES},}`, 'g')) ?? [];
  return Math.max(0, body.length - rows.join('').length * STRIDE_BYTES);
}

/** A row of samples in data goes on into the words beside it, until one is no letter. */
const EDGE_BYTES = 2_000;

const PROSE = 'It was the best of times, it was the worst of times, it was the age of wisdom. ';
const picture = (bytes: number): string => Buffer.alloc(bytes, 'pixel').toString('base64');
const chat = (content: unknown): Buffer =>
  Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content }] }));

describe('TextCount', () => {
  it('counts the same at any cuts, as the oracle does on the whole', () => {
    const part = fc.oneof(
      fc.constantFrom(PROSE, '","', picture(9_000), picture(6_100), '长文本'.repeat(40), 'a\\/b'),
      fc.string({ maxLength: 80 }),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), fc.nat(), (parts, seed) => {
        const body = Buffer.from(parts.join(''));
        const right = oracle(body);
        expect(counted([body])).toBe(right);
        expect(counted(cutAtRandom(body, seed))).toBe(right);
        expect(counted(Array.from(body, (byte) => Buffer.from([byte])))).toBe(right);
      }),
    );
  });

  it.each([
    ['prose', PROSE.repeat(1_000)],
    ['Chinese', '今天天气很好我们去公园吧'.repeat(2_000)],
    ['code', 'for (let i = 0; i < n; i++) sum += values[i] ?? 0;\n'.repeat(1_000)],
    ['a table whose lines have 64 bytes', `${'cell |'.repeat(10)}abc\n`.repeat(1_000)],
    ['numbers', Array.from({ length: 20_000 }, (_, i) => i).join(', ')],
  ])('takes no byte of %s for data', (_, text) => {
    const body = chat(text);
    expect(counted([body])).toBe(body.length);
  });

  it.each([
    ['a picture', picture(1_000_000)],
    ['a picture whose slashes are escaped', picture(900_000).replaceAll('c', '\\/')],
    ['a picture in lines', picture(500_000).replaceAll(/.{76}/g, '$&\\r\\n')],
  ])('counts the text beside %s', (_, data) => {
    const text = chat([{ type: 'text', text: PROSE.repeat(100) }]).length;
    const body = chat([
      { type: 'text', text: PROSE.repeat(100) },
      { type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } },
    ]);
    expect(Math.abs(counted([body]) - text)).toBeLessThan(EDGE_BYTES);
  });

  it('counts of a recorded request no less than what is surely text, and not what is surely data', () => {
    const outside = (body: string, row: number): number =>
      body.replaceAll(new RegExp(`[A-Za-z0-9+/=_\\\\-]{${row},}`, 'g'), '').length;
    for (const { name, bytes } of requestFixtures()) {
      const body = bytes.toString('latin1');
      expect(counted([bytes]), name).toBeGreaterThan(outside(body, 500) - EDGE_BYTES);
      expect(counted([bytes]), name).toBeLessThan(outside(body, 10_000) + EDGE_BYTES);
    }
  });
});

import { describe, expect, test } from 'vitest';
import { parseExactly } from '../../../src/dialect/json-values.ts';
import { translateRequest } from '../../../src/dialect/translate.ts';
import type { CallerWire } from '../../../src/dialect/wires.ts';

/** Beside it every number of a body is looked at: pictures and ids are full of such digits. */
const LONG = '"1234567890123456"';

describe('a number that a double holds', () => {
  test.each([
    ['1.0', 1],
    ['0.70', 0.7],
    ['1e3', 1000],
    ['1.50E+2', 150],
    ['-0.0', 0],
    ['0e9', 0],
    ['100000000000000000000', 1e20],
    ['123456789012345000', 123_456_789_012_345_000],
    ['5e-324', 5e-324],
  ])('is one, and %s is no other for how it is written', (text, value) => {
    const [read] = parseExactly(`[${text},${LONG}]`) as readonly unknown[];
    expect(typeof read).toBe('number');
    expect(Number(read) === value).toBe(true);
  });

  test.each([
    ['openai-chat', 'messages', 'temperature', 1],
    ['openai-responses', 'input', 'temperature', 1],
    ['anthropic-messages', 'messages', 'max_tokens', 1000],
  ] as const)('is a setting of %s as Python writes it', (from, place, field, value) => {
    const text = JSON.stringify({
      [place]: [{ role: 'user', content: `call_${LONG}` }],
      ...(from === 'anthropic-messages' ? {} : { max_tokens: 9 }),
    });
    const written = value === 1 ? '1.0' : '1e3';
    const body = Buffer.from(`${text.slice(0, -1)},"${field}":${written}}`);
    const target = { provider: 'ollama', model: 'm', asksForUsage: false };
    const asked = translateRequest(from satisfies CallerWire, 'ollama', body, target);
    const { options } = JSON.parse('body' in asked ? asked.body.toString() : '{}');
    expect(options?.[field === 'max_tokens' ? 'num_predict' : field]).toBe(value);
  });
});

describe('a number that a double does not hold', () => {
  test.each([
    '12345678901234567890',
    '-12345678901234567890',
    '0.12345678901234567891',
    '1e400',
    '1e-400',
    '1.23456789012345e-310',
    `1${'0'.repeat(100_000)}1`,
  ])('is written as it stood: %#', (text) => {
    const whole = `[${text},${LONG}]`;
    expect(JSON.stringify(parseExactly(whole)) === whole).toBe(true);
  });
});

test('an integer stays one, and does not get an exponent, which is a float to Python', () => {
  const text = `{"exact":9765724902343750000000,"id":${LONG}}`;
  expect(JSON.stringify(parseExactly(text))).toBe(text);
});

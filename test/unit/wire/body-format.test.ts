import { describe, expect, it } from 'vitest';
import { type BodyFormat, FormatProbe } from '../../../src/wire/body-format.ts';

function recognised(body: string, declared: BodyFormat) {
  const bytes = Buffer.from(body, 'latin1');
  const found = new Set<string>();
  for (let at = 0; at <= bytes.length; at++) {
    const probe = new FormatProbe(declared);
    const first = probe.push(bytes.subarray(0, at));
    const begins = first >= 0 ? first : at + probe.push(bytes.subarray(at));
    found.add(`${probe.format} ${probe.format === null ? '' : begins}`);
  }
  expect(found.size).toBe(1);
  return [...found][0]?.split(' ')[0];
}

const DECLARED: readonly BodyFormat[] = ['json', 'events', 'lines'];

describe('a body is recognised at every split', () => {
  it.each([
    ['data: {}\n\n', 'events'],
    ['data:{}\n\n', 'events'],
    ['event: x\ndata: {}\n\n', 'events'],
    ['id: 1\ndata: {}\n\n', 'events'],
    [': ping\n\ndata: {}\n\n', 'events'],
    ['retry: 5\n\n', 'events'],
    ['\ufeffdata: {}\n\n'.replace('\ufeff', '\u00ef\u00bb\u00bf'), 'events'],
    ['\r\n\r\ndata: {}\r\n\r\n', 'events'],
    ['<html>', 'page'],
    [' \n<!DOCTYPE html>', 'page'],
    ['\u001f\u008b\u0008', 'packed'],
  ])('%j is %s, whatever was declared', (body, format) => {
    for (const declared of DECLARED) expect(recognised(body, declared)).toBe(format);
  });

  it.each(['{"error":{}}', ' \n\t{}', '\u00ef\u00bb\u00bf{}', '[{}]'])('%j is JSON', (body) => {
    expect(recognised(body, 'json')).toBe('json');
    expect(recognised(body, 'events')).toBe('json');
    expect(recognised(body, 'lines')).toBe('lines');
  });

  it.each(['', ' ', '\n\n\n', '\u00ef\u00bb\u00bf'])('%j is nothing yet', (body) => {
    for (const declared of DECLARED) expect(recognised(body, declared)).toBe('null');
  });

  it.each(['0.5', '"x"', 'true', 'null'])('%j is what was declared', (body) => {
    for (const declared of DECLARED) expect(recognised(body, declared)).toBe(declared);
  });
});

import { describe, expect, it } from 'vitest';
import { Seam } from '../../../src/wire/seam.ts';

const taken = (seam: Seam, ...texts: readonly string[]): string =>
  texts.map((text) => seam.take(text)).join('') + seam.rest();

describe('Seam', () => {
  it('gives no white space and no half character on, and tells neither twice', () => {
    const seam = new Seam('one \n\ud83d', false);
    expect(seam.prefix).toBe('one');
    expect(taken(seam, ' ', '\n\ud83d\ude00', ' two')).toBe('\ude00 two');
    expect(taken(new Seam('one \n', false), 'two')).toBe('two');
    expect(taken(new Seam('one\n', false), '\n\ntwo')).toBe('\ntwo');
  });

  it('is quickly found behind a long run of white space', () => {
    const text = `a${' '.repeat(250_000)}b`;
    expect(new Seam(text, false).prefix).toBe(text);
  });

  it('drops an echo of the prefix, in whatever pieces it comes', () => {
    expect(taken(new Seam('abc ', true), 'a', 'bc', ' d')).toBe('d');
    expect(taken(new Seam('abc', true), 'abcabc')).toBe('abc');
    const long = 'a text that is longer than a coincidence';
    expect(taken(new Seam(long, false), long.slice(0, 9), `${long.slice(9)}!`)).toBe('!');
  });

  it('keeps what only begins like an echo', () => {
    expect(taken(new Seam('abc', true), 'ab', 'd')).toBe('abd');
    expect(taken(new Seam('abc', true), 'ab')).toBe('ab');
    expect(taken(new Seam('abc', false), 'abc')).toBe('abc');
  });
});

import { expect, it } from 'vitest';
import { connectionOptions, isNamed } from '../../../src/wire/fields.ts';

it('a name is what it is in any case, and nothing else is, whichever byte it has', () => {
  const different: string[] = [];
  for (let lower = 0x20; lower < 0x7f; lower++) {
    const name = String.fromCharCode(lower);
    if (name !== name.toLowerCase()) continue;
    for (let code = 0; code < 256; code++) {
      const other = String.fromCharCode(code);
      if (isNamed(`x${other}Y`, `x${name}y`) !== (other.toLowerCase() === name))
        different.push(`${code} and ${lower}`);
    }
  }
  expect(different).toEqual([]);
});

it.each([
  ['Content-Length', 'content-length', true],
  ['content-length', 'content-length', true],
  ['content-lengt', 'content-length', false],
  ['content-length ', 'content-length', false],
  ['', 'content-length', false],
])('"%s" is named %s: %s', (name, lower, isIt) => {
  expect(isNamed(name, lower)).toBe(isIt);
});

it('Connection names what it names in any case, and close and keep-alive name nothing', () => {
  expect(connectionOptions(['CONNECTION', 'Keep-Alive', 'Connection', 'CLOSE'])).toBeNull();
  expect(connectionOptions(['connection', 'X-One, close'])).toEqual(new Set(['x-one', 'close']));
});

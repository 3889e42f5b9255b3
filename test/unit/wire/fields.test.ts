import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  connectionOptions,
  isNamed,
  lengthIn,
  speaksForAccount,
} from '../../../src/wire/fields.ts';

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

it('a length is 1 to 15 decimal digits, and nothing else is one', () => {
  const texts = fc.oneof(
    fc.string({ maxLength: 18, unit: fc.constantFrom(...'0123456789') }),
    fc.string({ maxLength: 4, unit: 'binary' }),
    fc.constantFrom(
      '',
      '+1',
      '-1',
      '1 ',
      ' 1',
      '1\n',
      '0x1',
      '1e3',
      '1.0',
      '1,1',
      '٣',
      '9'.repeat(15),
    ),
  );
  fc.assert(
    fc.property(texts, (text) => {
      expect(lengthIn(text)).toBe(
        /^\d{1,15}$/.test(text) && !text.endsWith('\n') ? Number(text) : -1,
      );
    }),
    { numRuns: 300 },
  );
});

it.each([
  'set-cookie',
  'set-cookie2',
  'clear-site-data',
  'access-control-allow-origin',
  'ratelimit-policy',
  'rate-limit-reset',
  'x-ratelimitbysize-limit-minute',
  'x-rate-limit-remaining',
  'x-organization-id',
  'x-project',
  'x-account-id',
  'x-workspace',
  'x-quota-left',
  'x-credit',
  'x-billing-plan',
  'x-trial-ends',
  'x-endpoint-monthly-call-limit',
  'x-tokenlimit',
  'openai-organization',
  'openai-project',
  'anthropic-ratelimit-tokens-limit',
  'anthropic-priority-input',
  'anthropic-fast-left',
  'anthropic-organization-id',
  'anthropic-workspace',
])('%s speaks of the account, in any case', (name) => {
  const all = [name, name.toUpperCase(), name.replace(/^./, (first) => first.toUpperCase())];
  expect(all.map(speaksForAccount)).toEqual([true, true, true]);
});

it.each([
  '',
  's',
  'x-',
  'server',
  'content-type',
  'x-request-id',
  'openai-version',
  'racecar',
])('"%s" does not speak of the account', (name) => {
  expect(speaksForAccount(name)).toBe(false);
});

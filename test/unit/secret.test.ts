import { inspect } from 'node:util';
import { expect, it } from 'vitest';
import { Secret } from '../../src/secret.ts';

const VALUE = 'sk-live-0123456789';

it('a secret gives its value to reveal and to nothing else', () => {
  const secret = new Secret(VALUE);
  const prints = [
    String(secret),
    `${secret}`,
    secret.toString(),
    JSON.stringify({ secret }),
    inspect(secret, { depth: 9, showHidden: true }),
    inspect(structuredClone(secret), { showHidden: true }),
    Object.entries(secret).join(),
  ];
  for (const print of prints) expect(print).not.toContain(VALUE);
  expect(prints.slice(0, 3)).toEqual(['***', '***', '***']);
  expect(secret.reveal()).toBe(VALUE);
});

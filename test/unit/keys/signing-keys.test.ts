import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { readKeyBytes, signingKeys } from '../../../src/keys/signing-keys.ts';

function pair() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const { x = '' } = publicKey.export({ format: 'jwk' });
  return { bytes: new Uint8Array(Buffer.from(x, 'base64url')), privateKey };
}

describe('readKeyBytes', () => {
  const bytes = Uint8Array.from({ length: 32 }, (_, i) => 255 - i);
  const base64 = Buffer.from(bytes).toString('base64');

  it.each([
    ['base64', base64],
    ['base64 without padding', base64.replace('=', '')],
    ['base64url', Buffer.from(bytes).toString('base64url')],
    ['base64url with padding', `${Buffer.from(bytes).toString('base64url')}=`],
  ])('takes %s', (_, text) => {
    expect(readKeyBytes(text)).toEqual(bytes);
  });

  it.each([
    ['nothing', ''],
    ['31 bytes', Buffer.from(bytes.subarray(1)).toString('base64')],
    ['33 bytes', Buffer.alloc(33).toString('base64')],
    ['a space before it', ` ${base64}`],
    ['a line end behind it', `${base64}\n`],
    ['trailing bits that are not zero', base64.replace(/.=$/, '/=')],
    ['both alphabets mixed', `-${base64.slice(1, 20)}+${base64.slice(21)}`],
    ['hex', Buffer.from(bytes).toString('hex')],
  ])('does not take %s', (_, text) => {
    expect(readKeyBytes(text)).toBe(null);
  });
});

describe('signingKeys', () => {
  it('makes keys that verify what their secret halves signed, each under its kid', async () => {
    const { verify } = await import('node:crypto');
    const a = pair();
    const b = pair();
    const keys = signingKeys(
      new Map([
        [0, a.bytes],
        [4_294_967_295, b.bytes],
      ]),
    );
    const message = Buffer.from('m');
    const signature = sign(null, message, b.privateKey);
    const [keyA, keyB] = [keys.get(0), keys.get(4_294_967_295)];
    if (keyA === undefined || keyB === undefined) throw new Error('a kid is missing');
    expect(verify(null, message, keyB, signature)).toBe(true);
    expect(verify(null, message, keyA, signature)).toBe(false);
  });
});

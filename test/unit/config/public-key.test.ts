import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { publicKeyFault } from '../../../src/config/public-key.ts';

describe('publicKeyFault', () => {
  it('finds nothing wrong with real keys', () => {
    for (let i = 0; i < 20; i++) {
      const { x = '' } = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' });
      expect(publicKeyFault(new Uint8Array(Buffer.from(x, 'base64url')))).toBe(null);
    }
  });

  // RFC 8032 §5.1.3: y = 0, 1 and -1 are points of order 4, 1 and 2.
  it.each([
    ['y = 0', new Uint8Array(32)],
    ['y = 1', Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0))],
    [
      'y = -1',
      Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 0xec : i === 31 ? 0x7f : 0xff)),
    ],
  ])('says that a point of small order is weak: %s', (_, bytes) => {
    expect(publicKeyFault(bytes)).toMatch(/weak/);
  });

  it('says that bytes are not a point', () => {
    expect(publicKeyFault(new Uint8Array(32).fill(2))).toMatch(/not a point/);
    expect(publicKeyFault(new Uint8Array(32).fill(255))).toMatch(/not a point/);
  });
});

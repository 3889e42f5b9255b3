import { createPrivateKey, sign } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mintToken, newSecretKey, publicKeyOf } from '../../../src/keys/minting.ts';

const SEED = new Uint8Array(32).fill(1);
/** PKCS #8 (RFC 8410 §7) around a 32-byte secret key. */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

const nodeKey = (secretKey: Uint8Array) =>
  createPrivateKey({ key: Buffer.concat([PKCS8, secretKey]), format: 'der', type: 'pkcs8' });
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

describe('mintToken', () => {
  it("is reproducible: the contract's vector never changes", () => {
    expect(mintToken(SEED, { kid: 7, tenantId: 42n, vpcId: 99n, keyId: null })).toBe(
      'bai_v1.7.KgAAAAAAAABjAAAAAAAAAA.gZkGuERJIIbLI8Ew2MNaWfoEAP-LcPpZXePS1IXNHmWKWRF_1asBom2BxwZnU3s3gkmSw5XrK-UCAyPZTlSHDg',
    );
    expect(mintToken(SEED, { kid: 7, tenantId: 42n, vpcId: 99n, keyId: 5n })).toBe(
      'bai_v2.7.KgAAAAAAAABjAAAAAAAAAAUAAAAAAAAA.vmXxdgPfJTW3pTHWvvZ5Nji4c6BrYEbwt0cDxFLy163rFFdztu6Lgvl1EytrQsfBedy4L0LPyssLnHILY6nyDQ',
    );
  });

  it('a class makes a bai_v3 token: the ids, the class, seven bytes of zero', () => {
    const token = mintToken(SEED, {
      kid: 7,
      tenantId: 42n,
      vpcId: 99n,
      keyId: 5n,
      keyClass: 'agent',
    });
    const [version, kid, payload = ''] = token.split('.');
    expect([version, kid]).toEqual(['bai_v3', '7']);
    expect(Buffer.from(payload, 'base64url').toString('hex')).toBe(
      '2a00000000000000' + '6300000000000000' + '0500000000000000' + '0300000000000000',
    );
  });

  it('refuses a class without a key id', () => {
    const claims = { kid: 7, tenantId: 1n, vpcId: 1n, keyId: null, keyClass: 'agent' } as const;
    expect(() => mintToken(SEED, claims)).toThrow(RangeError);
  });

  it('signs exactly as node:crypto does, whatever the key and the claims', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.nat({ max: 0xffff_ffff }),
        u64,
        u64,
        fc.option(u64),
        (secretKey, kid, tenantId, vpcId, keyId) => {
          const token = mintToken(secretKey, { kid, tenantId, vpcId, keyId });
          const cut = token.lastIndexOf('.');
          const signature = sign(null, Buffer.from(token.slice(0, cut)), nodeKey(secretKey));
          return token.slice(cut + 1) === signature.toString('base64url');
        },
      ),
      { numRuns: 50 },
    );
  });

  it('refuses ids beyond u64', () => {
    const claims = { kid: 7, tenantId: 2n ** 64n, vpcId: 0n, keyId: null };
    expect(() => mintToken(SEED, claims)).toThrow(RangeError);
  });
});

describe('keys', () => {
  it('two new secret keys differ, and have 32 bytes', () => {
    const [a, b] = [newSecretKey(), newSecretKey()];
    expect(a).toHaveLength(32);
    expect(Buffer.from(a).equals(b)).toBe(false);
  });

  it('the public key of the first vector of RFC 8032 §7.1 is the one printed there', () => {
    const secret = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
    expect(Buffer.from(publicKeyOf(Buffer.from(secret, 'hex'))).toString('hex')).toBe(
      'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    );
  });
});

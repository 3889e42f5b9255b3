import { createHash, type KeyObject, verify } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KEY_CLASSES } from '../../../src/keys/key-class.ts';
import { mintToken, publicKeyOf } from '../../../src/keys/minting.ts';
import { signingKeys } from '../../../src/keys/signing-keys.ts';
import { parseToken, signatureHolds, TOKEN_MAX_CHARS } from '../../../src/keys/virtual-key.ts';

const SECRET = new Uint8Array(32).fill(1);
const V1 =
  'bai_v1.7.KgAAAAAAAABjAAAAAAAAAA.gZkGuERJIIbLI8Ew2MNaWfoEAP-LcPpZXePS1IXNHmWKWRF_1asBom2BxwZnU3s3gkmSw5XrK-UCAyPZTlSHDg';
const V2 =
  'bai_v2.7.KgAAAAAAAABjAAAAAAAAAAUAAAAAAAAA.vmXxdgPfJTW3pTHWvvZ5Nji4c6BrYEbwt0cDxFLy163rFFdztu6Lgvl1EytrQsfBedy4L0LPyssLnHILY6nyDQ';

function signingKey(): KeyObject {
  const key = signingKeys(new Map([[7, publicKeyOf(SECRET)]])).get(7);
  if (key === undefined) throw new Error('no key');
  return key;
}

const KEY = signingKey();

/** Whether the gateway would take the token, without budget and cache. */
function holds(token: string): boolean {
  const parsed = parseToken(token);
  return parsed !== null && parsed.claims.kid === 7 && signatureHolds(token, parsed, KEY);
}

/** Order of the group (RFC 8032 §5.1). */
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

function parts(token: string): [version: string, kid: string, payload: string, sig: string] {
  const [version = '', kid = '', payload = '', sig = ''] = token.split('.');
  return [version, kid, payload, sig];
}

describe('parseToken', () => {
  it("reads the contract's vector, and node:crypto verifies it", () => {
    expect(parseToken(V1)?.claims).toMatchObject({
      kid: 7,
      tenantId: 42n,
      vpcId: 99n,
      keyId: null,
      tenantText: '42',
      vpcText: '99',
      keyText: null,
    });
    expect(parseToken(V2)?.claims).toMatchObject({ tenantId: 42n, keyId: 5n, keyText: '5' });
    for (const token of [V1, V2]) {
      const cut = token.lastIndexOf('.');
      const signature = Buffer.from(token.slice(cut + 1), 'base64url');
      expect(verify(null, Buffer.from(token.slice(0, cut)), KEY, signature)).toBe(true);
      expect(holds(token)).toBe(true);
    }
  });

  it('reads back whatever was minted, ids above 2^53 included', () => {
    const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const kids = fc.nat({ max: 0xffff_ffff });
    fc.assert(
      fc.property(kids, u64, u64, fc.option(u64), (kid, tenantId, vpcId, keyId) => {
        const token = mintToken(SECRET, { kid, tenantId, vpcId, keyId });
        const claims = parseToken(token)?.claims;
        expect(token.length).toBeLessThanOrEqual(TOKEN_MAX_CHARS);
        expect(claims).toMatchObject({ kid, tenantId, vpcId, keyId, tenantText: `${tenantId}` });
      }),
      { numRuns: 100 },
    );
  });

  it('K2: keys without a class are of the class application', () => {
    for (const token of [V1, V2]) expect(parseToken(token)?.claims.keyClass).toBe('application');
  });

  it('reads the class of a bai_v3 token, ids at both ends of u64 beside it, and its signature holds', () => {
    const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const classes = fc.constantFrom(...KEY_CLASSES);
    fc.assert(
      fc.property(u64, u64, u64, classes, (tenantId, vpcId, keyId, keyClass) => {
        const token = mintToken(SECRET, { kid: 0xffff_ffff, tenantId, vpcId, keyId, keyClass });
        const parsed = parseToken(token);
        expect(token.length).toBe(TOKEN_MAX_CHARS);
        expect(parsed?.version).toBe(3);
        expect(parsed?.claims).toMatchObject({ tenantId, vpcId, keyId, keyClass });
        expect(parsed !== null && signatureHolds(token, parsed, KEY)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  it('refuses every class that is none, and every bit behind it', () => {
    const spelled = (change: (payload: Buffer) => void): string => {
      const bytes = Buffer.alloc(32);
      bytes.writeUInt8(3, 24);
      change(bytes);
      return `bai_v3.7.${bytes.toString('base64url')}.${parts(V1)[3]}`;
    };
    expect(parseToken(spelled(() => {}))?.claims.keyClass).toBe('agent');
    for (let byte = 0; byte < 256; byte++) {
      const keyClass = parseToken(spelled((bytes) => bytes.writeUInt8(byte, 24)))?.claims.keyClass;
      expect([byte, keyClass]).toEqual([byte, KEY_CLASSES[byte - 1]]);
    }
    for (let bit = 0; bit < 7 * 8; bit++) {
      const at = 25 + (bit >> 3);
      const token = spelled((bytes) => bytes.writeUInt8(1 << (bit & 7), at));
      expect([bit, parseToken(token)]).toEqual([bit, null]);
    }
  });

  const [version, kid, payload, sig] = parts(V1);
  const [, , payloadV3] = parts(
    mintToken(SECRET, { kid: 7, tenantId: 42n, vpcId: 99n, keyId: 5n, keyClass: 'agent' }),
  );
  const REFUSED: readonly (readonly [why: string, token: string])[] = [
    ['nothing', ''],
    ['another version', `bai_v4.${kid}.${payload}.${sig}`],
    ['another case', `BAI_V1.${kid}.${payload}.${sig}`],
    ['a version without its dot', `bai_v1${kid}.${payload}.${sig}`],
    ['no kid', `${version}..${payload}.${sig}`],
    ['a kid with a leading zero', `${version}.07.${payload}.${sig}`],
    ['a kid with a sign', `${version}.+7.${payload}.${sig}`],
    ['a kid in hex', `${version}.0x7.${payload}.${sig}`],
    ['a kid with an exponent', `${version}.7e0.${payload}.${sig}`],
    ['a kid beyond u32', `${version}.4294967296.${payload}.${sig}`],
    ['a kid of other digits', `${version}.٧.${payload}.${sig}`],
    ['a v2 payload under v1', `${version}.${kid}.${parts(V2)[2]}.${sig}`],
    ['a v1 payload under v3', `bai_v3.${kid}.${payload}.${sig}`],
    ['a v2 payload under v3', `bai_v3.${kid}.${parts(V2)[2]}.${sig}`],
    ['a v3 payload under v2', `bai_v2.${kid}.${payloadV3}.${sig}`],
    ['trailing bits in a v3 payload', `bai_v3.${kid}.${payloadV3.slice(0, -1)}B.${sig}`],
    ['a v1 payload under v2', `bai_v2.${kid}.${payload}.${sig}`],
    ['a payload one character short', `${version}.${kid}.${payload.slice(1)}.${sig}`],
    ['padding on the payload', `${version}.${kid}.${payload}==.${sig}`],
    ['padding on the signature', `${V1}==`],
    ['trailing bits in the payload', `${version}.${kid}.${payload.slice(0, -1)}B.${sig}`],
    ['trailing bits in the signature', V1.replace(/.$/, 'h')],
    ['the standard alphabet', `${version}.${kid}.${payload}.${sig.replace('-', '+')}`],
    ['a space before', ` ${V1}`],
    ['a space behind', `${V1} `],
    ['a line end behind', `${V1}\n`],
    ['a NUL inside', V1.replace('Kg', 'K\0')],
    ['a fifth part', `${V1}.x`],
    ['three parts', `${version}.${kid}.${payload}`],
    ['a megabyte', `${V1}${'A'.repeat(1_048_576)}`],
  ];
  it.each(REFUSED)('refuses %s', (_, token) => {
    expect(parseToken(token)).toBe(null);
  });

  it('refuses every other spelling that decodes to the same bytes', () => {
    const same = (text: string) => Buffer.from(text, 'base64url').toString('hex');
    let seen = 0;
    for (const [place, part] of [payload, sig].entries()) {
      for (const last of `${BASE64URL}+/=`) {
        const other = part.slice(0, -1) + last;
        if (other === part || same(other) !== same(part)) continue;
        seen++;
        const [p, s] = place === 0 ? [other, sig] : [payload, other];
        expect([last, parseToken([version, kid, p, s].join('.'))]).toEqual([last, null]);
      }
    }
    expect(seen).toBeGreaterThan(20);
  });
});

describe('signatureHolds', () => {
  it('is false after any change of one character', () => {
    const at = fc.nat({ max: TOKEN_MAX_CHARS });
    fc.assert(
      fc.property(fc.constantFrom(V1, V2), at, fc.nat({ max: 63 }), (token, place, to) => {
        const changed = token.slice(0, place) + BASE64URL.charAt(to) + token.slice(place + 1);
        return changed === token || !holds(changed);
      }),
      { numRuns: 500 },
    );
  });

  it('is false for the claims of one token with the signature of another', () => {
    const other = mintToken(SECRET, { kid: 7, tenantId: 43n, vpcId: 99n, keyId: null });
    expect(holds([...parts(other).slice(0, 3), parts(V1)[3]].join('.'))).toBe(false);
    expect(holds([...parts(V2).slice(0, 3), parts(V1)[3]].join('.'))).toBe(false);
  });

  // RFC 8032 §5.1.7: S is below the order. With S + L the equation holds too, so a verifier that forgets the check
  // takes a second spelling of every token.
  it('is false for a signature whose S is not below the order', () => {
    const [version, kid, payload, sig] = parts(V1);
    const bytes = Buffer.from(sig, 'base64url');
    let s = 0n;
    for (let i = 63; i >= 32; i--) s = (s << 8n) | BigInt(bytes[i] ?? 0);
    expect(s < L).toBe(true);
    s += L;
    for (let i = 32; i < 64; i++) {
      bytes[i] = Number(s & 255n);
      s >>= 8n;
    }
    const token = `${version}.${kid}.${payload}.${bytes.toString('base64url')}`;
    expect(parseToken(token)).not.toBe(null);
    expect(holds(token)).toBe(false);
  });

  it('is false for zeros, ones and random bytes', () => {
    const [version, kid, payload] = parts(V1);
    const forgeries = [Buffer.alloc(64), Buffer.alloc(64, 255)];
    for (let i = 0; i < 20; i++) forgeries.push(createHash('sha512').update(`${i}`).digest());
    for (const bytes of forgeries) {
      expect(holds(`${version}.${kid}.${payload}.${bytes.toString('base64url')}`)).toBe(false);
    }
  });
});

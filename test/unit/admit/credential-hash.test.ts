import { describe, expect, it } from 'vitest';
import { CredentialHash } from '../../../src/admit/credential-hash.ts';

/**
 * `hsiphash` of the bytes 0, 1, … n - 1 for n = 0 to 15 under the key 00 01 … 07 on 32-bit machines, as in the Linux
 * kernel's self-test of it.
 */
const VECTORS = [
  0x5814c896, 0xe7e864ca, 0xbc4b0e30, 0x01539939, 0x7e059ea6, 0x88e3d89b, 0xa0080b65, 0x9d38d9d6,
  0x577999b1, 0xc839caed, 0xe4fa32cf, 0x959246ee, 0x6b28096c, 0x66dd9cd6, 0x16658a7c, 0xd0257b04,
];

const counting = (length: number): string =>
  Buffer.from(Array.from({ length }, (_, i) => i & 255)).toString('latin1');

describe('CredentialHash', () => {
  it('its first word is HalfSipHash-1-3', () => {
    const hash = new CredentialHash(0x03020100, 0x07060504);
    const tags = VECTORS.map((_, length) => {
      hash.update(counting(length));
      return hash.first >>> 0;
    });
    expect(tags).toEqual(VECTORS);
  });

  it('what an earlier, longer credential left behind does not count', () => {
    const used = new CredentialHash(1, 2);
    used.update('x'.repeat(500));
    used.update('sk-abc');
    const fresh = new CredentialHash(1, 2);
    fresh.update('sk-abc');
    expect([used.first, used.second]).toEqual([fresh.first, fresh.second]);
  });

  it('of a long credential its last 32 characters count, each of them', () => {
    const hash = new CredentialHash(1, 2);
    const end = 'abcdefghijklmnopqrstuvwxyz012345';
    const words = (text: string): string => {
      hash.update(text);
      return `${hash.first} ${hash.second}`;
    };
    expect(words(`bai_v1.1.${end}`)).toBe(words(end));
    const others = Array.from(end, (_, at) => words(`${end.slice(0, at)}_${end.slice(at + 1)}`));
    expect(new Set([words(end), ...others]).size).toBe(end.length + 1);
  });

  it('both words depend on the key and on every byte', () => {
    const words = (key: number, text: string): readonly number[] => {
      const hash = new CredentialHash(key, 9);
      hash.update(text);
      return [hash.first, hash.second];
    };
    const base = words(1, 'sk-aaaaaaaa');
    for (const other of [
      words(2, 'sk-aaaaaaaa'),
      words(1, 'sk-aaaaaaab'),
      words(1, 'sk-aaaaaaaa\0'),
    ]) {
      expect(other[0]).not.toBe(base[0]);
      expect(other[1]).not.toBe(base[1]);
    }
  });

  it('the two words spread independently of each other', () => {
    const hash = new CredentialHash(77, 78);
    const pairs = new Set<string>();
    for (let i = 0; i < 20_000; i++) {
      hash.update(`sk-${i}`);
      pairs.add(`${hash.first & 255}.${hash.second & 255}`);
    }
    // 20,000 balls into 65,536 urns hit 17,236 of them on average, with a deviation of about 50.
    expect(pairs.size).toBeGreaterThan(16_900);
    expect(pairs.size).toBeLessThan(17_600);
  });
});

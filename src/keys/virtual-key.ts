/**
 * The managed token: its grammar, what it claims, and its signature check.
 *
 *     token   = "bai_v" version "." kid "." payload "." sig
 *     version = "1" / "2" / "3"
 *     kid     = decimal u32, no sign, no leading zero
 *     payload = base64url of tenant_id, vpc_id (version 2 and 3: and key_id), each u64 little-endian;
 *               version 3: and class, u8 (1 developer, 2 application, 3 agent), and 7 bytes of zero
 *     sig     = base64url of the Ed25519 signature (RFC 8032) over the ASCII of all that stands before the last "."
 *
 * Decision: canonical only. One token has exactly one spelling, so that what is counted, cached and cut off by string
 * cannot be had again under another one: no padding, no foreign characters, no non-zero trailing bits (RFC 4648 §3.5),
 * and a signature whose S is not below the group order is refused (RFC 8032 §5.1.7; OpenSSL does it, a test shows it).
 */

import { type KeyObject, verify } from 'node:crypto';
import { DEFAULT_CLASS, KEY_CLASSES, type KeyClass } from './key-class.ts';

/** What a token says of its holder. Ids are u64; logs and facts print the texts, because ids exceed 2^53. */
export interface KeyIdentity {
  readonly kid: number;
  readonly tenantId: bigint;
  readonly vpcId: bigint;
  /** Null for `bai_v1`. */
  readonly keyId: bigint | null;
  readonly keyClass: KeyClass;
  readonly tenantText: string;
  readonly vpcText: string;
  readonly keyText: string | null;
  /** The ids as the deny-set looks them up, without arithmetic on bigints. */
  readonly tenantWords: IdWords;
  readonly keyWords: IdWords | null;
}

/** A u64 in two int32. */
export interface IdWords {
  readonly low: number;
  readonly high: number;
}

/** @param id a u64 */
export function idWords(id: bigint): IdWords {
  return { low: Number(BigInt.asIntN(32, id)), high: Number(BigInt.asIntN(32, id >> 32n)) };
}

/** A token of sound grammar. Its claims are worth nothing until `signatureHolds`. */
export interface ParsedToken {
  readonly version: 1 | 2 | 3;
  readonly claims: KeyIdentity;
  /** Characters from the start of the token that the signature covers. */
  readonly signedLength: number;
}

/** Public keys by kid, made at boot (see `signing-keys.ts`). */
export type SigningKeys = ReadonlyMap<number, KeyObject>;

export const KID_MAX = 0xffff_ffff;

// 16 bytes are 21 characters and one that carries 2 bits of data, 64 bytes are 85 and one such: its other 4 bits are
// zero in A, Q, g and w only. 24 bytes are 32 characters without a rest. 32 bytes are 42 characters and one that carries
// 4 bits.
const V1 = /^bai_v1\.(0|[1-9][0-9]{0,9})\.([A-Za-z0-9_-]{21}[AQgw])\.[A-Za-z0-9_-]{85}[AQgw]$/;
const V2 = /^bai_v2\.(0|[1-9][0-9]{0,9})\.([A-Za-z0-9_-]{32})\.[A-Za-z0-9_-]{85}[AQgw]$/;
const V3 =
  /^bai_v3\.(0|[1-9][0-9]{0,9})\.([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])\.[A-Za-z0-9_-]{85}[AQgw]$/;

/** The longest token: `bai_v3.`, ten digits, 43 characters, 86 characters, two dots. */
export const TOKEN_MAX_CHARS = 148;
const SIGNATURE_CHARS = 86;

const CLASS_BYTE = 24;
const PAYLOAD_V3_BYTES = 32;

const GRAMMAR = { 1: V1, 2: V2, 3: V3 } as const;

/**
 * @param token the credential as it came, without `Bearer `
 * @returns null when it is not a canonical token of a known version, or names a class that is none
 */
export function parseToken(token: string): ParsedToken | null {
  if (token.length > TOKEN_MAX_CHARS) return null;
  const version = token.startsWith('bai_v3.') ? 3 : token.startsWith('bai_v2.') ? 2 : 1;
  const parts = GRAMMAR[version].exec(token);
  if (parts === null) return null;
  const kid = Number(parts[1]);
  if (kid > KID_MAX) return null;
  const payload = Buffer.from(parts[2] ?? '', 'base64url');
  const tenantId = payload.readBigUInt64LE(0);
  const vpcId = payload.readBigUInt64LE(8);
  const keyId = version === 1 ? null : payload.readBigUInt64LE(16);
  const keyClass = version === 3 ? classIn(payload) : DEFAULT_CLASS;
  if (keyClass === null) return null;
  return {
    version,
    claims: {
      kid,
      tenantId,
      vpcId,
      keyId,
      keyClass,
      tenantText: tenantId.toString(),
      vpcText: vpcId.toString(),
      keyText: keyId === null ? null : keyId.toString(),
      tenantWords: idWords(tenantId),
      keyWords: keyId === null ? null : idWords(keyId),
    },
    signedLength: token.length - SIGNATURE_CHARS - 1,
  };
}

/** @returns null when it is none, or what is behind it says something that nobody here understands */
function classIn(payload: Buffer): KeyClass | null {
  const padding = payload.subarray(CLASS_BYTE + 1, PAYLOAD_V3_BYTES);
  if (padding.some((byte) => byte !== 0)) return null;
  return KEY_CLASSES[(payload[CLASS_BYTE] ?? 0) - 1] ?? null;
}

/**
 * The one expensive step (0.14 ms): whoever calls it has resolved the kid and paid from the node's budget before.
 *
 * @param token the very string that `parsed` was parsed from
 * @param key the public key of the token's kid
 */
export function signatureHolds(token: string, parsed: ParsedToken, key: KeyObject): boolean {
  const signed = Buffer.from(token.slice(0, parsed.signedLength), 'latin1');
  return verify(null, signed, key, Buffer.from(token.slice(parsed.signedLength + 1), 'base64url'));
}

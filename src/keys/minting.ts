/**
 * The signer's side of managed tokens: used by `sluice keygen` and `sluice mint`, and by tests as the independent
 * counterpart of the gateway's verifier (another implementation of Ed25519 than the one that checks).
 */

import { createHash } from 'node:crypto';
import { getPublicKey, hashes, sign, utils } from '@noble/ed25519';
import { KEY_CLASSES, type KeyClass } from './key-class.ts';

// The library brings no hash of its own for its synchronous calls.
hashes.sha512 = (message) => new Uint8Array(createHash('sha512').update(message).digest());

/** What a token is to say; ids are u64, kid is u32. */
interface MintedClaims {
  readonly kid: number;
  readonly tenantId: bigint;
  readonly vpcId: bigint;
  /** Null makes a `bai_v1` token, an id a `bai_v2` one. */
  readonly keyId: bigint | null;
  /** Makes a `bai_v3` token, which has an id too. */
  readonly keyClass?: KeyClass;
}

/** @returns 32 bytes from the system's random source: an Ed25519 secret key (RFC 8032 §5.1.5) */
export function newSecretKey(): Uint8Array {
  return utils.randomSecretKey();
}

/** @returns the 32-byte public key of a 32-byte secret key */
export function publicKeyOf(secretKey: Uint8Array): Uint8Array {
  return getPublicKey(secretKey);
}

/**
 * Mints a token. The same claims give the same token every time: Ed25519 signatures hold no randomness.
 *
 * @param secretKey 32 bytes
 * @throws RangeError for an id beyond u64, and for a class without a key id
 */
export function mintToken(secretKey: Uint8Array, claims: MintedClaims): string {
  const { tenantId, vpcId, keyId, keyClass } = claims;
  if (keyId === null && keyClass !== undefined)
    throw new RangeError('a key with a class has an id');
  const ids = keyId === null ? [tenantId, vpcId] : [tenantId, vpcId, keyId];
  // Behind the ids, the class and seven bytes of zero.
  const payload = Buffer.alloc((ids.length + (keyClass === undefined ? 0 : 1)) * 8);
  for (const [i, id] of ids.entries()) payload.writeBigUInt64LE(id, i * 8);
  if (keyClass !== undefined) payload.writeUInt8(KEY_CLASSES.indexOf(keyClass) + 1, ids.length * 8);
  const unclassed = keyId === null ? 'bai_v1' : 'bai_v2';
  const version = keyClass === undefined ? unclassed : 'bai_v3';
  const signed = `${version}.${claims.kid}.${payload.toString('base64url')}`;
  const signature = sign(Buffer.from(signed, 'latin1'), secretKey);
  return `${signed}.${Buffer.from(signature).toString('base64url')}`;
}

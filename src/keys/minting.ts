/**
 * The signer's side of managed tokens: used by `sluice keygen` and `sluice mint`, and by tests as the independent
 * counterpart of the gateway's verifier (another implementation of Ed25519 than the one that checks).
 */

import { createHash } from 'node:crypto';
import { getPublicKey, hashes, sign, utils } from '@noble/ed25519';

// The library brings no hash of its own for its synchronous calls.
hashes.sha512 = (message) => new Uint8Array(createHash('sha512').update(message).digest());

/** What a token is to say; ids are u64, kid is u32. */
interface MintedClaims {
  readonly kid: number;
  readonly tenantId: bigint;
  readonly vpcId: bigint;
  /** Null makes a `bai_v1` token, an id a `bai_v2` one. */
  readonly keyId: bigint | null;
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
 * @throws RangeError for an id beyond u64
 */
export function mintToken(secretKey: Uint8Array, claims: MintedClaims): string {
  const ids =
    claims.keyId === null
      ? [claims.tenantId, claims.vpcId]
      : [claims.tenantId, claims.vpcId, claims.keyId];
  const payload = Buffer.alloc(ids.length * 8);
  for (const [i, id] of ids.entries()) payload.writeBigUInt64LE(id, i * 8);
  const version = claims.keyId === null ? 'bai_v1' : 'bai_v2';
  const signed = `${version}.${claims.kid}.${payload.toString('base64url')}`;
  const signature = sign(Buffer.from(signed, 'latin1'), secretKey);
  return `${signed}.${Buffer.from(signature).toString('base64url')}`;
}

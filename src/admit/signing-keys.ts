import { createPublicKey, type KeyObject } from 'node:crypto';
import { Point } from '@noble/ed25519';
import type { SigningKeys } from './virtual-key.ts';

const KEY_BYTES = 32;
// Either alphabet, with or without padding: tools differ in what they print, and 32 bytes are 32 bytes.
const BASE64 = /^(?:[A-Za-z0-9+/]{43}|[A-Za-z0-9_-]{43})=?$/;

/**
 * Reads 32 bytes of key material in base64 or base64url (RFC 4648 §4, §5).
 *
 * @returns null when the text is anything but a canonical spelling of 32 bytes
 */
export function readKeyBytes(text: string): Uint8Array | null {
  if (!BASE64.test(text)) return null;
  const bytes = Buffer.from(text, 'base64');
  const spelled = text.replaceAll('-', '+').replaceAll('_', '/').replace('=', '');
  const isCanonical = bytes.length === KEY_BYTES && bytes.toString('base64').startsWith(spelled);
  return isCanonical ? new Uint8Array(bytes) : null;
}

/**
 * Whether 32 bytes can be a public key at all. Worth its millisecond at boot: a mistyped key would else only show as 401
 * for everybody, and a point of small order has signatures that hold for every message and are easy to write down, so
 * whoever pasted a placeholder of zeros would have opened the gateway to anyone.
 *
 * @returns what to put there instead, or null when nothing is wrong
 */
export function publicKeyFault(bytes: Uint8Array): string | null {
  try {
    return Point.fromBytes(bytes).isSmallOrder()
      ? 'a key for which not everybody can sign: this one is weak, a placeholder perhaps'
      : null;
  } catch {
    return 'a public key as "sluice keygen" prints it: these 32 bytes are not a point of Ed25519 (RFC 8032 §5.1.3)';
  }
}

/**
 * Makes the keys that tokens are verified with.
 *
 * @param publicKeys kid to the 32 bytes of a public key (RFC 8032 §5.1.5) that has no fault
 */
export function signingKeys(publicKeys: ReadonlyMap<number, Uint8Array>): SigningKeys {
  return new Map([...publicKeys].map(([kid, bytes]) => [kid, publicKey(bytes)]));
}

function publicKey(bytes: Uint8Array): KeyObject {
  const x = Buffer.from(bytes).toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
}

import { createPublicKey, type KeyObject } from 'node:crypto';
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

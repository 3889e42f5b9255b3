import { createPublicKey, type KeyObject } from 'node:crypto';
import { Point } from '@noble/ed25519';
import { KID_MAX, type SigningKeys } from './virtual-key.ts';

const KID = /^(?:0|[1-9][0-9]{0,9})$/;
const KEY_BYTES = 32;
// Either alphabet, with or without padding: vendors' tools differ in what they print, and 32 bytes are 32 bytes.
const BASE64 = /^(?:[A-Za-z0-9+/]{43}|[A-Za-z0-9_-]{43})=?$/;

/**
 * Reads 32 bytes of key material in base64 (or base64url).
 *
 * @returns null when the text is anything but a canonical spelling of 32 bytes
 */
export function readKeyBytes(text: string): Buffer | null {
  if (!BASE64.test(text)) return null;
  const bytes = Buffer.from(text, 'base64');
  const spelled = text.replaceAll('-', '+').replaceAll('_', '/').replace('=', '');
  return bytes.length === KEY_BYTES && bytes.toString('base64').startsWith(spelled) ? bytes : null;
}

/**
 * Makes the keys that tokens are verified with, from the config's `[signing_keys]`. Runs at boot and on reload, about
 * 1 ms per key: the curve check is worth it there, because a mistyped key would only show as 401 for everybody.
 *
 * @param entries kid to base64 of the 32-byte public key (RFC 8032 §5.1.5)
 * @throws TypeError that names the kid and what was expected; never quotes the value, which may be a secret key
 *   pasted into the wrong place
 */
export function signingKeys(entries: Readonly<Record<string, string>>): SigningKeys {
  const keys = new Map<number, KeyObject>();
  for (const [kid, text] of Object.entries(entries)) {
    if (!KID.test(kid) || Number(kid) > KID_MAX) {
      throw new TypeError(
        `signing_keys: kid "${kid}" is not a decimal number from 0 to ${KID_MAX} without leading zeros`,
      );
    }
    const bytes = readKeyBytes(text);
    const fault = publicKeyFault(bytes);
    if (fault !== null || bytes === null) throw new TypeError(`signing_keys.${kid}: ${fault}`);
    keys.set(Number(kid), publicKey(bytes));
  }
  return keys;
}

// A point of small order makes signatures that hold for every message easy to write down: whoever pasted a
// placeholder of zeros would have opened the gateway to anyone.
function publicKeyFault(bytes: Buffer | null): string | null {
  if (bytes === null)
    return 'expected the base64 of a 32-byte Ed25519 public key (44 characters, as keygen prints it)';
  try {
    return Point.fromBytes(bytes).isSmallOrder()
      ? 'this key is weak: anyone could sign for it'
      : null;
  } catch {
    return 'these 32 bytes are not a point of Ed25519: a mistyped public key, or not a public key at all';
  }
}

function publicKey(bytes: Buffer): KeyObject {
  return createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') },
    format: 'jwk',
  });
}

import { Point } from '@noble/ed25519';

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

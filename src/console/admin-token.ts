/** Admin tokens: 256 random bits behind a prefix that scanners of leaked secrets can look for. The gateway knows their hash. */

import { createHash, randomBytes } from 'node:crypto';

const PREFIX = 'sat_';
const TOKEN_BYTES = 32;

/** What a token looks like; nothing else is hashed, so that a caller cannot make the gateway hash what it likes. */
const TOKEN = /^sat_[A-Za-z0-9_-]{43}$/;

export function newAdminToken(): string {
  return PREFIX + randomBytes(TOKEN_BYTES).toString('base64url');
}

export function isAdminToken(text: string): boolean {
  return TOKEN.test(text);
}

/** @returns SHA-256: what is random needs no slow hash, nobody can guess through its 2^256 */
export function adminTokenHash(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

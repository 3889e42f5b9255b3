/**
 * Looks for secrets in answers as somebody who wants them would: whole and in parts, as they are and as base64 or hex of them,
 * wherever in a longer text they begin.
 */

import { randomBytes } from 'node:crypto';

/** Characters of a part: of 60 random bits nothing is met by chance. */
const PART_CHARACTERS = 10;

/** Bytes that a secret may stand behind, as base64 counts them: it shows in three ways. */
const SHIFTS = [0, 1, 2];

/** @returns 240 random bits, without a character that another notation would write otherwise */
export function newSecret(): string {
  return randomBytes(30).toString('base64url');
}

export class SecretSearch {
  /** By its parts, whose they are. */
  readonly #parts = new Map<string, string>();

  /** @param secret random from its first to its last character. @returns it */
  add(name: string, secret: string): string {
    for (const form of formsOf(secret))
      for (const part of partsOf(form)) this.#parts.set(part, name);
    return secret;
  }

  /** @returns the names of the secrets of which a part stands in a text */
  in(text: string): readonly string[] {
    const found = new Set<string>();
    for (const part of partsOf(text)) {
      const name = this.#parts.get(part);
      if (name !== undefined) found.add(name);
    }
    return [...found];
  }
}

function formsOf(secret: string): readonly string[] {
  const shifted = SHIFTS.flatMap((bytes) => {
    const behind = Buffer.concat([Buffer.alloc(bytes), Buffer.from(secret)]);
    // The first characters are of what stands before it, the last ones of what stands behind.
    return (['base64', 'base64url'] as const).map((form) => behind.toString(form).slice(4, -4));
  });
  return [secret, ...shifted, Buffer.from(secret).toString('hex')];
}

function* partsOf(text: string): Generator<string> {
  for (let at = 0; at + PART_CHARACTERS <= text.length; at++)
    yield text.slice(at, at + PART_CHARACTERS);
}

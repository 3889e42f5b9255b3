import { isNamed } from './fields.ts';

/** Fields that hold a key and nothing else (contracts: where a caller's key may be). */
export const KEY_FIELDS: ReadonlySet<string> = new Set(['x-api-key', 'api-key', 'x-goog-api-key']);

const FIELDS: readonly string[] = ['authorization', ...KEY_FIELDS];

/** By their lengths, in bits: a set costs a look-up for each field of each message. */
const LENGTHS = FIELDS.reduce((bits, { length }) => bits | (1 << length), 0);

/** False for nearly every name that is none of a credential's, by its length alone. */
export function mayBeCredential({ length }: string): boolean {
  return ((LENGTHS >>> length) & 1) === 1;
}

/** True for a field that holds a credential, whatever it says. @param name in any case */
export function isCredentialField(name: string): boolean {
  if (!mayBeCredential(name)) return false;
  for (const field of FIELDS) if (isNamed(name, field)) return true;
  return false;
}

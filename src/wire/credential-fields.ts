/** Fields that hold a key and nothing else (contracts: where a caller's key may be). */
export const KEY_FIELDS: ReadonlySet<string> = new Set(['x-api-key', 'api-key', 'x-goog-api-key']);

/** Every other name is passed over by its length: lower case costs an allocation for each field of each response. */
export const CREDENTIAL_LENGTHS: ReadonlySet<number> = new Set(
  ['authorization', ...KEY_FIELDS].map(({ length }) => length),
);

/** True for a field that holds a credential, whatever it says. @param name in any case */
export function isCredentialField(name: string): boolean {
  if (!CREDENTIAL_LENGTHS.has(name.length)) return false;
  const lower = name.toLowerCase();
  return lower === 'authorization' || KEY_FIELDS.has(lower);
}

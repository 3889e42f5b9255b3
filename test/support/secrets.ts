/**
 * The secrets that a test has put into the gateway, and the eyes that look for them: every line it logs, every page of
 * metrics, every error and every response passes here, in the whole suite.
 */

const secrets = new Set<string>();

/** No shorter part of a secret is looked for: it could be anything. */
const PART_CHARACTERS = 12;

/** Remembers a secret; from now on it must not be seen anywhere. */
export function keepSecret<Text extends string>(secret: Text): Text {
  if (secret.length >= PART_CHARACTERS) secrets.add(secret);
  return secret;
}

/**
 * @param where what is being looked at
 * @throws Error when a secret, or an end of one that is long enough to be told, stands in `text`
 */
export function expectNoSecret(where: string, text: string | Buffer): void {
  for (const secret of secrets) {
    if (text.includes(secret) || text.includes(secret.slice(-2 * PART_CHARACTERS))) {
      throw new Error(`A secret ("${secret.slice(0, 6)}…") stands in ${where}.`);
    }
  }
}

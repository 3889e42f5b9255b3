import { readFileSync, writeFileSync } from 'node:fs';
import { readKeyBytes } from './signing-keys.ts';
import { KID_MAX } from './virtual-key.ts';

/** The secret half of a signing key: who holds it can mint tokens for every tenant. */
interface SigningSecret {
  readonly kid: number;
  /** 32 bytes (RFC 8032 §5.1.5). */
  readonly secretKey: Uint8Array;
}

/** Holds a signing secret when no file does. */
export const SECRET_VARIABLE = 'SLUICE_SIGNING_SECRET';

const NUMBER = /^(?:0|[1-9][0-9]{0,19})$/;

/**
 * Reads a decimal number as the grammar of tokens has it: no sign, no leading zero.
 * @throws Error that names the option
 */
export function readId(option: string, text: string | undefined, max: bigint): bigint {
  if (text !== undefined && NUMBER.test(text) && BigInt(text) <= max) return BigInt(text);
  throw new Error(`${option} takes a decimal number from 0 to ${max}.`);
}

/** Writes it as one line, `kid:base64`, so that the two cannot be mixed up later. */
function secretLine({ kid, secretKey }: SigningSecret): string {
  return `${kid}:${Buffer.from(secretKey).toString('base64')}\n`;
}

/**
 * Writes a secret to a new file that only its owner may read.
 * @throws Error when the file exists: a signing secret that was overwritten is gone
 */
export function writeSecret(file: string, secret: SigningSecret): void {
  try {
    writeFileSync(file, secretLine(secret), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason =
      code === 'EEXIST'
        ? 'it exists, and the secret in it would be lost. Choose another --out'
        : `${code}. Choose an --out that this user may write`;
    throw new Error(`Cannot write ${file}: ${reason}.`);
  }
}

/**
 * @param file null = from the environment
 * @throws Error that never quotes what was found
 */
export function readSecret(
  file: string | null,
  env: Readonly<Record<string, string | undefined>>,
): SigningSecret {
  const text = file === null ? env[SECRET_VARIABLE] : textOf(file);
  if (text === undefined || text === '') {
    throw new Error(
      `Name the file that "sluice keygen" wrote: --secret FILE (or ${SECRET_VARIABLE}).`,
    );
  }
  const [kid = '', key = '', ...more] = text.trimEnd().split(':');
  const secretKey = readKeyBytes(key);
  if (more.length > 0 || secretKey === null || !NUMBER.test(kid) || BigInt(kid) > KID_MAX) {
    throw new Error(
      `${file ?? SECRET_VARIABLE} holds no signing secret: expected one line, kid:base64, as "sluice keygen" writes it.`,
    );
  }
  return { kid: Number(kid), secretKey };
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    // A secret that was given in the place of its file's name must not be repeated.
    const shown = /^[0-9]+:/.test(file) ? 'the file' : file;
    throw new Error(
      `Cannot read ${shown} (${(error as NodeJS.ErrnoException).code}). --secret takes the name of a file.`,
    );
  }
}

/**
 * @throws Error when there are arguments beside the options; it does not repeat them, for they may be secrets
 */
export function noPositionals(command: string, positionals: readonly string[]): void {
  if (positionals.length > 0)
    throw new Error(`${command} takes options only: sluice ${command} --help lists them.`);
}

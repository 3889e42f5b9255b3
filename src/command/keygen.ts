import { parseArgs } from 'node:util';
import { newSecretKey, publicKeyOf } from '../keys/minting.ts';
import { noPositionals, readId, writeSecret } from '../keys/signing-secret.ts';
import { KID_MAX } from '../keys/virtual-key.ts';

/** Text of `sluice keygen --help`. */
export const KEYGEN_HELP = `sluice keygen --kid N [--out FILE]

Makes an Ed25519 key pair to sign virtual keys with. The secret half goes into a new file (default: signing-N.secret)
that only you may read; the public half is printed as the lines to paste into the gateway's configuration.

  --kid N      key id, 0 to ${KID_MAX}: part of every token, so that keys can be rotated. Take one that was never used
  --out FILE   where the secret goes; a file that exists is never overwritten`;

/**
 * `sluice keygen`: stdout gets the configuration and nothing else, stderr what to do with it.
 * @returns the exit code
 * @throws Error with one line that says what to do
 */
export function keygen(argv: readonly string[]): number {
  const options = { kid: { type: 'string' }, out: { type: 'string' } } as const;
  const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
  noPositionals('keygen', positionals);
  const kid = Number(readId('--kid', values.kid, BigInt(KID_MAX)));
  const file = values.out ?? `signing-${kid}.secret`;
  const secretKey = newSecretKey();
  writeSecret(file, { kid, secretKey });
  const shown = process.stdout.isTTY ? 'These lines belong' : 'What standard output got belongs';
  process.stderr.write(`The secret key is in ${file}. Keep it where tokens are minted; the gateway never needs it.
${shown} into the gateway's config.toml. One [signing_keys] holds all kids: where there is one, add only the line.

`);
  process.stdout.write(
    `[signing_keys]\n${kid} = "${Buffer.from(publicKeyOf(secretKey)).toString('base64')}"\n`,
  );
  process.stderr.write(`
Then mint a token for a tenant:  ./sluice mint --secret ${file} --tenant 1 --vpc 1
`);
  return 0;
}

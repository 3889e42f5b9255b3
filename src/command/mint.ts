import { parseArgs } from 'node:util';
import { KEY_CLASSES } from '../keys/key-class.ts';
import { mintToken } from '../keys/minting.ts';
import { noPositionals, readId, readSecret, SECRET_VARIABLE } from '../keys/signing-secret.ts';

const U64_MAX = 2n ** 64n - 1n;

/** Text of `sluice mint --help`. */
export const MINT_HELP = `sluice mint --tenant N --vpc N [--key N [--class CLASS]] [--secret FILE]

Mints a virtual key and prints it. The same numbers give the same key every time: nothing is stored anywhere.

  --tenant N      who pays: every usage fact carries it, and the deny-set cuts it off
  --vpc N         where it is used from: every usage fact carries it
  --key N         makes a bai_v2 key with an id of its own, so that it can be cut off by itself
  --class CLASS   makes a bai_v3 key, which says what kind of holder it has: ${KEY_CLASSES.join(', ')}. The
                  configuration's [classes] choose its policy by that; keys without one are of the class application
  --secret FILE   the file that "sluice keygen" wrote (default: the variable ${SECRET_VARIABLE}, same content)

All numbers are decimal, 0 to ${U64_MAX}.`;

/**
 * `sluice mint`: stdout gets the token and nothing else, stderr what to do with it.
 * @returns the exit code
 * @throws Error with one line that says what to do
 */
export function mint(argv: readonly string[]): number {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: {
      tenant: { type: 'string' },
      vpc: { type: 'string' },
      key: { type: 'string' },
      class: { type: 'string' },
      secret: { type: 'string' },
    },
    allowPositionals: true,
  });
  noPositionals('mint', positionals);
  const tenantId = readId('--tenant', values.tenant, U64_MAX);
  const vpcId = readId('--vpc', values.vpc, U64_MAX);
  const keyId = values.key === undefined ? null : readId('--key', values.key, U64_MAX);
  const keyClass = KEY_CLASSES.find((known) => known === values.class);
  if (values.class !== undefined && keyClass === undefined)
    throw new Error(`--class takes one of ${KEY_CLASSES.join(', ')}.`);
  if (keyClass !== undefined && keyId === null)
    throw new Error('--class needs --key: a key with a class has an id of its own.');
  const { kid, secretKey } = readSecret(values.secret ?? null, process.env);
  const token = mintToken(secretKey, {
    kid,
    tenantId,
    vpcId,
    keyId,
    ...(keyClass === undefined ? {} : { keyClass }),
  });
  process.stdout.write(`${token}\n`);
  process.stderr.write(`
Give it to the caller in place of a provider's key, with the gateway as base URL:
  OpenAI SDKs      OPENAI_API_KEY=<the key>     OPENAI_BASE_URL=http://localhost:8080/v1
  Anthropic SDKs   ANTHROPIC_API_KEY=<the key>  ANTHROPIC_BASE_URL=http://localhost:8080
The gateway takes it as soon as its [signing_keys] has kid ${kid}.
`);
  return 0;
}

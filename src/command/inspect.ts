import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { signingKeys } from '../keys/signing-keys.ts';
import { type ParsedToken, parseToken, signatureHolds } from '../keys/virtual-key.ts';

/** Text of `sluice inspect --help`. */
export const INSPECT_HELP = `sluice inspect TOKEN [--config FILE]
sluice inspect - [--config FILE]

Says what a virtual key holds, and whether this gateway's [signing_keys] verify it. With "-" the key is read from
standard input, which keeps it out of the shell's history. Exit code 0 when it verifies, 1 when it does not.`;

/** What `inspect` was asked. */
interface InspectAsked {
  readonly token: string;
  /** The configuration's path, or null for the usual places. */
  readonly config: string | null;
}

/** @throws Error when there is not exactly one token */
export function inspectArguments(argv: readonly string[]): InspectAsked {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: { config: { type: 'string' } },
    allowPositionals: true,
  });
  const [given, ...more] = positionals;
  if (given === undefined || more.length > 0) {
    throw new Error('inspect takes one token, or - to read it from standard input.');
  }
  const token = given === '-' ? readFileSync(0, 'utf8').trim() : given;
  return { token, config: values.config ?? null };
}

/**
 * `sluice inspect`. The token itself is never printed.
 * @param publicKeys the configuration's: kid to 32 bytes
 * @returns the exit code: 0 = the gateway takes it
 */
export function inspect(token: string, publicKeys: ReadonlyMap<number, Uint8Array>): number {
  const parsed = parseToken(token);
  const rows =
    parsed === null
      ? malformed(token)
      : [...claimRows(parsed), ...verdict(token, parsed, publicKeys)];
  for (const [name, value] of rows) process.stdout.write(`${name.padEnd(10)} ${value}\n`);
  return rows.some(([name, value]) => name === 'verifies' && value === 'yes') ? 0 : 1;
}

type Row = readonly [name: string, value: string];

function claimRows({ version, claims }: ParsedToken): readonly Row[] {
  return [
    ['version', `bai_v${version}`],
    ['kid', String(claims.kid)],
    ['tenant', claims.tenantText],
    ['vpc', claims.vpcText],
    ['key', claims.keyText ?? 'none: bai_v1 keys have no id, only their tenant can be cut off'],
    ['class', version === 3 ? claims.keyClass : `${claims.keyClass} (bai_v${version} says none)`],
  ];
}

function verdict(
  token: string,
  parsed: ParsedToken,
  publicKeys: ReadonlyMap<number, Uint8Array>,
): readonly Row[] {
  const { kid } = parsed.claims;
  const key = signingKeys(publicKeys).get(kid);
  if (key !== undefined && signatureHolds(token, parsed, key)) return [['verifies', 'yes']];
  const known = [...publicKeys.keys()].join(', ');
  const reason =
    key === undefined
      ? `kid ${kid} is not in [signing_keys], which has ${known === '' ? 'no keys' : known}`
      : `it was not signed with the secret of kid ${kid}, or it was changed since`;
  return [['verifies', `no: ${reason}`]];
}

/** Characters of a payload and of a signature. */
const PAYLOAD_CHARACTERS: ReadonlyMap<string, number> = new Map([
  ['bai_v1', 22],
  ['bai_v2', 32],
  ['bai_v3', 43],
]);
const SIGNATURE_CHARACTERS = 86;

/** Which part of it is not as it should be: seldom an attack, mostly a slip of copy and paste. */
function malformed(token: string): readonly Row[] {
  const [version = '', kid = '', payload = '', sig = '', ...more] = token.split('.');
  const characters = PAYLOAD_CHARACTERS.get(version);
  const reasons: readonly (readonly [isSo: boolean, reason: string])[] = [
    [characters === undefined, 'it does not begin with "bai_v1.", "bai_v2." or "bai_v3."'],
    [more.length > 0 || sig === '', 'it does not have four parts with dots between them'],
    [!/^(?:0|[1-9][0-9]*)$/.test(kid), 'its kid is not a decimal number without leading zeros'],
    [
      payload.length !== characters,
      `its payload has ${payload.length} characters, not ${characters}`,
    ],
    [
      sig.length !== SIGNATURE_CHARACTERS,
      `its signature has ${sig.length} characters, not ${SIGNATURE_CHARACTERS}: was all of it copied?`,
    ],
  ];
  const classFault =
    version === 'bai_v3' ? 'its class is none, or what stands behind it is not zero; else ' : '';
  const reason = reasons.find(([isSo]) => isSo)?.[1];
  return [
    [
      'verifies',
      `no: malformed: ${reason ?? `${classFault}it is not canonical base64url (RFC 4648 §5)`}`,
    ],
  ];
}

// What a virtual key costs at each step of its admission, and what a known one costs in memory: npm run bench:keys
import { createPublicKey, verify as verifyByNode } from 'node:crypto';
import { verify as verifyByNoble } from '@noble/ed25519';
import { CredentialHash } from '../../src/admit/credential-hash.ts';
import { createRateTable, RateGuard } from '../../src/admit/rate.ts';
import { createTokenTable } from '../../src/admit/token-table.ts';
import { VERIFIED_TOKENS_MAX, VerifiedTokens } from '../../src/admit/verified-tokens.ts';
import { mintToken, newSecretKey, publicKeyOf } from '../../src/keys/minting.ts';
import { signingKeys } from '../../src/keys/signing-keys.ts';
import { parseToken, signatureHolds } from '../../src/keys/virtual-key.ts';
import { printTable, writeSection } from '../results.ts';
import { taskTable } from './task-cost.ts';

const SECRET = newSecretKey();
const PUBLIC = publicKeyOf(SECRET);
const KID = 7;
const mint = (tenant: number): string =>
  mintToken(SECRET, { kid: KID, tenantId: BigInt(tenant), vpcId: 99n, keyId: null });

const unlimited = { admitVerify: () => 0 };
const keys = signingKeys(new Map([[KID, PUBLIC]]));
const token = mint(42);
const cut = token.lastIndexOf('.');
const signed = Buffer.from(token.slice(0, cut), 'latin1');
const signature = Buffer.from(token.slice(cut + 1), 'base64url');
const nodeKey = createPublicKey({
  key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(PUBLIC).toString('base64url') },
  format: 'jwk',
});

const known = new VerifiedTokens(keys, unlimited, createTokenTable());
known.check(token);
/** Remembers two: with three in turn, each is unknown again when it comes, but the node knows it. */
const forgetful = new VerifiedTokens(keys, unlimited, createTokenTable(), 2);
const three = [mint(1), mint(2), mint(3)];
const hash = new CredentialHash(1, 2);
const open = new RateGuard(
  createRateTable({ credentialRps: 1_000_000, byoRps: 1_000_000, verifyRps: 1_000_000 }),
);
const shut = new RateGuard(createRateTable({ credentialRps: 1, byoRps: 1, verifyRps: 1 }));
const many = Array.from({ length: 10_000 }, (_, i) => `sk-credential-number-${i}`);
let turn = 0;

function verifyCold(): boolean {
  const parsed = parseToken(token);
  return parsed !== null && signatureHolds(token, parsed, nodeKey);
}

await taskTable('keys', 'A virtual key, step by step', [
  { name: 'grammar of a token', run: () => parseToken(token) },
  {
    name: 'signature, node:crypto',
    run: () => verifyByNode(null, signed, nodeKey, signature),
  },
  { name: 'signature, @noble/ed25519', run: () => verifyByNoble(signature, signed, PUBLIC) },
  { name: 'verify, cold: a token never seen', run: verifyCold },
  {
    name: 'verify, known to another worker',
    run: () => forgetful.check(three[turn++ % 3] ?? ''),
  },
  { name: 'verify, cached: a known token', run: () => known.check(token) },
  { name: 'hash of a token', run: () => hash.update(token) },
  { name: 'rate guard: a token within its limit', run: () => open.admitCredential(token) },
  { name: 'rate guard: a token over its limit', run: () => shut.admitCredential(token) },
  {
    name: 'rate guard: 10,000 keys in turn',
    run: () => open.admitCredential(many[turn++ % 10_000] ?? ''),
  },
  { name: 'rate guard: the bucket of all BYO traffic', run: () => open.admitByo() },
]);

if (globalThis.gc !== undefined) {
  const heap = (): number => {
    globalThis.gc?.();
    return process.memoryUsage().heapUsed;
  };
  const tokens = Array.from({ length: 4_096 }, (_, i) => mint(i));
  const table = new VerifiedTokens(keys, unlimited, createTokenTable());
  const before = heap();
  for (const one of tokens) table.check(one);
  const each = (heap() - before) / tokens.length;
  const rows = [
    { name: 'a known token', bytes: each },
    {
      name: `${VERIFIED_TOKENS_MAX} of them, the most a worker keeps`,
      bytes: each * VERIFIED_TOKENS_MAX,
    },
  ];
  printTable(
    'Memory of known tokens',
    [
      { title: '', cell: ({ name }) => name },
      { title: 'bytes', cell: ({ bytes }) => Math.round(bytes).toLocaleString('en') },
    ],
    rows,
  );
  writeSection('micro.known-tokens', { rows });
}

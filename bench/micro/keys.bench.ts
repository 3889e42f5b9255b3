// What a virtual key costs at each step of its admission, and what a known one costs in memory.
// node --expose-gc bench/micro/keys.bench.ts
import { createPublicKey, verify as verifyByNode } from 'node:crypto';
import { verify as verifyByNoble } from '@noble/ed25519';
import { Bench } from 'tinybench';
import { CredentialHash } from '../../src/admit/credential-hash.ts';
import { createRateTable, RateGuard } from '../../src/admit/rate.ts';
import { signingKeys } from '../../src/admit/signing-keys.ts';
import { VERIFIED_TOKENS_MAX, VerifiedTokens } from '../../src/admit/verified-tokens.ts';
import { parseToken } from '../../src/admit/virtual-key.ts';
import { mintToken, newSecretKey, publicKeyOf } from '../../src/keys/minting.ts';

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

const known = new VerifiedTokens(keys, unlimited);
known.check(token);
const hash = new CredentialHash(1, 2);
const open = new RateGuard(
  createRateTable({ credentialRps: 1_000_000, byoRps: 1_000_000, verifyRps: 1_000_000 }),
);
const shut = new RateGuard(createRateTable({ credentialRps: 1, byoRps: 1, verifyRps: 1 }));
const many = Array.from({ length: 10_000 }, (_, i) => `sk-credential-number-${i}`);
let turn = 0;

const bench = new Bench({ time: 500, warmupTime: 200 });
bench
  .add('grammar of a token', () => void parseToken(token))
  .add('signature, node:crypto', () => void verifyByNode(null, signed, nodeKey, signature))
  .add('signature, @noble/ed25519', () => void verifyByNoble(signature, signed, PUBLIC))
  .add('a known token', () => void known.check(token))
  .add('hash of a token', () => hash.update(token))
  .add('rate guard: a token within its limit', () => void open.admitCredential(token))
  .add('rate guard: a token over its limit', () => void shut.admitCredential(token))
  .add(
    'rate guard: 10,000 keys in turn',
    () => void open.admitCredential(many[turn++ % 10_000] ?? ''),
  )
  .add('rate guard: the bucket of all BYO traffic', () => void open.admitByo());
await bench.run();

for (const { name, result } of bench.tasks) {
  if (!('latency' in result)) throw new Error(`${name} did not finish`);
  const ns = result.latency.p50 * 1e6;
  process.stdout.write(`${name.padEnd(44)} ${ns.toFixed(0).padStart(9)} ns\n`);
}

if (globalThis.gc !== undefined) {
  const heap = (): number => {
    globalThis.gc?.();
    return process.memoryUsage().heapUsed;
  };
  const tokens = Array.from({ length: 4_096 }, (_, i) => mint(i));
  const table = new VerifiedTokens(keys, unlimited);
  const before = heap();
  for (const one of tokens) table.check(one);
  const each = (heap() - before) / tokens.length;
  const all = ((each * VERIFIED_TOKENS_MAX) / 1_048_576).toFixed(0);
  process.stdout.write(
    `\na known token takes ${each.toFixed(0)} bytes; ${VERIFIED_TOKENS_MAX} take ${all} MiB a worker\n`,
  );
}

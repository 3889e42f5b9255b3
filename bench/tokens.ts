import { createPrivateKey, sign } from 'node:crypto';
import { token } from '../test/support/managed.ts';

/** RFC 8410 §7: what stands before the 32 bytes of an Ed25519 secret key in PKCS#8. */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
/** The key of `test/support/managed.ts`, which the gateways of a bench verify with. */
const SECRET = Buffer.alloc(32, 1);
const KEY = createPrivateKey({
  key: Buffer.concat([PKCS8, SECRET]),
  format: 'der',
  type: 'pkcs8',
});
const KID = 7;
const VPC = 99;

/** Another way to mint than the command's, which takes 2 ms a token: this one takes 0.04. */
function mint(tenant: number): string {
  const payload = Buffer.alloc(16);
  payload.writeBigUInt64LE(BigInt(tenant), 0);
  payload.writeBigUInt64LE(BigInt(VPC), 8);
  const signed = `bai_v1.${KID}.${payload.toString('base64url')}`;
  return `${signed}.${sign(null, Buffer.from(signed, 'latin1'), KEY).toString('base64url')}`;
}

/** Callers who are few ask in turn; a worker remembers all of their tokens, so the order makes no difference. */
const IN_TURN_MAX = 32_768;

/**
 * Who asks when `keys` callers do, each as often as the others, in no order. Only those that are drawn are minted: a
 * million callers who ask a hundred thousand times are at most so many tokens.
 *
 * @param draws requests until the sequence begins anew
 */
export function tokens(keys: number, draws: number): readonly string[] {
  if (mint(42) !== token({ tenantId: 42n, vpcId: BigInt(VPC) })) throw new Error('minted wrongly');
  if (keys <= IN_TURN_MAX) return Array.from({ length: keys }, (_, tenant) => mint(tenant));
  const minted = new Map<number, string>();
  return Array.from({ length: draws }, (_, draw) => {
    const tenant = Math.floor(fraction(draw) * keys);
    const known = minted.get(tenant) ?? mint(tenant);
    minted.set(tenant, known);
    return known;
  });
}

/** The same for each run, and spread well: multiples of the golden ratio would be too even, so they are mixed once. */
function fraction(index: number): number {
  let hash = Math.imul(index + 1, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return ((hash ^ (hash >>> 13)) >>> 0) / 2 ** 32;
}

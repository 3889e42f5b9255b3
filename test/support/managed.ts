import type { KeyClass } from '../../src/keys/key-class.ts';
import { mintToken, publicKeyOf } from '../../src/keys/minting.ts';
import type { Gateway, LogLine } from './gateway.ts';
import { keepSecret } from './secrets.ts';

/** The contract's test key: 32 bytes of 0x01. */
const SECRET_KEY = new Uint8Array(32).fill(1);
const KID = 7;

interface Claims {
  readonly tenantId?: bigint;
  readonly vpcId?: bigint;
  /** Makes a `bai_v2` token. */
  readonly keyId?: bigint;
  /** Makes a `bai_v3` token, of key 0 unless another is named. */
  readonly keyClass?: KeyClass;
}

/** A token that `signingKeys()` verifies. */
export function token({ tenantId = 42n, vpcId = 99n, keyId, keyClass }: Claims = {}): string {
  const claims = { kid: KID, tenantId, vpcId };
  return keepSecret(
    keyClass === undefined
      ? mintToken(SECRET_KEY, { ...claims, keyId: keyId ?? null })
      : mintToken(SECRET_KEY, { ...claims, keyId: keyId ?? 0n, keyClass }),
  );
}

/** The config table that verifies `token()`. */
export function signingKeys(): string {
  return `[signing_keys]\n${KID} = "${Buffer.from(publicKeyOf(SECRET_KEY)).toString('base64')}"\n`;
}

/** The config table that gives each provider its pool keys. */
export function poolKeys(keys: Readonly<Record<string, string | readonly string[]>>): string {
  for (const key of Object.values(keys).flat()) keepSecret(key);
  const lines = Object.entries(keys).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
  return `[pool_keys]\n${lines.join('\n')}\n`;
}

/** The usage facts that the gateway has printed so far. */
export function facts(gateway: Gateway): readonly LogLine[] {
  return gateway.events('ai.usage');
}

/** The fact of one response, once it is there. */
export async function factOf(
  gateway: Gateway,
  requestId: string | null | undefined,
): Promise<LogLine> {
  return await gateway.waitForLog(
    (line) => line['event'] === 'ai.usage' && line['request_id'] === requestId,
  );
}

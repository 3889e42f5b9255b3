import { publicKeyOf } from '../../src/keys/minting.ts';
import { authorities } from '../../test/support/gateway.ts';
import { poolKeys } from '../../test/support/managed.ts';
import type { UpstreamPorts } from './messages.ts';
import { MOCKED } from './order.ts';

/** What disturbances change of the gateway's configuration. */
export interface Variable {
  /** Signing keys that verify. */
  readonly kids: readonly number[];
  /** Of the provider keys that virtual keys are swapped for. */
  readonly poolGeneration: number;
  /** Which of the two mocks the vendors are. */
  readonly mock: 'mockA' | 'mockB';
}

export const FIRST: Variable = { kids: [1], poolGeneration: 1, mock: 'mockA' };

/** Tests' own signing keys: nothing else is signed with them. */
export const secretOf = (kid: number): Uint8Array => new Uint8Array(32).fill(kid % 256);

/** Refusals of larger bodies are part of the traffic; known bytes have at most 64 MiB. */
const LARGEST_BODY = '80MiB';
/** Far above what a tenant asks for: the guardrail is at work and refuses nobody. */
const TENANT_RPS = 1_000;

export function gatewayConfig(ports: UpstreamPorts, natsUrl: string, variable: Variable): string {
  const { kids, poolGeneration, mock } = variable;
  const vendors = Object.fromEntries(MOCKED.map((name) => [name, ports[mock]]));
  const pool = [`sk-pool-${poolGeneration}-one-of-two`, `sk-pool-${poolGeneration}-two-of-two`];
  const names = [...MOCKED, 'long'];
  const keys = kids.map(
    (kid) => `${kid} = "${Buffer.from(publicKeyOf(secretOf(kid))).toString('base64')}"`,
  );
  return (
    `workers = 2\naccess_log = true\nmax_request_body_bytes = "${LARGEST_BODY}"\n` +
    `rate_limit_rps = ${TENANT_RPS}\nbyo_rate_limit_rps = ${10 * TENANT_RPS}\n` +
    // The number of an order stands in its stream's path.
    `managed_prefixes = ["/streams/{name}"]\nnats_url = "${natsUrl}"\nshutdown_grace_secs = 5\n` +
    authorities({ ...vendors, long: ports.streams, bytes: ports.bytes }) +
    poolKeys(Object.fromEntries(names.map((name) => [name, pool]))) +
    `[signing_keys]\n${keys.join('\n')}\n`
  );
}

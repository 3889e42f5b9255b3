import { expect } from 'vitest';
import { authorities, type Gateway, startGateway } from './gateway.ts';
import { poolKeys, signingKeys } from './managed.ts';
import { NEIGHBOUR_PROVIDER, neighbourly } from './neighbour.ts';
import {
  type Script,
  type ScriptedUpstream,
  startUpstream,
  type UpstreamOptions,
} from './scripted-upstream.ts';

/** A gateway to attack, with a provider to reach through it and another one for its neighbours. */
export interface Siege {
  readonly gateway: Gateway;
  /** The provider `openai`, `anthropic` and `groq`. */
  readonly upstream: ScriptedUpstream;
  close(): Promise<void>;
}

interface SiegeOptions extends UpstreamOptions {
  /** Config lines, before any table. */
  readonly config?: string;
  /** Lines of the table of authorities: further providers. */
  readonly providers?: string;
  readonly poolKeys?: Readonly<Record<string, string>>;
  readonly nodeArgs?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** @param script of the provider that is reached through the gateway */
export async function startSiege(script: Script, options: SiegeOptions = {}): Promise<Siege> {
  const { config = '', providers = '', nodeArgs = [], env = {} } = options;
  const upstream = await startUpstream(script, options);
  const beside = await startUpstream(neighbourly);
  const { port } = upstream;
  const rows = { openai: port, anthropic: port, groq: port, [NEIGHBOUR_PROVIDER]: beside.port };
  const pool = {
    openai: 'sk-pool-openai',
    anthropic: 'sk-pool-anthropic',
    [NEIGHBOUR_PROVIDER]: 'sk-pool-neighbour',
    ...options.poolKeys,
  };
  const gateway = await startGateway({
    config: `workers = 1\naccess_log = true\n${config}\n${authorities(rows)}${providers}\n${poolKeys(pool)}${signingKeys()}`,
    nodeArgs,
    env,
  });
  return {
    gateway,
    upstream,
    async close() {
      await gateway.stop();
      await upstream.close();
      await beside.close();
    },
  };
}

/** Nothing is left of what was done to it: no exchange, no stream, no dead worker, no word on stderr. */
export async function expectUnharmed(gateway: Gateway): Promise<void> {
  const metrics = await gateway.idle();
  expect(metrics.get('ai_active_streams')).toBe(0);
  expect(metrics.sum('ai_exchanges_settled_total')).toBe(metrics.get('ai_requests_total'));
  expect(metrics.get('ai_worker_restarts_total')).toBe(0);
  expect(metrics.get('ai_rejections_total{reason="internal_error"}')).toBe(0);
  expect(gateway.stderr).toBe('');
}

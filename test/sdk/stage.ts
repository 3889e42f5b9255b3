import { type RunningMock, startMock } from '../../src/mock/server.ts';

import { until } from '../support/conditions.ts';
import { authorities, type Gateway, type LogLine, startGateway } from '../support/gateway.ts';
import { facts, poolKeys, signingKeys, token } from '../support/managed.ts';
import {
  type DenyWriter,
  denyWriter,
  NATS_MISSING,
  type NatsServer,
  startNats,
} from '../support/nats.ts';
import { isOwn, type Lane } from './cases.ts';
import { routedTables } from './routes.ts';

/** A body over it is refused; all the others of the matrix are far smaller. */
export const LIMIT_BYTES = 65_536;

/** Whose keys are made: the tenant that may call, and those that may not. */
export const TENANTS = { calls: 42n, spent: 402n, 'cut-off': 403n, budget: 404n } as const;

/** Everything that the clients talk to: a mock provider, the gateway, and one gateway whose guardrail is narrow. */
export class Stage {
  readonly mock: RunningMock;
  /** What the mock billed to the pool key, as the facts must have it: model, tokens in, tokens out. */
  readonly bills: readonly Bill[];
  readonly gateway: Gateway;
  readonly narrow: Gateway;
  /** The one whose routes lead to providers of every wire. */
  readonly routed: Gateway;
  readonly #spare: RunningMock;
  readonly #nats: Nats | null;

  constructor(parts: Parts) {
    this.mock = parts.mock;
    this.bills = parts.bills;
    this.gateway = parts.gateway;
    this.narrow = parts.narrow;
    this.routed = parts.routed;
    this.#spare = parts.spare;
    this.#nats = parts.nats;
  }

  /** The gateway that a lane's calls go through. */
  gatewayOf(lane: Lane): Gateway {
    return isOwn(lane) ? this.gateway : this.routed;
  }

  /** The facts printed so far, the narrow gateway's aside. */
  facts(): readonly LogLine[] {
    return [...facts(this.gateway), ...facts(this.routed)];
  }

  /** Resolves once nobody that a route leads to rests behind a failure: what failed for one client is asked by the next. */
  async rested(): Promise<void> {
    const url = `http://127.0.0.1:${this.routed.metricsPort}/targets`;
    await until('every target to be asked again', async () => {
      const { targets } = (await (await fetch(url)).json()) as Targets;
      return targets.every(({ wait_ms }) => wait_ms === 0);
    });
  }

  async stop(): Promise<void> {
    await Promise.all([this.gateway.stop(), this.narrow.stop(), this.routed.stop()]);
    await Promise.all([this.mock.close(), this.#spare.close()]);
    await this.#nats?.writer.close();
    await this.#nats?.server.kill();
  }
}

interface Targets {
  readonly targets: readonly { readonly wait_ms: number }[];
}

interface Nats {
  readonly server: NatsServer;
  readonly writer: DenyWriter;
}

/** One line of the provider's books. */
type Bill = readonly [model: string, input: number, output: number];

interface Parts {
  readonly mock: RunningMock;
  readonly bills: readonly Bill[];
  /** What is behind the narrow gateway: its calls are not among those that are added up. */
  readonly spare: RunningMock;
  readonly gateway: Gateway;
  readonly narrow: Gateway;
  readonly routed: Gateway;
  readonly nats: Nats | null;
}

/** Long enough to be looked for in all that the gateway says. */
const POOL_KEY = 'sk-pool-of-the-matrix';

/** A mock provider that keeps books of what its pool key had. */
async function startProvider(bills: Bill[]): Promise<RunningMock> {
  return await startMock({
    host: '127.0.0.1',
    port: 0,
    eventDelayMs: 0,
    billed: ({ fields, model }, { input, output }) => {
      const key =
        fields['x-api-key'] ??
        fields['x-goog-api-key'] ??
        fields.authorization?.replace('Bearer ', '');
      if (key === POOL_KEY) bills.push([model, input, output]);
    },
  });
}

export async function startStage(): Promise<Stage> {
  const bills: Bill[] = [];
  const [mock, spare, nats] = await Promise.all([
    startProvider(bills),
    startProvider([]),
    startDenials(),
  ]);
  const deny = nats === null ? '' : `nats_url = "${nats.server.url}"\n`;
  const [gateway, narrow, routed] = await Promise.all([
    startGateway({
      config: `workers = 1\nmax_request_body_bytes = ${LIMIT_BYTES}\naccess_log = true\n${deny}${tables(mock.port)}${BUDGETS}`,
    }),
    startGateway({
      config: `workers = 1\nrate_limit_rps = 1\nbyo_rate_limit_rps = 1\n${tables(spare.port)}`,
    }),
    startGateway({ config: `workers = 1\n${routedTables(mock.port, POOL_KEY)}` }),
  ]);
  if (nats !== null) await gateway.waitForLog(({ event }) => event === 'deny_set_synced');
  return new Stage({ mock, bills, spare, gateway, narrow, routed, nats });
}

async function startDenials(): Promise<Nats | null> {
  if (NATS_MISSING !== null) return null;
  const server = await startNats();
  const writer = await denyWriter(server);
  await writer.tenant(TENANTS.spent, 'spend');
  await writer.tenant(TENANTS['cut-off'], 'fraud');
  return { server, writer };
}

/** What a refused caller may ask for instead: it costs nothing, and `auto` leads to it. */
export const ALTERNATIVE = 'openai/gpt-5-mini';
/** USD a day: less than any request but those. */
export const BUDGET_USD = '0.000001';

/** A tenant whose budget is less than nearly any request. */
const BUDGETS = `[prices."${ALTERNATIVE}"]\nfree = true\n[tenants.${TENANTS.budget}]\npolicy = "broke"\n[policies.broke]\nbudget_usd_per_day = "${BUDGET_USD}"\n`;

/** Port 9 is discard: nobody listens there. */
function tables(port: number): string {
  const rows = { openai: port, anthropic: port, poolless: port, poolless_ant: port };
  const dialects = '[provider_dialects]\nclosed_ant = "anthropic"\npoolless_ant = "anthropic"\n';
  const pool = { openai: POOL_KEY, anthropic: POOL_KEY, closed: POOL_KEY, closed_ant: POOL_KEY };
  return `${authorities({ ...rows, closed: 9, closed_ant: 9 })}${dialects}${poolKeys(pool)}${signingKeys()}`;
}

/** A virtual key of one call: its id is in the fact that the call leaves. */
export function virtualKey(id: number, tenantId: bigint): string {
  return token({ tenantId, keyId: BigInt(id) });
}

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { mintToken } from '../../src/keys/minting.ts';
import { until } from '../../test/support/conditions.ts';
import { type Gateway, type LogLine, startGateway } from '../../test/support/gateway.ts';
import {
  type DenyWriter,
  denyWriter,
  type NatsServer,
  startNats,
} from '../../test/support/nats.ts';
import { keepSecret } from '../../test/support/secrets.ts';
import { FIRST, gatewayConfig, secretOf, type Variable } from './gateway-config.ts';
import { PROBE_TENANT } from './ledger.ts';
import type { FromLoad, FromUpstream, ToLoad, ToUpstream, UpstreamPorts } from './messages.ts';

/** What the stage tells while it stands. */
export interface Audience {
  seen(message: Extract<FromUpstream, { kind: 'seen' }>): void;
  load(message: FromLoad): void;
}

/** A place between the load and the gateway, for tests that must see the soak fail. */
export type Doorstep = (gatewayPort: number) => Promise<number>;

/** Everything that the soak runs, each a process of its own: nats-server, providers, gateway, clients. */
export class Stage {
  readonly nats: NatsServer;
  readonly gateway: Gateway;
  readonly #ports: UpstreamPorts;
  readonly #upstream: ChildProcess;
  #load: ChildProcess | null = null;
  #writer: DenyWriter;
  #variable: Variable = FIRST;
  #upstreamRestarts = 0;

  constructor(
    nats: NatsServer,
    gateway: Gateway,
    ports: UpstreamPorts,
    upstream: ChildProcess,
    writer: DenyWriter,
    audience: Audience,
  ) {
    this.nats = nats;
    this.gateway = gateway;
    this.#ports = ports;
    this.#upstream = upstream;
    this.#writer = writer;
    upstream.on('message', (message: FromUpstream) => {
      if (message.kind === 'seen') audience.seen(message);
      else if (message.kind === 'restarted') this.#upstreamRestarts++;
    });
    this.keepTokens(FIRST.kids);
  }

  get variable(): Variable {
    return this.#variable;
  }

  get writer(): DenyWriter {
    return this.#writer;
  }

  /** Clients begin. */
  startLoad(port: number, seed: number, rate: number, audience: Audience): void {
    const load = forked('load.ts', [port, seed, rate]);
    load.on('message', (message: FromLoad) => audience.load(message));
    this.#load = load;
  }

  tellLoad(message: ToLoad): void {
    this.#load?.send(message);
  }

  /** Whether a process of the stage has ended that should not have. */
  get casualties(): readonly string[] {
    const all = { gateway: this.gateway.child, upstream: this.#upstream, load: this.#load };
    return Object.entries(all)
      .filter(
        ([, child]) => child !== null && (child.exitCode !== null || child.signalCode !== null),
      )
      .map(([name, child]) => `${name} ended (${child?.exitCode ?? child?.signalCode})`);
  }

  /** The gateway takes another configuration, while it runs. */
  async change(change: Partial<Variable>): Promise<void> {
    this.#variable = { ...this.#variable, ...change };
    this.keepTokens(this.#variable.kids);
    await this.gateway.reload(gatewayConfig(this.#ports, this.nats.url, this.#variable));
  }

  /** A configuration that is wrong: everything must stay as it is. */
  async spoil(): Promise<void> {
    const right = gatewayConfig(this.#ports, this.nats.url, this.#variable);
    await this.gateway.reload(`no_such_key = 1\n${right}`, 'config_reload_failed');
    await this.gateway.reload(right);
  }

  async restartUpstream(): Promise<void> {
    const before = this.#upstreamRestarts;
    const message: ToUpstream = { kind: 'restart' };
    this.#upstream.send(message);
    await until('the upstream to be back', () => this.#upstreamRestarts > before);
  }

  /** A hand that is connected again, after NATS was away. */
  async writeAnew(): Promise<void> {
    await this.#writer.close().catch(() => {});
    this.#writer = await denyWriter(this.nats);
  }

  /** Of some tenants: none may be seen in anything that the gateway prints. */
  keepTokens(kids: readonly number[]): void {
    for (const kid of kids)
      for (let tenant = 0; tenant < 5; tenant++) keepSecret(tokenOf(kid, tenant));
  }

  async close(): Promise<void> {
    for (const child of [this.#load, this.#upstream]) {
      if (child === null || child.exitCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await this.#writer.close().catch(() => {});
    await this.gateway.stop();
    await this.nats.kill();
  }
}

/** @param lines sees each line of the gateway's log; what it takes is not kept */
export async function openStage(
  seed: number,
  takes: (line: LogLine) => boolean,
  audience: Audience,
): Promise<Stage> {
  const nats = await startNats();
  const writer = await denyWriter(nats);
  const upstream = forked('upstream.ts', [seed]);
  const ports = await portsOf(upstream);
  const gateway = await startGateway({ config: gatewayConfig(ports, nats.url, FIRST), takes });
  return new Stage(nats, gateway, ports, upstream, writer, audience);
}

export const tokenOf = (kid: number, tenant: number): string =>
  mintToken(secretOf(kid), { kid, tenantId: BigInt(tenant), vpcId: 1n, keyId: null });

/** The key by which the soak looks whether a deny holds. */
export const probeKey = (kid: number): string => tokenOf(kid, PROBE_TENANT);

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

function forked(script: string, args: readonly number[]): ChildProcess {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const child = fork(path, args.map(String), { execArgv: [] });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

async function portsOf(upstream: ChildProcess): Promise<UpstreamPorts> {
  const [first] = (await once(upstream, 'message')) as FromUpstream[];
  if (first?.kind !== 'ports') throw new Error('the upstream did not say where it is');
  return first.ports;
}

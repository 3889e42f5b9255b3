import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type KV, type NatsConnection } from 'nats';
import { denyKey } from '../../src/deny/deny-entry.ts';
import { until } from './conditions.ts';
import { freePort } from './free-port.ts';

const PLACES = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
const BINARY = PLACES.map((folder) => join(folder, 'nats-server')).find((path) => existsSync(path));

/** Why a test that needs NATS cannot run here, or null when it can. Hand it to `ctx.skip`. */
export const NATS_MISSING: string | null =
  BINARY === undefined
    ? 'needs nats-server, which is not installed (apt-get install nats-server)'
    : null;

export const BUCKET = 'ai-gateway';

/** A real nats-server with JetStream on a folder of its own. */
export class NatsServer {
  readonly port: number;
  /** How a client of it connects. */
  readonly client: ConnectionOptions;
  readonly #file: string;
  #child: ChildProcess | null = null;

  /**
   * @param extra lines of its configuration
   * @param client what a client needs beside the address
   */
  constructor(port: number, extra: string, client: ConnectionOptions) {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-nats-'));
    this.port = port;
    this.client = { ...client, servers: `nats://127.0.0.1:${port}` };
    this.#file = join(folder, 'nats.conf');
    writeFileSync(
      this.#file,
      `listen: "127.0.0.1:${port}"\njetstream { store_dir: "${folder}" }\n${extra}\n`,
    );
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  async start(): Promise<this> {
    const child = spawn(BINARY ?? 'nats-server', ['-c', this.#file], { stdio: 'ignore' });
    this.#child = child;
    running.add(child);
    const warden = killedWithUs(child);
    child.once('exit', () => {
      warden.kill('SIGKILL');
      running.delete(child);
    });
    await until('nats-server to listen', async () => {
      const connection = await connect({ ...this.client, reconnect: false }).catch(() => null);
      await connection?.close();
      return connection !== null;
    });
    return this;
  }

  /** Ends it without a word, as a machine that loses power does; what it stored stays. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Stops it in its tracks: connections stay open, and nothing answers. */
  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }
}

/** A shell that waits for our end, which closes its input however it comes, and then ends the child. */
function killedWithUs({ pid }: ChildProcess): ChildProcess {
  const script = 'cat > /dev/null; kill -9 $0';
  const warden = spawn('sh', ['-c', script, String(pid)], { stdio: ['pipe', 'ignore', 'ignore'] });
  warden.unref();
  return warden;
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export async function startNats(extra = '', client: ConnectionOptions = {}): Promise<NatsServer> {
  return await new NatsServer(await freePort(), extra, client).start();
}

/** Three servers that keep a bucket together; the name of each is `n` and its index. */
export class NatsCluster {
  readonly servers: readonly NatsServer[];
  readonly connection: NatsConnection;
  readonly kv: KV;

  constructor(servers: readonly NatsServer[], connection: NatsConnection, kv: KV) {
    this.servers = servers;
    this.connection = connection;
    this.kv = kv;
  }

  /** The index of the server that leads the bucket. */
  async leader(): Promise<number> {
    const manager = await this.connection.jetstreamManager();
    const { cluster } = await manager.streams.info(`KV_${BUCKET}`);
    return Number(cluster?.leader?.slice(1));
  }

  /** Writes as soon as the bucket takes it, however often that must be tried. */
  async put(tenant: bigint, value: string): Promise<void> {
    await until('the bucket to take it', async () => {
      const jetstream = this.connection.jetstream({ timeout: 500 });
      const subject = `$KV.${BUCKET}.${denyKey('tenant', tenant)}`;
      return await jetstream.publish(subject, value, { timeout: 500 }).then(
        () => true,
        () => false,
      );
    });
  }

  /**
   * Ends all servers but one, which elects nobody.
   * @returns that one, as soon as it knows that it has no leader
   */
  async leaderless(): Promise<NatsServer> {
    const [last, ...others] = this.servers;
    if (last === undefined) throw new Error('a cluster has servers');
    for (const server of others) await server.kill();
    const asking = await connect({ ...last.client });
    await until(
      'nobody to lead',
      async () => {
        const asked = asking.jetstreamManager({ timeout: 500 });
        return await asked.then(
          () => false,
          () => true,
        );
      },
      LEADERLESS_MS,
    );
    await asking.close();
    return last;
  }

  /** The servers that `leaderless` ended come back, and elect a leader. */
  async complete(): Promise<void> {
    await Promise.all(this.servers.slice(1).map((server) => server.start()));
  }

  async end(): Promise<void> {
    await this.connection.close().catch(() => {});
    for (const server of this.servers) await server.kill();
  }
}

/** A server that is left alone gives up leading after some 20 s, by its own clock. */
const LEADERLESS_MS = 100_000;

/** What JetStream is asked by whoever is connected to a server, as subjects without `$JS.API.`, in their order. */
export async function questionsTo(connection: NatsConnection): Promise<readonly string[]> {
  const questions: string[] = [];
  connection.subscribe('$JS.API.>', {
    callback: (_, { subject }) => questions.push(subject.slice('$JS.API.'.length)),
  });
  await connection.flush();
  return questions;
}

export async function startNatsCluster(): Promise<NatsCluster> {
  const ports: number[] = [];
  while (ports.length < 6) {
    const port = await freePort();
    if (!ports.includes(port)) ports.push(port);
  }
  const routes = ports.slice(3).map((port) => `nats://127.0.0.1:${port}`);
  const servers = ports.slice(0, 3).map((port, i) => {
    const cluster = `cluster { name: c, listen: "127.0.0.1:${ports[i + 3]}", routes: [${routes.join(', ')}] }`;
    return new NatsServer(port, `server_name: n${i}\n${cluster}`, {});
  });
  await Promise.all(servers.map((server) => server.start()));
  const connection = await connect({
    servers: servers.map(({ url }) => url),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    pingInterval: 1_000,
    maxPingOut: 1,
  });
  const kv = await until('a bucket of three', async () => {
    const jetstream = connection.jetstream({ timeout: 2_000, checkAPI: false });
    return await jetstream.views.kv(BUCKET, { replicas: 3, history: 1 }).catch(() => null);
  });
  return new NatsCluster(servers, connection, kv);
}

/** The hand of whoever decides who is cut off. */
export class DenyWriter {
  readonly connection: NatsConnection;
  kv: KV;

  constructor(connection: NatsConnection, kv: KV) {
    this.connection = connection;
    this.kv = kv;
  }

  async tenant(id: bigint | number, value: string): Promise<void> {
    await this.kv.put(denyKey('tenant', BigInt(id)), value);
  }

  async key(id: bigint | number, value: string): Promise<void> {
    await this.kv.put(denyKey('key', BigInt(id)), value);
  }

  async allowTenant(id: bigint | number): Promise<void> {
    await this.kv.delete(denyKey('tenant', BigInt(id)));
  }

  async close(): Promise<void> {
    await this.connection.close();
  }
}

/** @param options of the bucket, made if it is not there */
export async function denyWriter(
  server: NatsServer,
  options: Readonly<Record<string, unknown>> = {},
): Promise<DenyWriter> {
  const connection = await connect(server.client);
  return new DenyWriter(connection, await connection.jetstream().views.kv(BUCKET, options));
}

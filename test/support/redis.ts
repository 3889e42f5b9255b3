import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './conditions.ts';
import { freePort } from './free-port.ts';

const PLACES = [...(process.env['PATH'] ?? '').split(':'), '/usr/bin', '/usr/local/bin'];
const found = PLACES.map((folder) => join(folder, 'redis-server')).find((path) => existsSync(path));

/** Why a test that needs Redis cannot run here, or null when it can. Hand it to `ctx.skip`. */
export const REDIS_MISSING: string | null =
  found === undefined
    ? 'needs redis-server, which is not installed (apt-get install redis-server)'
    : null;

/** A real Redis on loopback that keeps nothing on a disk. */
export class RedisServer {
  readonly port: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'sluice-redis-'));
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();

  private constructor(port: number) {
    this.port = port;
  }

  static async start(): Promise<RedisServer> {
    const server = new RedisServer(await freePort());
    await server.up();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async up(...options: readonly string[]): Promise<void> {
    const own = [
      '--port',
      String(this.port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
    ];
    const child = spawn(found ?? '', [...own, ...options], { cwd: this.#folder, stdio: 'ignore' });
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once('exit', () => resolve()));
    process.once('exit', () => child.kill('SIGKILL'));
    await until('redis to answer', () => {
      try {
        return this.cli('ping') === 'PONG';
      } catch {
        return false;
      }
    });
  }

  /** At once, as a crash does: what it had is gone. */
  async down(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }

  /** It takes connections and questions, and says nothing. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** @returns what it says to a command */
  cli(...argv: readonly string[]): string {
    return execFileSync('redis-cli', ['-p', String(this.port), ...argv], {
      encoding: 'utf8',
    }).trim();
  }

  async stop(): Promise<void> {
    this.resume();
    await this.down();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Stands before a Redis, and lets each of its answers wait. */
export class SlowRedis {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isCut = false;
  /** Milliseconds. */
  delayMs = 0;

  private constructor(port: number) {
    this.#server = createServer((client) => {
      if (this.#isCut) {
        client.destroy();
        return;
      }
      const redis = connect(port, '127.0.0.1');
      for (const socket of [client, redis]) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.once('close', () => {
          this.#sockets.delete(socket);
          client.destroy();
          redis.destroy();
        });
      }
      client.pipe(redis);
      redis.on('data', (bytes) => {
        if (this.delayMs === 0) client.write(bytes);
        else setTimeout(() => client.write(bytes), this.delayMs);
      });
    });
  }

  static async before(port: number): Promise<SlowRedis> {
    const slow = new SlowRedis(port);
    await new Promise<void>((resolve) => slow.#server.listen(0, '127.0.0.1', resolve));
    return slow;
  }

  get url(): string {
    const address = this.#server.address();
    return `redis://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  }

  /** Nobody gets through, as when the network fails. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

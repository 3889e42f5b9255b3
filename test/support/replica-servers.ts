import dns from 'node:dns';
import { once } from 'node:events';
import { createSecureServer } from 'node:http2';
import { type AddressInfo, createServer, isIP, type Server, type Socket } from 'node:net';
import { expect } from 'vitest';
import type { Transport } from '../../src/upstream/transport.ts';
import { until } from './conditions.ts';
import type { SelfSigned } from './tls.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const ALL = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
const realLookup = dns.lookup;

/** Told and held by a transport whose connections are looked at. */
interface Looked extends Transport {
  readonly held: { readonly carrying: number };
}

/** Three servers on one port, and a name that leads to them. One at a time: `dns.lookup` is replaced while it runs. */
export class ReplicaServers {
  /** What the name resolves to. */
  addresses: readonly string[] = ALL;
  port = 0;
  lookUps = 0;
  readonly sockets = new Set<Socket>();
  readonly #servers = new Map<string, Server>();
  readonly #requests = new Map<string, number>();
  readonly #connections = new Map<string, number>();
  readonly #tls: SelfSigned | null;

  /** @param tls with it they speak HTTP/2, and nothing else */
  constructor(tls: SelfSigned | null = null) {
    this.#tls = tls;
  }

  async open(): Promise<this> {
    for (const address of ALL) await this.#listen(address);
    const lookup = (name: string, options: object, found: (...told: unknown[]) => void): void => {
      if (isIP(name) !== 0) {
        Reflect.apply(realLookup, dns, [name, options, found]);
        return;
      }
      this.lookUps++;
      setImmediate(() =>
        found(
          null,
          this.addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
        ),
      );
    };
    Object.assign(dns, { lookup });
    return this;
  }

  async #listen(address: string): Promise<void> {
    const server = this.#tls === null ? this.#plain(address) : this.#http2(address, this.#tls);
    this.#servers.set(address, server);
    await once(server.listen(this.port, address), 'listening');
    this.port = (server.address() as AddressInfo).port;
  }

  #plain(address: string): Server {
    return createServer((socket) => {
      this.#connected(address, socket);
      socket.on('data', () => {
        this.#asked(address);
        socket.write(OK);
      });
    });
  }

  #http2(address: string, { key, cert }: SelfSigned): Server {
    const server = createSecureServer({ key, cert, allowHTTP1: false });
    server.on('sessionError', () => {});
    server.on('secureConnection', (socket: Socket) => this.#connected(address, socket));
    server.on('stream', (stream) => {
      this.#asked(address);
      stream.on('error', () => {});
      stream.respond({ ':status': 200 });
      stream.end('ok');
    });
    return server;
  }

  #connected(address: string, socket: Socket): void {
    this.sockets.add(socket.on('error', () => {}));
    socket.on('close', () => this.sockets.delete(socket));
    this.#connections.set(address, (this.#connections.get(address) ?? 0) + 1);
  }

  #asked(address: string): void {
    this.#requests.set(address, (this.#requests.get(address) ?? 0) + 1);
  }

  close(): void {
    Object.assign(dns, { lookup: realLookup });
    for (const socket of this.sockets) socket.destroy();
    for (const server of this.#servers.values()) server.close();
  }

  /** No connection to it comes about any more. */
  shut(address: string): void {
    this.#servers.get(address)?.close();
  }

  /** How many came to each of the three. */
  get requests(): readonly number[] {
    return ALL.map((address) => this.#requests.get(address) ?? 0);
  }

  get connections(): readonly number[] {
    return ALL.map((address) => this.#connections.get(address) ?? 0);
  }

  forgetRequests(): void {
    this.#requests.clear();
  }
}

/** One request, to its end and to the end of what it opened. */
export async function askOnce(transport: Looked): Promise<void> {
  let isOver = false;
  const failures: unknown[] = [];
  const call = {
    onRequestRetried() {},
    onUploadDrained() {},
    onResponseHead() {},
    onResponseChunk() {},
    onResponseEnd() {
      isOver = true;
    },
    onUpstreamFailure(failure: unknown) {
      failures.push(failure);
      isOver = true;
    },
  };
  const request = {
    method: 'POST',
    target: '/',
    fields: [],
    poolKey: null,
    owner: '',
    coding: 'none' as const,
    contentLength: -1,
  };
  transport.open(request, [], true, call);
  await until('the end', () => (isOver && transport.held.carrying === 0) || undefined);
  expect(failures).toEqual([]);
}

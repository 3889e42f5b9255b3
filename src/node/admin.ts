import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo, Socket } from 'node:net';
import type { ListenAddress } from '../config/config-document.ts';
import { type NodeFacts, readyzPage } from './readiness.ts';

// Imported as a module, node:http is asked for every name that it exports, and some of those load a browser's worth of
// fetch and WebSocket: 80 of the 500 ms that a cold start may take.
const { createServer } = createRequire(import.meta.url)('node:http') as typeof import('node:http');

/** What the admin listener shows. */
interface AdminFacts {
  /** Prometheus text. */
  metrics(): string;
  /** JSON. */
  refusals(): string;
  /** How targets are doing, JSON. @param names those asked for; empty = all that the configuration names */
  targets(names: readonly string[]): string;
  /** How purses of limits stand, JSON. @param names as the table of limits has them */
  limits(names: readonly string[]): string;
  /** Whether a load balancer should send anything, and why not. */
  ready(): NodeFacts;
}

/** What answers everything else here. */
interface FurtherPages {
  readonly isOn: boolean;
  /** @returns false where it has nothing to say */
  handle(request: IncomingMessage, response: ServerResponse): boolean;
}

/** How long a request's head, and all of it, may take to come, and how often that is looked at; milliseconds. */
const HEAD_MS = 10_000;
const REQUEST_MS = 30_000;
const LOOK_MS = 5_000;

/** Of a request's head, in bytes. */
const HEAD_MAX_BYTES = 16_384;

/**
 * Connections that may be open where the console is on. One more, and the one that has been silent for longest goes: whoever
 * opens a thousand and says nothing keeps no probe out.
 */
const CONNECTIONS_MAX = 512;

interface AdminListener {
  readonly port: number;
  close(): void;
}

/**
 * `/metrics`, `/livez`, `/readyz`, `/refusals`, `/targets`, `/limits` on a port of their own, on the main thread: a scrape never waits for a relay.
 * @param further the console: what it does costs these pages nothing
 * @throws NodeJS.ErrnoException when the port cannot be bound
 */
export async function openAdmin(
  address: ListenAddress,
  facts: AdminFacts,
  further: FurtherPages,
): Promise<AdminListener> {
  const silent = new Set<Socket>();
  const times = {
    headersTimeout: HEAD_MS,
    requestTimeout: REQUEST_MS,
    connectionsCheckingInterval: LOOK_MS,
    maxHeaderSize: HEAD_MAX_BYTES,
  };
  const server = createServer(times, (request, response) => {
    const { socket } = request;
    silent.delete(socket);
    response.once('close', () => {
      if (!socket.destroyed) silent.add(socket);
    });
    const { url = '' } = request;
    const isTheConsoles = further.isOn && OF_TENANTS.has(url.split('?', 1)[0] ?? '');
    const known = isTheConsoles ? null : page(url, facts);
    if (known === null && further.handle(request, response)) return;
    const [status, type, body] = known ?? NOWHERE;
    response.writeHead(status, { 'content-type': type }).end(body);
  });
  server.on('connection', (socket: Socket) => {
    silent.add(socket);
    socket.once('close', () => silent.delete(socket));
    if (!further.isOn || silent.size <= CONNECTIONS_MAX) return;
    for (const longest of silent) {
      longest.destroy();
      break;
    }
  });
  await listening(server, address);
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** What names tenants and keys: where there is somebody who may see them, nobody else does. The console tells it. */
const OF_TENANTS: ReadonlySet<string> = new Set(['/refusals']);

const PLAIN = 'text/plain; charset=utf-8';

type Page = readonly [status: number, type: string, body: string];

const NOWHERE: Page = [
  404,
  PLAIN,
  'Here are /metrics, /livez, /readyz, /refusals, /targets and /limits.\n',
];

/** @returns null for what is none of these */
function page(url: string, facts: AdminFacts): Page | null {
  const [path, query] = url.split('?', 2);
  switch (path) {
    case '/metrics':
      return [200, 'text/plain; version=0.0.4; charset=utf-8', facts.metrics()];
    case '/livez':
      return [200, PLAIN, 'alive\n'];
    case '/readyz': {
      const { ready, text } = readyzPage(facts.ready());
      return [ready ? 200 : 503, PLAIN, text];
    }
    case '/refusals':
      return [200, 'application/json', facts.refusals()];
    case '/targets':
      return [200, 'application/json', facts.targets(new URLSearchParams(query).getAll('name'))];
    case '/limits':
      return [200, 'application/json', facts.limits(new URLSearchParams(query).getAll('name'))];
    default:
      return null;
  }
}

function listening(server: Server, { host, port }: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

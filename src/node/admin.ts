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
  /** Whether it is a command of this gateway that asks. @param shown its `Authorization` */
  isOwnCommand(shown: string | undefined): boolean;
}

/** What answers everything else here. */
interface FurtherPages {
  readonly isOn: boolean;
  /**
   * @param told what is told here to whoever the console lets in; null: nothing
   * @returns false where it has nothing to say
   */
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    told: (() => GuardedPage) | null,
  ): boolean;
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
 * `/metrics`, `/livez`, `/readyz`, `/refusals`, `/targets`, `/limits` on a port of their own, on the main thread: a scrape never
 * waits for a relay. Where the console is on, the last three are told to whom it lets in, and to this gateway's own commands.
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
    const { url = '', headers } = request;
    const guarded = guardedPage(url, facts);
    if (guarded !== null && further.isOn && !facts.isOwnCommand(headers.authorization)) {
      further.handle(request, response, guarded);
      return;
    }
    const known: Page | null = guarded === null ? openPage(url, facts) : [200, ...guarded()];
    if (known === null && further.handle(request, response, null)) return;
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

const JSON_TYPE = 'application/json';
const PLAIN = 'text/plain; charset=utf-8';

type GuardedPage = readonly [type: string, body: string];
type Page = readonly [status: number, ...GuardedPage];

const NOWHERE: Page = [
  404,
  PLAIN,
  'Here are /metrics, /livez, /readyz, /refusals, /targets and /limits.\n',
];

/** What anybody may see. @returns null for what is none of it */
function openPage(url: string, facts: AdminFacts): Page | null {
  switch (url.split('?', 1)[0]) {
    case '/metrics':
      return [200, 'text/plain; version=0.0.4; charset=utf-8', facts.metrics()];
    case '/livez':
      return [200, PLAIN, 'alive\n'];
    case '/readyz': {
      const { ready, text } = readyzPage(facts.ready());
      return [ready ? 200 : 503, PLAIN, text];
    }
    default:
      return null;
  }
}

/** What names tenants, keys, providers and how they stand: where somebody is named who may see it, nobody else does. */
function guardedPage(url: string, facts: AdminFacts): (() => GuardedPage) | null {
  const [path, query] = url.split('?', 2);
  const names = (): readonly string[] => new URLSearchParams(query).getAll('name');
  switch (path) {
    case '/refusals':
      return () => [JSON_TYPE, facts.refusals()];
    case '/targets':
      return () => [JSON_TYPE, facts.targets(names())];
    case '/limits':
      return () => [JSON_TYPE, facts.limits(names())];
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

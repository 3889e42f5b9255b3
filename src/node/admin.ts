import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
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

interface AdminListener {
  readonly port: number;
  close(): void;
}

/**
 * `/metrics`, `/livez`, `/readyz`, `/refusals`, `/targets`, `/limits` on a port of their own, on the main thread: a scrape never waits for a relay.
 * @throws NodeJS.ErrnoException when the port cannot be bound
 */
export async function openAdmin(address: ListenAddress, facts: AdminFacts): Promise<AdminListener> {
  const server = createServer((request, response) => {
    const [status, type, body] = page(request.url ?? '', facts);
    response.writeHead(status, { 'content-type': type }).end(body);
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

const PLAIN = 'text/plain; charset=utf-8';

function page(
  url: string,
  facts: AdminFacts,
): readonly [status: number, type: string, body: string] {
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
      return [404, PLAIN, 'Here are /metrics, /livez, /readyz, /refusals, /targets and /limits.\n'];
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

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { rootCertificates } from 'node:tls';
import { buildConnector, Client, type Dispatcher, Pool } from 'undici';
import type { Authority, Provider } from '../admit/providers.ts';
import { type Connection, type Connections, UpstreamCall } from './call.ts';
import { hostField } from './outgoing-head.ts';

/** Milliseconds, 0 = off, except where noted. */
export interface OriginOptions {
  readonly connectTimeoutMs: number;
  /** From the request's last byte to the response's head. */
  readonly firstByteTimeoutMs: number;
  /** Between two chunks of a response. */
  readonly idleTimeoutMs: number;
  /** PEM file with further certificate authorities, or null. */
  readonly caFile: string | null;
}

/**
 * How long an unused connection is kept, in milliseconds, when the provider says nothing. Longer saves handshakes;
 * but a POST that meets a connection which the provider is just closing cannot be retried by us, only by its client.
 */
const KEEP_ALIVE_MS = 15_000;

/**
 * When a name has several addresses, how long each but the last may take to connect, in milliseconds. Node's default
 * of 250 is less than a slow intercontinental handshake and would give up on the only address that works.
 */
const ADDRESS_ATTEMPT_MS = 500;

/** Response heads: undici's 16 KiB default is less than what some gateways' cookies and rate-limit fields need. */
const RESPONSE_HEAD_LIMIT_BYTES = 65_536;

/** One connection of a pool, which knows how many requests its current socket has carried. */
class OriginClient extends Client implements Connection {
  requestsServed = 0;

  constructor(origin: string | URL, options: Client.Options) {
    super(origin, options);
    this.on('disconnect', () => {
      this.requestsServed = 0;
    });
  }

  override dispatch(
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
  ): boolean {
    if (handler instanceof UpstreamCall) handler.onAssigned(this);
    this.requestsServed++;
    return super.dispatch(options, handler);
  }
}

/** A provider's connections on this worker. */
export class Origin implements Connections {
  readonly pool: Pool;
  /** Value of the Host field. */
  readonly host: string;
  readonly #url: string;
  readonly #options: Client.Options;

  /** @param ca text of `options.caFile` */
  constructor(provider: Provider, options: OriginOptions, ca: string | null) {
    this.host = hostField(provider);
    this.#url = originUrl(provider.authority);
    this.#options = clientOptions(provider.authority, options, ca);
    this.pool = new Pool(this.#url, {
      ...this.#options,
      factory: (origin, opts) => new OriginClient(origin, opts as Client.Options),
    });
  }

  /** Lends a connection that nothing was ever sent on; it closes behind the one request. */
  dispatchOnce(use: (client: Dispatcher) => void): void {
    const client = new OriginClient(this.#url, this.#options);
    use(client);
    void client.close();
  }

  /** Ends everything that still runs. */
  async destroy(): Promise<void> {
    await this.pool.destroy();
  }
}

/** Every provider's origin; providers with one authority share one. */
export interface Origins {
  /** By the provider's index. */
  readonly byIndex: readonly Origin[];
  /** By authority and everything that a connection is made with. */
  readonly byKey: ReadonlyMap<string, Origin>;
}

/**
 * @param previous origins of the configuration before: those that would be made just so are kept, with their
 *   connections; of the others the idle connections end by themselves, and who still runs on one finishes there
 */
export function openOrigins(
  providers: readonly Provider[],
  options: OriginOptions,
  previous: Origins | null,
): Origins {
  const byKey = new Map<string, Origin>();
  const byIndex: Origin[] = [];
  const ca = options.caFile === null ? null : readFileSync(options.caFile, 'utf8');
  const { connectTimeoutMs, firstByteTimeoutMs, idleTimeoutMs } = options;
  for (const provider of providers) {
    const url = originUrl(provider.authority);
    const key = JSON.stringify([url, connectTimeoutMs, firstByteTimeoutMs, idleTimeoutMs, ca]);
    const origin = byKey.get(key) ?? previous?.byKey.get(key) ?? new Origin(provider, options, ca);
    byKey.set(key, origin);
    byIndex[provider.index] = origin;
  }
  return { byIndex, byKey };
}

function originUrl({ host, port, tls }: Authority): string {
  return `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function clientOptions(
  authority: Authority,
  options: OriginOptions,
  ca: string | null,
): Client.Options {
  return {
    // A request per connection at a time: a provider's slow answer must not hold up somebody else's.
    pipelining: 1,
    // h2 would be offered by default, and a server may pick it (platform facts D).
    allowH2: false,
    headersTimeout: options.firstByteTimeoutMs,
    bodyTimeout: options.idleTimeoutMs,
    maxHeaderSize: RESPONSE_HEAD_LIMIT_BYTES,
    keepAliveTimeout: KEEP_ALIVE_MS,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
    connect: watched(
      buildConnector({
        timeout: options.connectTimeoutMs,
        autoSelectFamily: true,
        autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
        // Without it, SNI and the name to verify would follow the Host field (RFC 6066 §3: no address literals).
        ...(isIP(authority.host) === 0 ? { servername: authority.host } : {}),
        ...(ca === null ? {} : { ca: [...rootCertificates, ca] }),
      }),
    ),
  };
}

/**
 * A reset behind a body that only the connection's end delimits (RFC 9112 §6.3) is told by undici as that body's end. The
 * connector's listener is the socket's first, so whatever undici makes of the error, it makes it inside the mark.
 */
function watched(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) => {
    connect(options, (...result) => {
      const [error, socket] = result;
      if (error === null) {
        socket.prependListener('error', () => {
          UpstreamCall.socketFails = true;
          queueMicrotask(() => {
            UpstreamCall.socketFails = false;
          });
        });
      }
      callback(...result);
    });
  };
}

/**
 * A connection to a provider: straight, or through a proxy's tunnel (RFC 9110 §9.3.6), in TLS or not. One time
 * limit holds for all of it. Through a proxy the provider's name is looked up by the proxy alone.
 */

import type { LookupAddress } from 'node:dns';
import { isIP, type LookupFunction, connect as netConnect, type Socket } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import type { Authority } from '../providers/providers.ts';
import type { ProxyAddress } from '../providers/proxy.ts';
import { CLOSED_EARLY, CONNECT_TIMEOUT, classify, type UpstreamFailure } from './failure.ts';
import { lookUpTogether } from './h1/name-lookup.ts';
import { ADDRESS_ATTEMPT_MS, PROBE_AFTER_MS, type UpstreamTarget } from './target.ts';

/** What a proxy may say before its tunnel stands, in bytes: a page about who is not let through is longer, and not read. */
const PROXY_HEAD_LIMIT_BYTES = 16_384;

/** Before there was a connection. */
const CLOSED: UpstreamFailure = { ...CLOSED_EARLY, kind: 'connect' };

/** Why there is no connection, in the words of the failure table. */
export class DialError extends Error {
  override readonly name = 'DialError';
  readonly failure: UpstreamFailure;

  constructor(failure: UpstreamFailure) {
    super(failure.code);
    this.failure = failure;
  }
}

/** Told once. */
export type Dialled = (
  ...told: [error: DialError, socket: null] | [error: null, socket: Socket]
) => void;

/** Which of a name's addresses is connected to first. */
export type InTurn = (found: readonly LookupAddress[]) => LookupAddress[];

/** Under way until it is told; the latest TLS session of a target is kept beside it. */
export class Dial {
  readonly #target: UpstreamTarget;
  readonly #sessions: Sessions;
  readonly #inTurn: InTurn;
  #dialled: Dialled | null;
  #timer: NodeJS.Timeout | null = null;
  /** The latest of the sockets that stand on each other. */
  #socket: Socket | null = null;

  /** @param inTurn of the provider's name; a proxy's addresses stay in the resolver's order */
  constructor(
    target: UpstreamTarget,
    sessions: Sessions,
    dialled: Dialled,
    inTurn: InTurn = (found) => [...found],
  ) {
    this.#target = target;
    this.#sessions = sessions;
    this.#inTurn = inTurn;
    this.#dialled = dialled;
    const { connectTimeoutMs } = target.timeouts;
    if (connectTimeoutMs > 0)
      this.#timer = setTimeout(() => this.#fail(CONNECT_TIMEOUT), connectTimeoutMs);
    try {
      if (target.proxy === null)
        this.#connect(target.authority, false, (socket) => this.#secure(socket));
      else this.#throughProxy(target.proxy);
    } catch (error) {
      this.#fail(classify(error, false));
    }
  }

  /** Nobody waits any more. */
  cancel(): void {
    this.#fail({ kind: 'connect', rejection: 'upstream_unreachable', code: 'ABORTED' });
  }

  #throughProxy(proxy: ProxyAddress): void {
    this.#connect(proxy, true, (socket) => {
      const inTls = proxy.tls
        ? (then: (socket: Socket) => void) => this.#handshake(socket, proxy, true, then)
        : null;
      // Plain HTTP goes to the proxy itself, in absolute form (RFC 9112 §3.2.2).
      const reached = this.#target.authority.tls
        ? (way: Socket) => this.#tunnel(way, proxy)
        : (way: Socket) => this.#stand(way);
      if (inTls === null) reached(socket);
      else inTls(reached);
    });
  }

  #connect(to: Authority, isProxy: boolean, connected: (socket: Socket) => void): void {
    const socket = netConnect({
      host: to.host,
      port: to.port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: PROBE_AFTER_MS,
      lookup: isProxy ? lookUpTogether : inTurnOf(this.#inTurn),
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
    });
    this.#watch(socket, isProxy);
    socket.once('connect', () => this.#guarded(() => connected(socket)));
  }

  /** Until it stands, an error of any layer, or its end, ends the dial. */
  #watch(socket: Socket, isProxy: boolean): void {
    this.#socket = socket;
    socket.on('error', (error) => this.#fail(toldOf(classify(error, false), isProxy)));
    socket.on('close', () => this.#fail(toldOf(CLOSED, isProxy)));
  }

  #tunnel(socket: Socket, proxy: ProxyAddress): void {
    const { host, port } = this.#target.authority;
    const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    const authorization =
      proxy.authorization === null
        ? ''
        : `proxy-authorization: ${proxy.authorization.reveal()}\r\n`;
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n${authorization}\r\n`);
    let head = '';
    const onData = (bytes: Buffer): void => {
      head += bytes.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      const status = /^HTTP\/1\.[01] ([1-9]\d\d)(?=[ \r])/.exec(head)?.[1];
      if (end < 0) {
        if (head.length > PROXY_HEAD_LIMIT_BYTES) this.#refuse('PROXY_HEAD_TOO_LONG');
        return;
      }
      socket.off('data', onData);
      socket.pause();
      if (status === undefined) this.#refuse('PROXY_STATUS_LINE');
      else if (!status.startsWith('2')) this.#refuse(`PROXY_STATUS_${status}`);
      else {
        // A 2xx of CONNECT has no content: what stands behind its head is the provider's.
        const rest = head.slice(end + 4);
        if (rest !== '') socket.unshift(Buffer.from(rest, 'latin1'));
        this.#guarded(() => this.#secure(socket));
      }
    };
    socket.on('data', onData);
  }

  #secure(socket: Socket): void {
    if (!this.#target.authority.tls) this.#stand(socket);
    else this.#handshake(socket, this.#target.authority, false, (secure) => this.#stand(secure));
  }

  #handshake(
    socket: Socket,
    { host }: Authority,
    isProxy: boolean,
    shaken: (socket: Socket) => void,
  ): void {
    const session = isProxy ? undefined : this.#sessions.latest;
    const secure: TLSSocket = tlsConnect({
      socket,
      host,
      ALPNProtocols: this.#target.http2 && !isProxy ? ['h2', 'http/1.1'] : ['http/1.1'],
      secureContext: this.#target.trust.context,
      // RFC 6066 §3: no address literals.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(session === undefined ? {} : { session }),
    });
    this.#watch(secure, isProxy);
    if (!isProxy) secure.on('session', (latest: Buffer) => this.#sessions.keep(latest));
    secure.once('secureConnect', () => this.#guarded(() => shaken(secure)));
  }

  #stand(socket: Socket): void {
    const dialled = this.#over();
    if (dialled === null) return;
    this.#socket = null;
    dialled(null, socket);
  }

  /** On a socket's callback an exception would be the worker's end: a certificate that no longer fits its key, say. */
  #guarded(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#fail(classify(error, false));
    }
  }

  #refuse(code: string): void {
    this.#fail({ kind: 'connect', rejection: 'upstream_unreachable', code });
  }

  #fail(failure: UpstreamFailure): void {
    const dialled = this.#over();
    if (dialled === null) return;
    // A server that changed its keys may refuse the session that was kept: with it, no connection would ever come about.
    this.#sessions.keep(undefined);
    this.#socket?.destroy();
    dialled(new DialError(failure), null);
  }

  #over(): Dialled | null {
    const dialled = this.#dialled;
    this.#dialled = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    return dialled;
  }
}

function inTurnOf(inTurn: InTurn): LookupFunction {
  return (name, options, found) =>
    lookUpTogether(name, options, (error, addresses) =>
      found(error, error === null ? inTurn(addresses) : addresses),
    );
}

/** The latest TLS session of a target: a handshake that resumes saves a round trip. */
export class Sessions {
  latest: Buffer | undefined;

  /** @param session undefined when a handshake failed */
  keep(session: Buffer | undefined): void {
    this.latest = session;
  }
}

/** Nobody shall look for a dead proxy at the provider. */
function toldOf(failure: UpstreamFailure, isProxy: boolean): UpstreamFailure {
  const isTheirs = failure.rejection === 'upstream_unreachable';
  return isProxy && isTheirs ? { ...failure, code: `PROXY_${failure.code}` } : failure;
}

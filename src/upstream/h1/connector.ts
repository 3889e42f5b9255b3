import type { LookupAddress } from 'node:dns';
import {
  isIP,
  type LookupFunction,
  connect as netConnect,
  type OnReadOpts,
  type Socket,
} from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import type { Authority } from '../../providers/providers.ts';
import { ADDRESS_ATTEMPT_MS, PROBE_AFTER_MS, type UpstreamTarget } from '../target.ts';
import type { Trust } from '../trust.ts';
import { lookUpTogether } from './name-lookup.ts';

/** What one read of a connection brings at most, in bytes; also what libuv reads at once. */
const READ_BYTES = 65_536;

/**
 * Every connection of a thread reads into this one buffer: a read is dealt with before the next one begins. A buffer for
 * each read, which Node makes by default, cost 10 of 29 us per relayed JSON request here.
 */
const READ_BUFFER = Buffer.allocUnsafeSlow(READ_BYTES);

/** Told what happens on a socket. */
export interface SocketEvents {
  onConnected(): void;
  /** @param bytes a view of a buffer that the next read overwrites */
  onRead(bytes: Buffer): void;
  /** The peer will send nothing more. */
  onReadEnd(): void;
  onDrained(): void;
  onError(error: Error): void;
  onClosed(): void;
}

/** Opens connections to one authority: TCP or TLS, over all addresses of its name (RFC 8305). */
export class Connector {
  readonly #authority: Authority;
  readonly #trust: Trust;
  readonly #lookup: LookupFunction;
  /**
   * The latest session of this authority: a handshake that resumes saves a round trip, and its certificates. One, because
   * a server takes its ticket more than once; those that do not make it a whole handshake.
   */
  #session: Buffer | undefined;

  /** @param inTurn which of a name's addresses is connected to first */
  constructor(
    { authority, trust }: Pick<UpstreamTarget, 'authority' | 'trust'>,
    inTurn: (found: readonly LookupAddress[]) => LookupAddress[],
  ) {
    this.#authority = authority;
    this.#trust = trust;
    this.#lookup = (name, options, found) =>
      lookUpTogether(name, options, (error, addresses) =>
        found(error, error === null ? inTurn(addresses) : addresses),
      );
  }

  /**
   * A handshake failed, or a connection ended behind it without an answer. The server may have changed its keys or its
   * certificate: with the session kept, no connection of this thread would ever come about again.
   */
  forgetSession(): void {
    this.#session = undefined;
  }

  connect(events: SocketEvents): Socket {
    const { host, port, tls } = this.#authority;
    const to = {
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: PROBE_AFTER_MS,
      lookup: this.#lookup,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
      onread: ONREAD,
    };
    if (!tls) return listened(netConnect(to), 'connect', events);
    const socket = tlsConnect({
      ...to,
      ALPNProtocols: ['http/1.1'],
      secureContext: this.#trust.context,
      // RFC 6066 §3: no address literals.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(this.#session === undefined ? {} : { session: this.#session }),
    });
    // Of the options, tls.connect() passes on neither.
    socket.setNoDelay(true);
    socket.setKeepAlive(true, PROBE_AFTER_MS);
    socket.on('session', (session: Buffer) => {
      this.#session = session;
    });
    return listened(socket, 'secureConnect', events);
  }
}

/**
 * Whom a socket tells. A property of it, so that one set of functions listens on all: six closures for each connection were
 * half a KiB of what an open stream costs.
 */
const TOLD = Symbol('told');

type Told = Socket & { [TOLD]: SocketEvents };

const ONREAD: OnReadOpts = {
  buffer: READ_BUFFER,
  // Node calls it on the socket (`onStreamRead` in lib/internal/stream_base_commons.js).
  callback(this: unknown, bytes: number) {
    (this as Told)[TOLD].onRead(READ_BUFFER.subarray(0, bytes));
    return true;
  },
};

function onConnected(this: Told): void {
  this[TOLD].onConnected();
}
function onReadEnd(this: Told): void {
  this[TOLD].onReadEnd();
}
function onDrained(this: Told): void {
  this[TOLD].onDrained();
}
function onError(this: Told, error: Error): void {
  this[TOLD].onError(error);
}
function onClosed(this: Told): void {
  this[TOLD].onClosed();
}

function listened(
  socket: Socket,
  connected: 'connect' | 'secureConnect',
  events: SocketEvents,
): Socket {
  const told: Told = Object.assign(socket, { [TOLD]: events });
  told.on(connected, onConnected);
  told.on('end', onReadEnd);
  told.on('drain', onDrained);
  told.on('error', onError);
  told.on('close', onClosed);
  return told;
}

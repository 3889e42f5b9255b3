import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import type { Ticker } from '../../ticker.ts';
import {
  type ResponseFault,
  ResponseParser,
  type ResponseSink,
} from '../../wire/response-parser.ts';
import {
  CLOSED_EARLY,
  CONNECT_TIMEOUT,
  classify,
  FIRST_BYTE_TIMEOUT,
  IDLE_TIMEOUT,
  ownFailure,
  type UpstreamFailure,
} from '../failure.ts';
import type { UpstreamTimeouts } from '../target.ts';
import type { Connector, SocketEvents } from './connector.ts';
import { sendDirectly } from './direct-send.ts';
import { isQuiet, peerAddress, wasReset } from './peer-state.ts';

/** Whose request a connection carries. */
export interface Carried {
  readonly method: string;
  /** The connection stands: the request may be written. */
  onConnected(): void;
  onDrained(): void;
  /** @param followed bytes stand behind the head in the same read */
  onHead(status: number, reason: string, fields: readonly string[], followed: boolean): void;
  /** @param piece a view that is overwritten by the next read */
  onContent(piece: Buffer, last: boolean): void;
  /** @param byConnection nothing but the connection's end said so */
  onMessageEnd(byConnection: boolean): void;
  onFailure(failure: UpstreamFailure): void;
}

/** Where a connection lives. */
export interface ConnectionHome {
  readonly timeouts: UpstreamTimeouts;
  readonly ticker: Ticker;
  /** Its message is over and another one may follow. */
  onFree(connection: Connection): void;
  /** It stands, at its `address`; what carries no request yet waits for one from now on. */
  onStanding(connection: Connection, isFree: boolean): void;
  onClosed(connection: Connection): void;
  /** A bug of ours that one exchange met; it is told that it failed. */
  onBug(error: unknown): void;
}

const RESET: UpstreamFailure = { ...CLOSED_EARLY, code: 'ECONNRESET' };

/**
 * One connection to a provider: a request at a time, so that a slow answer never holds up somebody else's. Reads are
 * parsed and passed on in the turn in which they come.
 */
export class Connection implements SocketEvents, ResponseSink {
  readonly #home: ConnectionHome;
  readonly #connector: Connector;
  readonly #socket: Socket;
  readonly #parser = new ResponseParser(this);
  #carried: Carried | null = null;
  #isConnected = false;
  #isClosed = false;
  /** The provider sends nothing more: what ends now ends with the connection. */
  #hasReadEnd = false;
  #isRequestSent = false;
  #isHeadSeen = false;
  /** A response began on it, now or earlier. */
  #isProven = false;
  #isPaused = false;
  /** When something last happened that ends a silence; milliseconds of the ticker. */
  #sinceMs: number;
  /** How often a request was given to it while it stood already, so that it may have died meanwhile. */
  requestsServed = 0;
  /** Its place in the list of those that are busy; its origin's. */
  busyAt = -1;
  /** Of the peer, as the system writes it; empty until it stands. */
  address = '';
  /** From when on it carries no other request; milliseconds of the ticker. */
  readonly oldAtMs: number;

  /** Begins to connect. */
  constructor(home: ConnectionHome, connector: Connector, maxAgeMs: number) {
    this.#home = home;
    this.#connector = connector;
    this.#sinceMs = home.ticker.now;
    this.oldAtMs = home.ticker.now + maxAgeMs;
    this.#socket = connector.connect(this);
  }

  /** For how long it may be kept unused, in seconds, as the provider says; -1 when it does not. */
  get keepAliveSeconds(): number {
    return this.#parser.keepAliveSeconds;
  }

  /** When it became free; milliseconds of the ticker. */
  get freeSinceMs(): number {
    return this.#sinceMs;
  }

  /** One look before it carries the next request: neither has it ended, nor is something on it that nobody asked for. */
  get isQuiet(): boolean {
    return !this.#isClosed && isQuiet(this.#socket);
  }

  /** Takes the next request: at once when it stands already, else as soon as it does. */
  carry(carried: Carried): void {
    this.#carried = carried;
    if (!this.#isConnected) return;
    this.requestsServed++;
    try {
      this.#begin(carried);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Writes bytes of the request, which the connection owns from then on.
   * @param written told once, when it owns them no longer
   * @returns false when the kernel takes no more for now: `onDrained` follows
   */
  write(bytes: Buffer, written?: (error?: Error | null) => void): boolean {
    return this.#socket.write(bytes, written);
  }

  /**
   * Writes what a request begins with, lent: at once where the kernel takes it, and what it does not take is copied.
   * @returns as `write`
   */
  writeLent(bytes: Buffer): boolean {
    const sent = sendDirectly(this.#socket, bytes);
    return sent === bytes.length || this.#socket.write(Buffer.from(bytes.subarray(sent)));
  }

  /** The request's last byte was written: from now on it is the provider that is waited for. */
  requestSent(): void {
    this.#isRequestSent = true;
    if (!this.#isHeadSeen) this.#sinceMs = this.#home.ticker.now;
  }

  pause(): void {
    if (this.#isPaused || this.#isClosed) return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#isPaused || this.#isClosed) return;
    this.#isPaused = false;
    this.#sinceMs = this.#home.ticker.now;
    this.#socket.resume();
  }

  /** Ends it in this turn; nobody is told but its home. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#carried = null;
    // Whoever stops waiting for a handshake may have been kept waiting by the session that it was to resume.
    if (!this.#isConnected) this.#connector.forgetSession();
    this.#socket.destroy();
    this.#home.onClosed(this);
  }

  /** Ends what has been silent for too long. */
  checkSilence(nowMs: number): void {
    const { connectTimeoutMs, firstByteTimeoutMs, idleTimeoutMs } = this.#home.timeouts;
    // The ticker is at most a period behind, and no silence may be cut short.
    const silentMs = nowMs - this.#sinceMs - this.#home.ticker.periodMs;
    if (!this.#isConnected) {
      if (connectTimeoutMs > 0 && silentMs > connectTimeoutMs) this.#fail(CONNECT_TIMEOUT);
    } else if (this.#isHeadSeen) {
      if (idleTimeoutMs > 0 && !this.#isPaused && silentMs > idleTimeoutMs)
        this.#fail(IDLE_TIMEOUT);
    } else if (this.#isRequestSent && firstByteTimeoutMs > 0 && silentMs > firstByteTimeoutMs) {
      this.#fail(FIRST_BYTE_TIMEOUT);
    }
  }

  // ---- the socket --------------------------------------------------------------------------------------------------

  // Whatever throws in here is a bug that one exchange met, and must not take the others of this worker with it: on a
  // socket's callback it would be an uncaught exception.

  onConnected(): void {
    this.#isConnected = true;
    this.address = peerAddress(this.#socket);
    this.#sinceMs = this.#home.ticker.now;
    try {
      this.#home.onStanding(this, this.#carried === null);
      if (this.#carried !== null) this.#begin(this.#carried);
    } catch (error) {
      this.#broke(error);
    }
  }

  #begin(carried: Carried): void {
    this.#isRequestSent = false;
    this.#isHeadSeen = false;
    this.#parser.expect(carried.method);
    carried.onConnected();
  }

  onRead(bytes: Buffer): void {
    if (this.#carried === null) {
      // Nobody asked: a response to nothing, or bytes behind one.
      this.close();
      return;
    }
    // Parts of a head, and interim ones, are no answer yet: a provider that dribbles them is bounded like a silent one.
    if (this.#isHeadSeen) this.#sinceMs = this.#home.ticker.now;
    try {
      this.#parser.push(bytes);
    } catch (error) {
      this.#broke(error);
    }
  }

  onReadEnd(): void {
    this.#hasReadEnd = true;
    try {
      // Only a content that the end itself delimits is asked about: every other one is whole before it, or cut.
      if (this.#parser.endsWithConnection && wasReset(this.#socket)) this.#fail(RESET);
      else if (!this.#parser.close()) this.#fail(CLOSED_EARLY);
    } catch (error) {
      this.#broke(error);
    }
  }

  onDrained(): void {
    try {
      this.#carried?.onDrained();
    } catch (error) {
      this.#broke(error);
    }
  }

  onError(error: Error): void {
    this.#fail(classify(error, this.#isConnected));
  }

  onClosed(): void {
    this.#fail(CLOSED_EARLY);
  }

  // ---- the response ------------------------------------------------------------------------------------------------

  onHead(status: number, reason: string, fields: readonly string[], followed: boolean): void {
    this.#isHeadSeen = true;
    this.#isProven = true;
    this.#sinceMs = this.#home.ticker.now;
    this.#carried?.onHead(status, reason, fields, followed);
  }

  onContent(piece: Buffer, last: boolean): void {
    this.#carried?.onContent(piece, last);
  }

  onMessageEnd(clean: boolean): void {
    // First of all: whoever throws here is still there to be told that it failed.
    this.#carried?.onMessageEnd(this.#hasReadEnd);
    this.#carried = null;
    this.resume();
    // A request that is still being sent would be read as the next one's start, or hold that one up.
    const isSent = this.#isRequestSent && this.#socket.writableLength === 0;
    const mayStay = clean && this.#parser.persistent && isSent;
    if (mayStay && !this.#isClosed) {
      this.#sinceMs = this.#home.ticker.now;
      this.#home.onFree(this);
    } else {
      this.close();
    }
  }

  onFault(fault: ResponseFault): void {
    this.#fail({ kind: 'framing', rejection: 'upstream_unreachable', code: fault });
  }

  #broke(error: unknown): void {
    this.#home.onBug(error);
    this.#fail(ownFailure(error));
  }

  #fail(failure: UpstreamFailure): void {
    const carried = this.#carried;
    // A server may let a session be resumed and then not take it, a certificate that has changed since, say: it tells so
    // behind a handshake that looked whole.
    if (!this.#isProven) this.#connector.forgetSession();
    this.close();
    try {
      carried?.onFailure(failure);
    } catch (error) {
      this.#home.onBug(error);
    }
  }
}

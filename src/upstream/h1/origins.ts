import type { Ticker, Ticking } from '../../ticker.ts';
import {
  connectionAgeMs,
  KEEP_ALIVE_MARGIN_MS,
  KEEP_ALIVE_MS,
  type UpstreamTarget,
  type UpstreamTimeouts,
} from '../target.ts';
import type { Transport, UpstreamCall, UpstreamEvents, UpstreamRequest } from '../transport.ts';
import { BusyList } from './busy-list.ts';
import { type Connections, Http1Call } from './call.ts';
import { Connection, type ConnectionHome } from './connection.ts';
import { Connector } from './connector.ts';
import { canSendDirectly } from './direct-send.ts';
import { Replicas } from './replicas.ts';

/** A provider's connections on this worker. */
export class Origin implements Transport, Connections, ConnectionHome, Ticking {
  readonly takesAtOnce: boolean;
  /** Value of the Host field. */
  readonly #host: string;
  readonly timeouts: UpstreamTimeouts;
  readonly ticker: Ticker;
  readonly #connector: Connector;
  /** With the free ones. */
  readonly #replicas = new Replicas<Connection>();
  /** Those that carry a request, and those that are being opened ahead of one. */
  readonly #busy = new BusyList<Connection>();
  #isRetired = false;
  /** When a connection was asked for last; milliseconds of the ticker. */
  #askedMs = Number.NEGATIVE_INFINITY;
  readonly #report: (error: unknown) => void;

  /** @param report for bugs of ours that one exchange met */
  constructor(target: UpstreamTarget, ticker: Ticker, report: (error: unknown) => void) {
    this.#report = report;
    this.#host = target.host;
    this.takesAtOnce = !target.authority.tls && canSendDirectly();
    this.timeouts = target.timeouts;
    this.ticker = ticker;
    this.#connector = new Connector(target, (found) => this.#replicas.inTurn(found));
    ticker.add(this);
  }

  /** Connections that carry a request, and those that wait for one. */
  get held(): { readonly carrying: number; readonly free: number } {
    return { carrying: this.#busy.size, free: this.#replicas.free.length };
  }

  open(
    request: UpstreamRequest,
    content: readonly Buffer[],
    whole: boolean,
    events: UpstreamEvents,
  ): UpstreamCall {
    return new Http1Call(this, events, request, this.#host, content, whole);
  }

  connection(fresh: boolean): Connection {
    // A request that came before a reload asks when its body comes, which may be behind it.
    if (this.#isRetired) this.ticker.add(this);
    const free = fresh ? null : this.#takeFree();
    const connection = free ?? this.#connect();
    this.#busy.add(connection);
    if (this.#replicas.count > 1) this.#spread();
    return connection;
  }

  /**
   * Opens a connection beside the request, to an address that has none: no request waits for the sake of the turns. Only
   * while requests come so fast that it would be used again before it is given up, so that a provider with several
   * addresses and few requests keeps the one connection that is warm.
   */
  #spread(): void {
    const { now } = this.ticker;
    const gapMs = now - this.#askedMs;
    this.#askedMs = now;
    if (gapMs * this.#replicas.count > KEEP_ALIVE_MS || !this.#replicas.lacksOne(now)) return;
    try {
      this.#busy.add(this.#connect());
    } catch (error) {
      this.#report(error);
    }
  }

  #connect(): Connection {
    return new Connection(this, this.#connector, connectionAgeMs());
  }

  /** The last one freed that is still alive: what died meanwhile is found before a byte was sent on it. */
  #takeFree(): Connection | null {
    for (;;) {
      const connection = this.#replicas.take();
      if (connection === undefined) return null;
      if (connection.isQuiet) return connection;
      connection.close();
    }
  }

  onFree(connection: Connection): void {
    // A promise of less than the margin is one that cannot be relied on.
    const isOver = keptMs(connection) <= 0 || this.ticker.now > connection.oldAtMs;
    if (this.#isRetired || isOver) connection.close();
    else if (!this.#busy.delete(connection) || !this.#replicas.onFree(connection))
      connection.close();
  }

  onStanding(connection: Connection, isFree: boolean): void {
    const standing = this.#replicas.onStanding(connection);
    if (!isFree) return;
    // The address that it was opened for is gone from the name, or did not answer: it came to one that needs no other.
    if (standing > 1) connection.close();
    else this.onFree(connection);
  }

  onClosed(connection: Connection): void {
    if (connection.address !== '') this.#replicas.onClosed(connection);
    if (!this.#busy.delete(connection)) return;
    if (this.#isRetired && this.#busy.size === 0) this.ticker.remove(this);
  }

  onBug(error: unknown): void {
    this.#report(error);
  }

  onTick(nowMs: number): void {
    for (const connection of this.#busy.all()) connection.checkSilence(nowMs);
    for (const connection of this.#replicas.free) {
      const isUnused = nowMs - connection.freeSinceMs > keptMs(connection);
      if (isUnused || nowMs > connection.oldAtMs) connection.close();
    }
  }

  /** Nobody will ask for connections any more: who still runs on one finishes there. */
  retire(): void {
    this.#isRetired = true;
    for (const connection of this.#replicas.free) connection.close();
    if (this.#busy.size === 0) this.ticker.remove(this);
  }

  /** Ends everything that still runs, without a word to anybody. */
  destroy(): void {
    this.retire();
    for (const connection of this.#busy.all()) connection.close();
  }
}

function keptMs({ keepAliveSeconds }: Connection): number {
  if (keepAliveSeconds < 0) return KEEP_ALIVE_MS;
  return Math.min(KEEP_ALIVE_MS, keepAliveSeconds * 1_000 - KEEP_ALIVE_MARGIN_MS);
}

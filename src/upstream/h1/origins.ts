import type { Ticker, Ticking } from '../../ticker.ts';
import type { UpstreamTarget, UpstreamTimeouts } from '../target.ts';
import type { Transport, UpstreamCall, UpstreamEvents, UpstreamRequest } from '../transport.ts';
import { type Connections, Http1Call } from './call.ts';
import { Connection, type ConnectionHome } from './connection.ts';
import { Connector } from './connector.ts';

/**
 * How long an unused connection is kept, in milliseconds, when the provider says nothing. Longer saves handshakes;
 * but a POST that meets a connection which the provider is just closing cannot be retried by us, only by its client.
 */
const KEEP_ALIVE_MS = 15_000;

/** Taken off what a provider promises: its clock starts earlier than ours, and a request takes its way. */
const KEEP_ALIVE_MARGIN_MS = 2_000;

/** A provider's connections on this worker. */
export class Origin implements Transport, Connections, ConnectionHome, Ticking {
  /** Value of the Host field. */
  readonly #host: string;
  readonly timeouts: UpstreamTimeouts;
  readonly ticker: Ticker;
  readonly #connector: Connector;
  /** The last one freed is the first one used: the others grow old and are closed. */
  readonly #free: Connection[] = [];
  readonly #carrying = new Set<Connection>();
  #isRetired = false;

  readonly #report: (error: unknown) => void;

  /** @param report for bugs of ours that one exchange met */
  constructor(target: UpstreamTarget, ticker: Ticker, report: (error: unknown) => void) {
    this.#report = report;
    this.#host = target.host;
    this.timeouts = target.timeouts;
    this.ticker = ticker;
    this.#connector = new Connector(target);
    ticker.add(this);
  }

  /** Connections that carry a request, and those that wait for one. */
  get held(): { readonly carrying: number; readonly free: number } {
    return { carrying: this.#carrying.size, free: this.#free.length };
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
    const connection = free ?? new Connection(this, this.#connector);
    this.#carrying.add(connection);
    return connection;
  }

  /** The last one freed that is still alive: what died meanwhile is found before a byte was sent on it. */
  #takeFree(): Connection | null {
    for (;;) {
      const connection = this.#free.pop();
      if (connection === undefined) return null;
      if (connection.isQuiet) return connection;
      connection.close();
    }
  }

  onFree(connection: Connection): void {
    // A promise of less than the margin is one that cannot be relied on.
    if (this.#isRetired || keptMs(connection) <= 0) connection.close();
    else if (this.#carrying.delete(connection)) this.#free.push(connection);
  }

  onClosed(connection: Connection): void {
    if (this.#carrying.delete(connection)) {
      if (this.#isRetired && this.#carrying.size === 0) this.ticker.remove(this);
      return;
    }
    const at = this.#free.indexOf(connection);
    if (at >= 0) this.#free.splice(at, 1);
  }

  onBug(error: unknown): void {
    this.#report(error);
  }

  onTick(nowMs: number): void {
    for (const connection of this.#carrying) connection.checkSilence(nowMs);
    for (const connection of [...this.#free]) {
      if (nowMs - connection.freeSinceMs > keptMs(connection)) connection.close();
    }
  }

  /** Nobody will ask for connections any more: who still runs on one finishes there. */
  retire(): void {
    this.#isRetired = true;
    for (const connection of [...this.#free]) connection.close();
    if (this.#carrying.size === 0) this.ticker.remove(this);
  }

  /** Ends everything that still runs, without a word to anybody. */
  destroy(): void {
    this.retire();
    for (const connection of [...this.#carrying]) connection.close();
  }
}

function keptMs({ keepAliveSeconds }: Connection): number {
  if (keepAliveSeconds < 0) return KEEP_ALIVE_MS;
  return Math.min(KEEP_ALIVE_MS, keepAliveSeconds * 1_000 - KEEP_ALIVE_MARGIN_MS);
}

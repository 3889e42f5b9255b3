import type { Client, Dispatcher, Pool } from 'undici';
import type { Ticker, Ticking } from '../../ticker.ts';
import { HEAD_LIMIT_BYTES } from '../../wire/response-parser.ts';
import { Dial, type Dialled, Sessions } from '../dial.ts';
import type { UpstreamTarget, UpstreamTimeouts } from '../target.ts';
import { KEEP_ALIVE_MARGIN_MS, KEEP_ALIVE_MS } from '../target.ts';
import type { Transport, UpstreamCall, UpstreamEvents, UpstreamRequest } from '../transport.ts';
import { UndiciCall, type UndiciConnection, type UndiciHome } from './call.ts';
import { loadUndici } from './library.ts';
import { watchStreams } from './streams.ts';
import { type PoolMaker, type Way, Ways } from './ways.ts';

type Undici = ReturnType<typeof loadUndici>;

/** A transport of undici for one target; loads the library if this is the thread's first. */
export function openUndici(
  target: UpstreamTarget,
  ticker: Ticker,
  report: (error: unknown) => void,
): UndiciTransport {
  return new UndiciTransport(loadUndici(), target, ticker, report);
}

/** A provider's connections on this worker, kept by undici. */
class UndiciTransport implements Transport, UndiciHome, Ticking {
  readonly host: string;
  readonly timeouts: UpstreamTimeouts;
  readonly targetPrefix: string;
  readonly proxyFields: readonly string[];
  readonly tickMs: number;
  readonly isHttp2: boolean;
  readonly #ticker: Ticker;
  readonly onBug: (error: unknown) => void;
  readonly #clients: ClientMaker;
  readonly #ways: Ways;
  readonly #running = new Set<UndiciCall>();
  #isRetired = false;

  constructor(
    undici: Undici,
    target: UpstreamTarget,
    ticker: Ticker,
    report: (error: unknown) => void,
  ) {
    const { authority, proxy, host } = target;
    const isAbsolute = proxy !== null && !authority.tls;
    this.host = host;
    this.timeouts = target.timeouts;
    this.targetPrefix = isAbsolute ? `http://${host}` : '';
    this.proxyFields =
      isAbsolute && proxy.authorization !== null
        ? ['proxy-authorization', proxy.authorization.reveal()]
        : [];
    this.tickMs = ticker.periodMs;
    this.isHttp2 = target.http2;
    if (target.http2) watchStreams();
    this.#ticker = ticker;
    this.onBug = report;
    const sessions = new Sessions();
    this.#clients = new ClientMaker(undici, target, sessions);
    this.#ways = new Ways({ target, sessions, clock: ticker, maker: this.#clients });
    ticker.add(this);
  }

  get now(): number {
    return this.#ticker.now;
  }

  /** Requests under way, with connections that are being opened ahead of one; and pools that take turns. */
  get held(): { readonly carrying: number; readonly ways: number } {
    const { opening, standing } = this.#ways.held;
    return { carrying: this.#running.size + opening, ways: standing };
  }

  open(
    request: UpstreamRequest,
    content: readonly Buffer[],
    whole: boolean,
    events: UpstreamEvents,
  ): UpstreamCall {
    // A request that came before a reload asks when its body comes, which may be behind it.
    if (this.#isRetired) this.#ticker.add(this);
    return new UndiciCall(this, request, content, whole, events);
  }

  dispatch(options: Dispatcher.DispatchOptions, call: UndiciCall, fresh: boolean): void {
    this.#running.add(call);
    if (!fresh && !this.#isRetired) {
      this.#ways.next().dispatch(options, call);
      return;
    }
    const client = this.#clients.client(null);
    client.dispatch(options, call);
    // Closed once that request is over.
    void client.close();
  }

  onOver(call: UndiciCall): void {
    this.#running.delete(call);
    if (this.#isRetired && this.#running.size === 0) this.#ticker.remove(this);
  }

  onTick(nowMs: number): void {
    for (const call of this.#running) call.checkSilence(nowMs);
    this.#ways.onTick(nowMs);
  }

  /** Who still runs on a connection finishes there; the others are closed. */
  retire(): void {
    if (this.#isRetired) return;
    this.#isRetired = true;
    this.#ways.close();
    if (this.#running.size === 0) this.#ticker.remove(this);
  }
}

/** Makes undici's clients, each with a dial of its own. */
class ClientMaker implements PoolMaker {
  readonly #undici: Undici;
  readonly #target: UpstreamTarget;
  readonly #sessions: Sessions;
  readonly #origin: string;

  constructor(undici: Undici, target: UpstreamTarget, sessions: Sessions) {
    this.#undici = undici;
    this.#target = target;
    this.#sessions = sessions;
    // A name for undici alone: where connections lead is the dial's business, and Host is a field of the request.
    this.#origin = `${target.authority.tls ? 'https' : 'http'}://${target.host}`;
  }

  pool(way: Way): Pool {
    const factory = () => this.client(way);
    return new this.#undici.Pool(this.#origin, { ...this.#options(), factory });
  }

  /** @param way null for one that is closed behind its only request */
  client(way: Way | null): Client {
    const connection = new ConnectionState(this.#target, this.#sessions, way);
    const connect = (_to: unknown, dialled: Dialled) => connection.connect(dialled);
    const client = new this.#undici.Client(this.#origin, { ...this.#options(), connect });
    const dispatch = client.dispatch.bind(client);
    client.dispatch = (options, handler) => {
      if (handler instanceof UndiciCall) handler.takenBy(connection);
      return dispatch(options, handler);
    };
    return client;
  }

  #options(): Client.Options {
    return {
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      keepAliveTimeoutThreshold: KEEP_ALIVE_MARGIN_MS,
      maxHeaderSize: HEAD_LIMIT_BYTES,
      // The house's clock counts silences: undici's does not see one that begins while it connects or uploads.
      headersTimeout: 0,
      bodyTimeout: 0,
      // On by default, and then the server chooses.
      allowH2: this.#target.http2,
    };
  }
}

/** What a client of undici does not tell of its connection. */
class ConnectionState implements UndiciConnection {
  readonly #target: UpstreamTarget;
  readonly #sessions: Sessions;
  readonly #way: Way | null;
  #dial: Dial | null = null;
  isReused = false;

  constructor(target: UpstreamTarget, sessions: Sessions, way: Way | null) {
    this.#target = target;
    this.#sessions = sessions;
    this.#way = way;
  }

  connect(dialled: Dialled): void {
    this.isReused = false;
    const ready = this.#way?.takeReady() ?? null;
    if (ready !== null) {
      // undici expects no answer while it asks.
      process.nextTick(dialled, null, ready);
      return;
    }
    const told: Dialled = (error, socket) => {
      this.#dial = null;
      if (error !== null) dialled(error, null);
      else {
        this.#way?.onStanding(socket);
        dialled(null, socket);
      }
    };
    this.#dial = new Dial(this.#target, this.#sessions, told, this.#way?.inTurn);
  }

  used(): void {
    this.isReused = true;
  }

  doubt(): void {
    this.#sessions.keep(undefined);
  }

  giveUp(): void {
    this.#dial?.cancel();
  }
}

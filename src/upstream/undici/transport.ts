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
  readonly #pool: Pool;
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
    this.#clients = new ClientMaker(undici, target);
    this.#pool = this.#clients.pool();
    ticker.add(this);
  }

  get now(): number {
    return this.#ticker.now;
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
      this.#pool.dispatch(options, call);
      return;
    }
    const client = this.#clients.client();
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
  }

  /** Who still runs on a connection finishes there; the others are closed. */
  retire(): void {
    if (this.#isRetired) return;
    this.#isRetired = true;
    void this.#pool.close();
    if (this.#running.size === 0) this.#ticker.remove(this);
  }
}

/** Makes undici's clients, each with a dial of its own. */
class ClientMaker {
  readonly #undici: Undici;
  readonly #target: UpstreamTarget;
  readonly #sessions = new Sessions();
  readonly #origin: string;

  constructor(undici: Undici, target: UpstreamTarget) {
    this.#undici = undici;
    this.#target = target;
    // A name for undici alone: where connections lead is the dial's business, and Host is a field of the request.
    this.#origin = `${target.authority.tls ? 'https' : 'http'}://${target.host}`;
  }

  pool(): Pool {
    const factory = () => this.client();
    return new this.#undici.Pool(this.#origin, { ...this.#options(), factory });
  }

  client(): Client {
    const connection = new ConnectionState(this.#target, this.#sessions);
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
  #dial: Dial | null = null;
  isReused = false;

  constructor(target: UpstreamTarget, sessions: Sessions) {
    this.#target = target;
    this.#sessions = sessions;
  }

  connect(dialled: Dialled): void {
    this.isReused = false;
    this.#dial = new Dial(this.#target, this.#sessions, (...told) => {
      this.#dial = null;
      dialled(...told);
    });
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

import type { LookupAddress } from 'node:dns';
import type { Socket } from 'node:net';
import type { Pool } from 'undici';
import { Dial, type Dialled, type InTurn, type Sessions } from '../dial.ts';
import { Replicas } from '../h1/replicas.ts';
import { connectionAgeMs, KEEP_ALIVE_MS, type UpstreamTarget } from '../target.ts';

/** Where a way gets its pool. */
export interface PoolMaker {
  pool(way: Way): Pool;
}

/** What ways are made of. */
interface Ground {
  readonly target: UpstreamTarget;
  readonly sessions: Sessions;
  readonly clock: { readonly now: number };
  readonly maker: PoolMaker;
}

/**
 * One of the pools among which a provider's requests take turns. Its connections go to one address first, that of the
 * first of them.
 */
export class Way {
  readonly #ways: Ways;
  readonly pool: Pool;
  /** From when on it takes no other request; milliseconds of the clock. */
  readonly oldAtMs: number;
  address = '';
  /** Opened ahead of its first request, which has not come yet. */
  #ready: Socket | null;

  constructor(ways: Ways, maker: PoolMaker, oldAtMs: number, ready: Socket | null) {
    this.#ways = ways;
    this.oldAtMs = oldAtMs;
    this.#ready = ready;
    this.address = ready?.remoteAddress ?? '';
    this.pool = maker.pool(this);
    this.pool.on('disconnect', () => this.#ways.onDisconnected(this));
  }

  /** The connection that was opened ahead, if it is still there: for the first request alone. */
  takeReady(): Socket | null {
    const ready = this.#ready;
    this.#ready = null;
    if (ready === null || ready.destroyed || ready.readableEnded) return null;
    return ready;
  }

  get waits(): boolean {
    return this.#ready !== null;
  }

  /** A connection of it stands. */
  onStanding(socket: Socket): void {
    if (this.address !== '') return;
    this.address = socket.remoteAddress ?? '';
    this.#ways.onStanding(this);
  }

  /** Of a name's addresses, its own first as long as the name has it. */
  readonly inTurn: InTurn = (found: readonly LookupAddress[]): LookupAddress[] => {
    const turned = this.#ways.inTurn(found);
    const own = turned.findIndex(({ address }) => address === this.address);
    if (own <= 0) return turned;
    const [first] = turned.splice(own, 1);
    return first === undefined ? turned : [first, ...turned];
  };

  /** Whoever still runs on one of its connections finishes there. */
  close(): void {
    this.#ready?.destroy();
    this.#ready = null;
    void this.pool.close();
  }
}

/**
 * A provider's pools on this worker, one for each address of its name that stands: undici asks the same client again as
 * long as it is free, and over HTTP/2 one for everything, so a pool alone would keep to the address that was connected to
 * first, for ever. Pools take turns and grow old where the house's client does that with connections, by the same rules
 * (`h1/replicas.ts`). Behind a proxy the addresses are the proxy's business: then there is one pool, which grows old.
 */
export class Ways {
  readonly #ground: Ground;
  readonly #replicas = new Replicas<Way>();
  /** Of which is not known yet where it leads, or of one address more than are told apart. */
  #first: Way | null = null;
  /** Those that take turns. */
  readonly #standing = new Set<Way>();
  /** Connections that are being opened ahead. */
  #opening = 0;
  #isClosed = false;
  /** When a pool was asked for last; milliseconds of the clock. */
  #askedMs = Number.NEGATIVE_INFINITY;

  constructor(ground: Ground) {
    this.#ground = ground;
  }

  /** The pool whose turn it is. */
  next(): Pool {
    const way = this.#take() ?? this.#takeFirst();
    if (this.#replicas.count > 1) this.#spread();
    return way.pool;
  }

  get held(): { readonly opening: number; readonly standing: number } {
    return { opening: this.#opening, standing: this.#standing.size };
  }

  #take(): Way | null {
    for (;;) {
      const way = this.#replicas.take();
      if (way === undefined) return null;
      if (this.#ground.clock.now <= way.oldAtMs) {
        this.#replicas.onFree(way);
        return way;
      }
      this.#close(way);
    }
  }

  #takeFirst(): Way {
    if (this.#first !== null && this.#ground.clock.now <= this.#first.oldAtMs) return this.#first;
    this.#first?.close();
    this.#first = this.#make(null);
    return this.#first;
  }

  #make(ready: Socket | null): Way {
    const { clock, maker } = this.#ground;
    return new Way(this, maker, clock.now + connectionAgeMs(), ready);
  }

  /**
   * Opens a connection beside the request, to an address that has none: no request waits for the sake of the turns. Only
   * while requests come so fast that it would be used again before it is given up.
   */
  #spread(): void {
    const { clock, target, sessions } = this.#ground;
    const gapMs = clock.now - this.#askedMs;
    this.#askedMs = clock.now;
    if (gapMs * this.#replicas.count > KEEP_ALIVE_MS || !this.#replicas.lacksOne(clock.now)) return;
    this.#opening++;
    const opened: Dialled = (_error, socket) => {
      this.#opening--;
      if (socket !== null) this.#opened(socket);
    };
    new Dial(target, sessions, opened, this.inTurn);
  }

  #opened(socket: Socket): void {
    if (this.#isClosed) {
      socket.destroy();
      return;
    }
    const way = this.#make(socket);
    this.#standing.add(way);
    const standing = this.#replicas.onStanding(way);
    // The address that it was opened for is gone from the name, or did not answer.
    if (standing !== 1 || !this.#replicas.onFree(way)) this.#close(way);
  }

  /** For the ways alone: the same addresses, the one whose turn it is first. */
  readonly inTurn: InTurn = (found) =>
    this.#ground.target.proxy === null ? this.#replicas.inTurn(found) : [...found];

  /** For the ways alone. */
  onStanding(way: Way): void {
    if (way !== this.#first || this.#ground.target.proxy !== null) return;
    this.#replicas.onStanding(way);
    if (!this.#replicas.onFree(way)) return;
    this.#first = null;
    this.#standing.add(way);
  }

  /** For the ways alone: one without a connection would let the request whose turn it is wait for a new one. */
  onDisconnected(way: Way): void {
    const { connected, size } = way.pool.stats;
    if (connected === 0 && size === 0 && this.#standing.has(way)) this.#close(way);
  }

  #close(way: Way): void {
    this.#standing.delete(way);
    this.#replicas.onClosed(way);
    way.close();
  }

  /** Ends what is old, and what was opened ahead and nobody used. */
  onTick(nowMs: number): void {
    for (const way of this.#standing) {
      const isUnused = way.waits && nowMs - this.#askedMs > KEEP_ALIVE_MS;
      if (isUnused || nowMs > way.oldAtMs) this.#close(way);
    }
    if (this.#first === null || nowMs <= this.#first.oldAtMs) return;
    this.#first.close();
    this.#first = null;
  }

  close(): void {
    this.#isClosed = true;
    for (const way of this.#standing) this.#close(way);
    this.#first?.close();
    this.#first = null;
  }
}

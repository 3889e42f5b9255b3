import type { LookupAddress } from 'node:dns';

/**
 * Most addresses of a name that are told apart; the others are still connected to, in the resolver's order. A look at
 * each of them is taken per request.
 */
const REPLICAS_MAX = 64;

/** An address that could not be connected to ahead of need is tried again no earlier than that, in milliseconds. */
const JOIN_AGAIN_MS = 60_000;

/** One address of a provider's name, and what waits for requests there. */
interface Replica<C> {
  readonly address: string;
  /** The last one freed is the first one used: the others grow old and are closed. */
  readonly free: C[];
  /** Connections that stand, busy or free. */
  standing: number;
  /** The resolver's last answer had it. */
  isListed: boolean;
  /** When it was chosen last, counted in choices. */
  turn: number;
  triedMs: number;
}

/**
 * The addresses of a provider's name, and its free connections by address. A headless service behind a name has one
 * address per replica, and without turns the first that was connected to would get every request of a small team.
 *
 * Requests take turns among the addresses that have a free connection, new connections among all that the resolver
 * named. Only one family takes turns, that of the resolver's first address (RFC 6724 sorts): the other one of a dual-stack
 * host is the same server over a way that may not work, and is left to the connecting (RFC 8305).
 */
export class Replicas<C extends { readonly address: string }> {
  readonly #replicas: Replica<C>[] = [];
  #turns = 0;

  /** How many addresses are known. */
  get count(): number {
    return this.#replicas.length;
  }

  /** Connections that wait for a request, of all addresses. */
  get free(): readonly C[] {
    return this.#replicas.flatMap(({ free }) => free);
  }

  /**
   * A name was looked up for a new connection.
   * @returns the same addresses, the one whose turn it is first
   */
  inTurn(found: readonly LookupAddress[]): LookupAddress[] {
    const [first] = found;
    for (const replica of this.#replicas) replica.isListed = false;
    for (const { address, family } of found) {
      const replica = family === first?.family ? this.#known(address) : undefined;
      if (replica !== undefined) replica.isListed = true;
    }
    for (const replica of [...this.#replicas]) this.#drop(replica);
    const turn = ({ address }: LookupAddress): number =>
      this.#of(address)?.turn ?? Number.MAX_SAFE_INTEGER;
    const sorted = [...found].sort((a, b) => turn(a) - turn(b));
    const chosen = this.#of(sorted[0]?.address ?? '');
    if (chosen !== undefined) chosen.turn = ++this.#turns;
    return sorted;
  }

  /** The connection that has waited shortest at the address that has waited longest. */
  take(): C | undefined {
    let next: Replica<C> | undefined;
    for (const replica of this.#replicas) {
      if (replica.free.length > 0 && (next === undefined || replica.turn < next.turn))
        next = replica;
    }
    if (next === undefined) return undefined;
    next.turn = ++this.#turns;
    return next.free.pop();
  }

  /** @returns how many stand at its address now; 0 when there is no room to remember it */
  onStanding(connection: C): number {
    const replica = this.#known(connection.address);
    if (replica !== undefined) replica.standing++;
    return replica?.standing ?? 0;
  }

  /** @returns false when there is no room to remember it */
  onFree(connection: C): boolean {
    const replica = this.#of(connection.address);
    replica?.free.push(connection);
    return replica !== undefined;
  }

  /** A connection that stood is closed. */
  onClosed(connection: C): void {
    const replica = this.#of(connection.address);
    if (replica === undefined) return;
    replica.standing--;
    const at = replica.free.indexOf(connection);
    if (at >= 0) replica.free.splice(at, 1);
    this.#drop(replica);
  }

  /** Whether a connection should be opened ahead of need: it will be one to an address that has none. */
  lacksOne(nowMs: number): boolean {
    for (const replica of this.#replicas) {
      const { isListed, standing, triedMs } = replica;
      if (!isListed || standing > 0 || nowMs - triedMs < JOIN_AGAIN_MS) continue;
      replica.triedMs = nowMs;
      replica.turn = 0;
      return true;
    }
    return false;
  }

  #of(address: string): Replica<C> | undefined {
    for (const replica of this.#replicas) if (replica.address === address) return replica;
    return undefined;
  }

  #known(address: string): Replica<C> | undefined {
    const known = this.#of(address);
    if (known !== undefined || this.#replicas.length >= REPLICAS_MAX) return known;
    const replica: Replica<C> = {
      address,
      free: [],
      standing: 0,
      isListed: false,
      turn: 0,
      triedMs: Number.NEGATIVE_INFINITY,
    };
    this.#replicas.push(replica);
    return replica;
  }

  /** Forgets an address that is gone from the name, with its last connection. */
  #drop(replica: Replica<C>): void {
    if (replica.isListed || replica.standing > 0) return;
    const at = this.#replicas.indexOf(replica);
    if (at >= 0) this.#replicas.splice(at, 1);
  }
}

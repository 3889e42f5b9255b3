/**
 * Who makes which answer, and who waits for it: one table for all workers of a node. ARCHITECTURE.md, "The cache", has its
 * states and its failures.
 */

import type { AnswerHead, AnswerStore, KeptAnswer, PurgeScope } from './answer-store.ts';
import type { FromCache, ToCache } from './cache-messages.ts';

/**
 * How often one answer may come to nothing before those that wait for it each ask for themselves: what fails three times in a
 * row fails for all of them, and one after the other they would wait for ever.
 */
export const FAILURES_MAX = 3;

/** One request of a worker. */
interface Caller {
  readonly worker: number;
  readonly call: number;
}

/** One answer that is being made. */
interface Flight {
  readonly id: number;
  readonly key: string;
  /** The worker of whoever makes it; null: the store is being asked. */
  leader: number | null;
  /** Who waits, the first one first. */
  readonly followers: Map<string, Caller>;
  /** Not yet longer than what is kept. */
  isJoinable: boolean;
  /** Whoever makes it tells each piece; it goes on with that when nobody waits any more, because somebody may again. */
  isShared: boolean;
  head: AnswerHead | null;
  readonly parts: Uint8Array<ArrayBuffer>[];
  hasEnded: boolean;
  failures: number;
  /** What was thrown away meanwhile, and must not come back with it. */
  readonly purged: PurgeScope[];
}

/** Tells a worker. */
type Tell = (worker: number, message: FromCache) => void;

export class Flights {
  readonly #store: AnswerStore;
  readonly #tell: Tell;
  /** By key: those that may be joined. */
  readonly #byKey = new Map<string, Flight>();
  readonly #byId = new Map<number, Flight>();
  /** Where each caller waits. */
  readonly #waiting = new Map<string, Flight>();
  #ids = 0;

  constructor(store: AnswerStore, tell: Tell) {
    this.#store = store;
    this.#tell = tell;
  }

  /** Answers that are being made. */
  get size(): number {
    return this.#byId.size;
  }

  hear(worker: number, message: ToCache): void {
    if (message.kind === 'ask') {
      this.#ask({ worker, call: message.call }, message.key, message.isRefresh);
      return;
    }
    if (message.kind === 'again') {
      this.#again({ worker, call: message.call }, message.key);
      return;
    }
    if (message.kind === 'leave') {
      this.#leave(worker, message.call);
      return;
    }
    const flight = this.#byId.get(message.flight);
    // One that was given to somebody else, or is over.
    if (flight?.leader !== worker) return;
    if (message.kind === 'head') this.#headCame(flight, message.head);
    else if (message.kind === 'piece') this.#pieceCame(flight, message.bytes);
    else if (message.kind === 'ended') this.#ended(flight);
    else if (message.kind === 'closed') this.#close(flight);
    else if (message.kind === 'failed') this.#failed(flight);
    else this.#settled(flight, message.answer);
  }

  /** A worker has gone: what it made comes to nothing, and none of its requests waits. */
  forget(worker: number): void {
    for (const flight of [...this.#byId.values()]) {
      for (const [name, caller] of flight.followers)
        if (caller.worker === worker) this.#drop(flight, name);
      if (flight.leader === worker) this.#failed(flight);
      else this.#unwanted(flight);
    }
  }

  /**
   * What is kept is thrown away, and so is what is being made, as far as it is the same owner's. Whoever asks from now on gets none
   * of it; whoever waits already does.
   * @param done told how many were kept
   */
  purge(of: PurgeScope, done: (count: number) => void): void {
    for (const flight of this.#byId.values()) {
      flight.purged.push(of);
      this.#unlist(flight);
    }
    this.#store.purge(of, done);
  }

  // ---- who asks ------------------------------------------------------------------------------------------------------

  #ask(caller: Caller, key: string, isRefresh: boolean): void {
    if (isRefresh) {
      // Whoever wants what is made anyway goes on waiting for that.
      this.#lead(this.#open(key), caller);
      return;
    }
    const running = this.#byKey.get(key);
    if (running !== undefined) {
      this.#join(running, caller);
      return;
    }
    const flight = this.#open(key);
    this.#byKey.set(key, flight);
    this.#wait(flight, caller);
    this.#store.get(key, (answer) => this.#found(flight, answer));
  }

  #found(flight: Flight, answer: KeptAnswer | null): void {
    if (answer === null) {
      this.#next(flight);
      return;
    }
    for (const { worker, call } of flight.followers.values())
      this.#tell(worker, { kind: 'hit', call, answer });
    this.#end(flight);
  }

  #join(flight: Flight, caller: Caller): void {
    const { id, leader, head } = flight;
    const isTold = head !== null && this.#isTold(flight, caller.worker);
    this.#wait(flight, caller);
    if (leader === null) return;
    this.#tell(caller.worker, { kind: 'follow', call: caller.call, flight: id, isTold });
    if (flight.followers.size === 1)
      this.#tell(leader, { kind: 'wanted', flight: id, isWanted: true });
    flight.isShared = true;
    // Its worker has all of it so far where another one of its requests follows.
    if (!isTold) this.#tellSoFar(flight, caller.worker);
  }

  #tellSoFar({ id, head, parts, hasEnded }: Flight, worker: number): void {
    if (head === null) return;
    this.#tell(worker, { kind: 'head', flight: id, head });
    for (const bytes of parts) this.#tell(worker, { kind: 'piece', flight: id, bytes });
    if (hasEnded) this.#tell(worker, { kind: 'ended', flight: id });
  }

  #again(caller: Caller, key: string): void {
    const name = nameOf(caller);
    const flight = this.#waiting.get(name);
    if (flight === undefined) this.#ask(caller, key, false);
    else if (!flight.isJoinable) {
      this.#drop(flight, name);
      this.#tell(caller.worker, { kind: 'alone', call: caller.call });
      this.#unwanted(flight);
    } else {
      // What is on its way to it is a part of what it does not have.
      this.#tell(caller.worker, { kind: 'anew', flight: flight.id, isSame: true });
      this.#tellSoFar(flight, caller.worker);
    }
  }

  #isTold({ followers }: Flight, worker: number): boolean {
    for (const caller of followers.values()) if (caller.worker === worker) return true;
    return false;
  }

  #leave(worker: number, call: number): void {
    const name = nameOf({ worker, call });
    const flight = this.#waiting.get(name);
    if (flight === undefined) return;
    this.#drop(flight, name);
    this.#unwanted(flight);
  }

  #unwanted(flight: Flight): void {
    if (flight.followers.size > 0) return;
    if (flight.leader === null) this.#end(flight);
    else if (flight.isShared && !flight.hasEnded)
      this.#tell(flight.leader, { kind: 'wanted', flight: flight.id, isWanted: false });
  }

  // ---- who makes it --------------------------------------------------------------------------------------------------

  #lead(flight: Flight, { worker, call }: Caller): void {
    flight.leader = worker;
    this.#tell(worker, { kind: 'lead', call, flight: flight.id });
  }

  /** The first one that waits makes it; the others follow. */
  #next(flight: Flight): void {
    const [first] = flight.followers;
    if (first === undefined) {
      this.#end(flight);
      return;
    }
    const [name, caller] = first;
    const isNew = flight.leader === null;
    this.#drop(flight, name);
    if (!isNew)
      for (const worker of this.#workersOf(flight))
        this.#tell(worker, { kind: 'anew', flight: flight.id, isSame: false });
    this.#lead(flight, caller);
    if (flight.followers.size === 0) return;
    if (isNew)
      for (const { worker, call } of flight.followers.values())
        this.#tell(worker, { kind: 'follow', call, flight: flight.id, isTold: false });
    flight.isShared = true;
    this.#tell(caller.worker, { kind: 'wanted', flight: flight.id, isWanted: true });
  }

  #headCame(flight: Flight, head: AnswerHead): void {
    flight.head = head;
    for (const worker of this.#workersOf(flight))
      this.#tell(worker, { kind: 'head', flight: flight.id, head });
  }

  #pieceCame(flight: Flight, bytes: Uint8Array<ArrayBuffer>): void {
    // For whoever joins later.
    if (flight.isJoinable) flight.parts.push(bytes);
    for (const worker of this.#workersOf(flight))
      this.#tell(worker, { kind: 'piece', flight: flight.id, bytes });
  }

  #ended(flight: Flight): void {
    flight.hasEnded = true;
    for (const worker of this.#workersOf(flight))
      this.#tell(worker, { kind: 'ended', flight: flight.id });
  }

  #close(flight: Flight): void {
    flight.isJoinable = false;
    flight.parts.length = 0;
    this.#unlist(flight);
  }

  #failed(flight: Flight): void {
    flight.failures++;
    if (flight.hasEnded) {
      // Whoever waited was told all of it.
      this.#end(flight);
    } else if (flight.head?.isEventStream === true) {
      // Of a stream that has begun nobody can be told another one's rest.
      for (const worker of this.#workersOf(flight))
        this.#tell(worker, { kind: 'failed', flight: flight.id });
      this.#end(flight);
    } else if (flight.failures >= FAILURES_MAX || !flight.isJoinable) {
      for (const { worker, call } of flight.followers.values())
        this.#tell(worker, { kind: 'alone', call });
      this.#end(flight);
    } else {
      flight.isShared = false;
      flight.head = null;
      flight.parts.length = 0;
      this.#next(flight);
    }
  }

  #settled(flight: Flight, answer: KeptAnswer | null): void {
    // Who came when whoever made it had told its end already: nobody asked for its pieces in time.
    if (!flight.hasEnded && flight.followers.size > 0) {
      if (answer === null) {
        this.#failed(flight);
        return;
      }
      this.#found(flight, answer);
    }
    const isPurged = flight.purged.some(
      ({ tenant, key }) =>
        (tenant === null || tenant === answer?.made.tenant) &&
        (key === null || key === answer?.made.key),
    );
    if (answer !== null && !isPurged) this.#store.put(flight.key, answer);
    this.#end(flight);
  }

  // ---- the table -----------------------------------------------------------------------------------------------------

  #open(key: string): Flight {
    const flight: Flight = {
      id: ++this.#ids,
      key,
      leader: null,
      followers: new Map(),
      isJoinable: true,
      isShared: false,
      head: null,
      parts: [],
      hasEnded: false,
      failures: 0,
      purged: [],
    };
    this.#byId.set(flight.id, flight);
    return flight;
  }

  #wait(flight: Flight, caller: Caller): void {
    const name = nameOf(caller);
    flight.followers.set(name, caller);
    this.#waiting.set(name, flight);
  }

  #drop(flight: Flight, name: string): void {
    flight.followers.delete(name);
    this.#waiting.delete(name);
  }

  #workersOf({ followers }: Flight): ReadonlySet<number> {
    const workers = new Set<number>();
    for (const { worker } of followers.values()) workers.add(worker);
    return workers;
  }

  #unlist(flight: Flight): void {
    if (this.#byKey.get(flight.key) === flight) this.#byKey.delete(flight.key);
  }

  #end(flight: Flight): void {
    this.#unlist(flight);
    this.#byId.delete(flight.id);
    for (const name of flight.followers.keys()) this.#waiting.delete(name);
    flight.followers.clear();
  }
}

function nameOf({ worker, call }: Caller): string {
  return `${worker}/${call}`;
}

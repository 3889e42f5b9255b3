/** A worker's side of the cache: who of its requests asks, makes an answer, or follows one that is being made. */

import type { AnswerHead, KeptAnswer } from './answer-store.ts';
import type { FromCache, ToCache } from './cache-messages.ts';
import { ANSWER_MAX_BYTES } from './cache-settings.ts';
import { FollowedFlight, type Follower } from './followed-flight.ts';

/** A request that asks whether its answer is there. Told one of these, once; `alone` may follow `follows`. */
export interface CacheAsker extends Follower {
  /** It is there. */
  hit(answer: KeptAnswer): void;
  /** It is not: whoever asks makes it. */
  leads(lead: Lead): void;
  /** Somebody is making it. */
  follows(flight: FollowedFlight): void;
  /** It is not to be had, nor to be kept. @param isAway the cache has gone */
  alone(isAway: boolean): void;
}

/** Whoever makes an answer that others wait for. */
export interface Leader {
  /** From now on each piece is wanted, and first of all what came before. */
  shares(): void;
  /** Nobody waits for it any more: one whose client has gone need not go on. */
  unwanted(): void;
  onBroken(error: unknown): void;
}

/** Brings a message to the cache's thread. @param moved buffers that are the thread's from then on */
type Send = (message: ToCache, moved: readonly ArrayBuffer[]) => void;

const NOTHING: readonly ArrayBuffer[] = [];

/** An answer that a request of this worker makes. */
export class Lead {
  readonly #client: CacheClient;
  readonly flight: number;
  /** Others wait for it now. */
  isWanted = false;
  /** Its pieces are told. */
  isShared = false;
  leader: Leader | null = null;
  #isOver = false;

  constructor(client: CacheClient, flight: number) {
    this.#client = client;
    this.flight = flight;
  }

  head(head: AnswerHead): void {
    this.#tell({ kind: 'head', flight: this.flight, head });
  }

  /** @param bytes have all of their buffer, and are the cache's from now on */
  piece(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.#isOver)
      this.#client.send({ kind: 'piece', flight: this.flight, bytes }, [bytes.buffer]);
  }

  ended(): void {
    this.#tell({ kind: 'ended', flight: this.flight });
  }

  /** It is longer than what is kept. */
  closed(): void {
    this.#tell({ kind: 'closed', flight: this.flight });
  }

  /** It comes to nothing. The last word. */
  failed(): void {
    this.#tell({ kind: 'failed', flight: this.flight });
    this.#over();
  }

  /** It has ended. The last word. @param answer null: it is not to be kept */
  settled(answer: KeptAnswer | null): void {
    if (this.#isOver) return;
    const moved = answer === null ? NOTHING : [answer.body.buffer];
    this.#client.send({ kind: 'settled', flight: this.flight, answer }, moved);
    this.#over();
  }

  #tell(message: ToCache): void {
    if (!this.#isOver) this.#client.send(message, NOTHING);
  }

  #over(): void {
    this.#isOver = true;
    this.leader = null;
    this.#client.forget(this);
  }
}

export class CacheClient {
  readonly #send: Send;
  readonly #report: (error: unknown) => void;
  readonly #askers = new Map<number, CacheAsker>();
  readonly #keys = new Map<number, string>();
  readonly #calls = new Map<CacheAsker, number>();
  readonly #leads = new Map<number, Lead>();
  readonly #flights = new Map<number, FollowedFlight>();
  readonly #followed = new Map<CacheAsker, FollowedFlight>();
  #count = 0;
  /** The thread has gone: nothing is there until another one has its place. */
  #isGone = false;

  constructor(send: Send, report: (error: unknown) => void) {
    this.#send = send;
    this.#report = report;
  }

  /** For `Lead`. */
  send(message: ToCache, moved: readonly ArrayBuffer[]): void {
    if (!this.#isGone) this.#send(message, moved);
  }

  /** For `Lead`. */
  forget({ flight }: Lead): void {
    this.#leads.delete(flight);
  }

  /**
   * @param key of `cacheKey`
   * @param isRefresh what is kept is not wanted
   * @returns false when nobody can be asked: it is told nothing then
   */
  ask(key: string, isRefresh: boolean, asker: CacheAsker): boolean {
    if (this.#isGone) return false;
    const call = ++this.#count;
    this.#askers.set(call, asker);
    this.#calls.set(asker, call);
    this.#keys.set(call, key);
    this.send({ kind: 'ask', call, key, isRefresh }, NOTHING);
    return true;
  }

  /** It asks, or follows, no more. */
  leave(asker: CacheAsker): void {
    this.#unfollow(asker);
    const call = this.#calls.get(asker);
    if (call === undefined) return;
    this.#askers.delete(call);
    this.#calls.delete(asker);
    this.#keys.delete(call);
    this.send({ kind: 'leave', call }, NOTHING);
  }

  #unfollow(asker: CacheAsker): void {
    const flight = this.#followed.get(asker);
    if (flight === undefined) return;
    this.#followed.delete(asker);
    flight.leave(asker);
    if (!flight.hasFollowers) this.#flights.delete(flight.id);
  }

  /** What the cache's thread says. Does not throw. */
  hear(message: FromCache): void {
    try {
      this.#heard(message);
    } catch (error) {
      this.#report(error);
    }
  }

  #heard(message: FromCache): void {
    switch (message.kind) {
      case 'hit':
      case 'lead':
      case 'follow':
      case 'alone':
        this.#answered(message);
        break;
      case 'wanted':
        this.#wanted(message.flight, message.isWanted);
        break;
      case 'head':
        this.#flights.get(message.flight)?.headCame(message.head);
        break;
      case 'piece':
        this.#flights.get(message.flight)?.pieceCame(message.bytes);
        break;
      case 'anew':
        this.#flights.get(message.flight)?.anew(message.isSame);
        break;
      default:
        // It stays until the last one has read it: others may still be sent to it.
        this.#flights.get(message.flight)?.over(message.kind);
    }
  }

  #answered(message: Extract<FromCache, { readonly call: number }>): void {
    const asker = this.#askers.get(message.call);
    if (asker === undefined) {
      // It left meanwhile: whoever waits behind it is to have its turn.
      if (message.kind === 'lead') new Lead(this, message.flight).failed();
      return;
    }
    if (message.kind !== 'follow') this.#done(message.call, asker);
    try {
      if (message.kind === 'hit') asker.hit(message.answer);
      else if (message.kind === 'lead') asker.leads(this.#leadOf(message.flight));
      else if (message.kind === 'follow') this.#follow(message, asker);
      else asker.alone(false);
    } catch (error) {
      asker.onBroken(error);
    }
  }

  #done(call: number, asker: CacheAsker): void {
    this.#askers.delete(call);
    this.#calls.delete(asker);
    this.#keys.delete(call);
    this.#unfollow(asker);
  }

  #leadOf(flight: number): Lead {
    const lead = new Lead(this, flight);
    this.#leads.set(flight, lead);
    return lead;
  }

  #follow(
    { call, flight: id, isTold }: Extract<FromCache, { readonly kind: 'follow' }>,
    asker: CacheAsker,
  ): void {
    this.#unfollow(asker);
    const known = this.#flights.get(id);
    const key = this.#keys.get(call);
    // The others that were told it left while this one was on its way, and it went with them. Each asks for itself: by then it may
    // be over, and each gets an answer of its own.
    const lacksBeginning = isTold && known?.lacksBeginning !== false;
    if (lacksBeginning && key !== undefined) this.send({ kind: 'again', call, key }, NOTHING);
    const flight = known ?? new FollowedFlight(id, ANSWER_MAX_BYTES, lacksBeginning);
    if (known === undefined) this.#flights.set(id, flight);
    flight.join(asker);
    this.#followed.set(asker, flight);
    asker.follows(flight);
  }

  #wanted(flight: number, isWanted: boolean): void {
    const lead = this.#leads.get(flight);
    const leader = lead?.leader ?? null;
    if (lead === undefined) return;
    lead.isWanted = isWanted;
    const isFirst = isWanted && !lead.isShared;
    if (isWanted) lead.isShared = true;
    if (leader === null) return;
    try {
      if (isFirst) leader.shares();
      else if (!isWanted) leader.unwanted();
    } catch (error) {
      leader.onBroken(error);
    }
  }

  /** Whoever makes an answer that its own client does not read any more. */
  readonly headless = new Set<Leader>();

  /** The worker ends. */
  endAll(): void {
    for (const leader of [...this.headless]) {
      try {
        leader.unwanted();
      } catch (error) {
        leader.onBroken(error);
      }
    }
  }

  /** The thread has gone, and takes with it whatever it was asked. */
  gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    const flights = [...this.#flights.values()];
    const followers = [...this.#followed.keys()];
    const askers = [...this.#askers.values()].filter((asker) => !this.#followed.has(asker));
    this.#askers.clear();
    this.#calls.clear();
    this.#keys.clear();
    this.#flights.clear();
    // Whoever was told of an answer's beginning cannot be told another one's rest.
    for (const asker of followers) {
      const flight = this.#followed.get(asker);
      if (flight?.end === null && flight.head?.isEventStream !== true) askers.push(asker);
    }
    for (const asker of askers) {
      this.#unfollow(asker);
      try {
        asker.alone(true);
      } catch (error) {
        asker.onBroken(error);
      }
    }
    for (const flight of flights) if (flight.end === null) flight.over('failed');
    this.endAll();
  }
}

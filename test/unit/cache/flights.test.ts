import { Buffer } from 'node:buffer';
import { describe, expect, test } from 'vitest';
import type { AnswerHead, AnswerStore, KeptAnswer } from '../../../src/cache/answer-store.ts';
import {
  type CacheAsker,
  CacheClient,
  type Lead,
  type Leader,
} from '../../../src/cache/cache-client.ts';
import type { FromCache, ToCache } from '../../../src/cache/cache-messages.ts';
import { Flights } from '../../../src/cache/flights.ts';
import { type FollowedFlight, LAG_MAX_BYTES } from '../../../src/cache/followed-flight.ts';
import { MemoryStore } from '../../../src/cache/memory-store.ts';

const WHOLE: AnswerHead = {
  status: 200,
  lines: '',
  isEventStream: false,
  streamAsked: false,
  format: 'json',
};
const STREAM: AnswerHead = { ...WHOLE, isEventStream: true, format: 'events' };

/** A node: the table in one thread, workers in others, and messages on their way between them. */
class Node {
  readonly store: AnswerStore = new MemoryStore(1e7, { holds() {}, evicted() {} });
  readonly flights = new Flights(this.store, (worker, message) => {
    this.#down.push({ worker, message: structuredClone(message) });
  });
  readonly clients: CacheClient[] = [];
  readonly #up: { readonly worker: number; readonly message: ToCache }[] = [];
  readonly #down: { readonly worker: number; readonly message: FromCache }[] = [];
  readonly #dead = new Set<number>();

  worker(): CacheClient {
    const worker = this.clients.length;
    const client = new CacheClient(
      (message) => {
        if (!this.#dead.has(worker)) this.#up.push({ worker, message: structuredClone(message) });
      },
      (error) => {
        throw error;
      },
    );
    this.clients.push(client);
    return client;
  }

  /** What is on its way arrives, and what follows from it. */
  settle(): void {
    while (this.step(0)) {}
  }

  /** @param which of the ways goes first. @returns false when nothing is on its way */
  step(which: number): boolean {
    const goesUp = this.#up.length > 0 && (which % 2 === 0 || this.#down.length === 0);
    const up = goesUp ? this.#up.shift() : undefined;
    const down = goesUp ? undefined : this.#down.shift();
    if (up !== undefined) this.flights.hear(up.worker, up.message);
    if (down !== undefined && !this.#dead.has(down.worker))
      this.clients[down.worker]?.hear(down.message);
    return up !== undefined || down !== undefined;
  }

  /** A worker ends, as it does when it crashes: nobody says anything for it. */
  kill(worker: number): void {
    this.#dead.add(worker);
    this.flights.forget(worker);
  }
}

/** A request of a worker. */
class Asker implements CacheAsker, Leader {
  readonly client: CacheClient;
  lead: Lead | null = null;
  flight: FollowedFlight | null = null;
  told: 'nothing' | 'hit' | 'lead' | 'follow' | 'alone' | 'ended' | 'failed' | 'lost' = 'nothing';
  text = '';
  head: AnswerHead | null = null;
  isSlow = false;
  isLong = false;
  leaves = 0;
  made = '';
  owner = { tenant: '', key: '' };

  constructor(client: CacheClient) {
    this.client = client;
  }

  ask(key = 'key', isRefresh = false): this {
    this.client.ask(key, isRefresh, this);
    return this;
  }

  hit({ head, body }: KeptAnswer): void {
    this.told = 'hit';
    this.head = head;
    this.text = Buffer.from(body).toString();
  }

  leads(lead: Lead): void {
    this.told = 'lead';
    this.text = '';
    this.head = null;
    this.lead = lead;
    lead.leader = this;
  }

  follows(flight: FollowedFlight): void {
    this.told = 'follow';
    this.flight = flight;
    this.flightCame();
  }

  alone(): void {
    this.told = 'alone';
    this.text = '';
  }

  flightCame(): void {
    const { flight } = this;
    if (flight === null || this.told !== 'follow' || this.isSlow) return;
    this.head = flight.head;
    if (flight.head === null || (!flight.head.isEventStream && flight.end === null)) return;
    for (let piece = flight.next(this); piece !== null; piece = flight.next(this))
      this.text += piece.toString();
    if (flight.isLost(this)) this.told = 'lost';
    else if (flight.end !== null && flight.isAtEnd(this)) this.told = flight.end;
  }

  onBroken(error: unknown): void {
    throw error;
  }

  // As a leader.
  shares(): void {
    if (this.head === null) return;
    this.lead?.head(this.head);
    if (this.made !== '') this.#say(this.made);
  }

  unwanted(): void {
    this.leaves++;
  }

  begins(head: AnswerHead): void {
    this.head = head;
    if (this.lead?.isShared === true) this.lead.head(head);
  }

  says(text: string): void {
    this.made += text;
    if (this.lead?.isShared === true) this.#say(text);
  }

  #say(text: string): void {
    this.lead?.piece(new Uint8Array(Buffer.from(text)));
  }

  ends(isKept = true): void {
    if (this.lead?.isShared === true) this.lead.ended();
    const body = new Uint8Array(Buffer.from(this.made));
    const made = {
      model: null,
      targetModel: null,
      route: null,
      costUsd: null,
      ...this.owner,
    };
    const head = this.head ?? WHOLE;
    const answer = { head, body, made, madeMs: 0, expiresMs: Number.MAX_SAFE_INTEGER };
    this.lead?.settled(isKept ? answer : null);
  }
}

function scene(): { readonly node: Node; readonly one: CacheClient; readonly two: CacheClient } {
  const node = new Node();
  return { node, one: node.worker(), two: node.worker() };
}

describe('one answer for all who ask for it', () => {
  test('the first one makes it, the others follow on every worker, and later ones are told it', () => {
    const { node, one, two } = scene();
    const askers = [one, one, two, two].map((client) => new Asker(client).ask());
    node.settle();
    expect(askers.map(({ told }) => told)).toEqual(['lead', 'follow', 'follow', 'follow']);
    const [leader] = askers;
    leader?.begins(STREAM);
    leader?.says('a');
    node.settle();
    const late = new Asker(two).ask();
    const later = new Asker(one).ask();
    node.settle();
    expect([late.text, later.text]).toEqual(['a', 'a']);
    leader?.says('b');
    leader?.ends();
    node.settle();
    for (const asker of [...askers.slice(1), late, later])
      expect([asker.told, asker.text]).toEqual(['ended', 'ab']);
    expect(node.flights.size).toBe(0);
    const after = new Asker(two).ask();
    node.settle();
    expect([after.told, after.text]).toEqual(['hit', 'ab']);
  });

  test('whoever comes between its end and its place in the store is told it too', () => {
    const { node, one, two } = scene();
    const leader = new Asker(one).ask();
    const follower = new Asker(two).ask();
    node.settle();
    leader.begins(WHOLE);
    leader.says('all');
    leader.lead?.ended();
    node.settle();
    const between = new Asker(one).ask();
    node.settle();
    expect([follower.told, between.told, between.text]).toEqual(['ended', 'ended', 'all']);
    leader.lead?.settled(null);
    node.settle();
    expect(new Asker(one).ask().told).toBe('nothing');
  });

  test('whoever comes while the last word on it is on its way is told it, or makes another one', () => {
    for (const isKept of [true, false]) {
      const { node, one, two } = scene();
      const leader = new Asker(one).ask();
      node.settle();
      leader.says('all');
      const late = new Asker(two).ask();
      // The table hears of the late one first, and its word reaches nobody who could do something about it.
      node.step(0);
      leader.ends(isKept);
      node.settle();
      expect(late.told).toBe(isKept ? 'hit' : 'lead');
    }
  });

  test('whoever comes behind a slow reader of its worker is told all of it', () => {
    const { node, one } = scene();
    const [leader, slow] = [new Asker(one).ask(), new Asker(one).ask()];
    node.settle();
    slow.isSlow = true;
    leader.begins(STREAM);
    leader.says('all');
    leader.lead?.ended();
    node.settle();
    const late = new Asker(one).ask();
    node.settle();
    expect([late.told, late.text]).toEqual(['ended', 'all']);
  });

  test('who asks anew makes one of its own, and whoever waits goes on waiting', () => {
    const { node, one } = scene();
    const [leader, follower] = [new Asker(one).ask(), new Asker(one).ask()];
    const anew = new Asker(one).ask('key', true);
    node.settle();
    expect(anew.told).toBe('lead');
    anew.says('new');
    anew.ends();
    node.settle();
    expect(follower.told).toBe('follow');
    leader.begins(STREAM);
    leader.says('old');
    leader.ends(false);
    node.settle();
    expect(follower.text).toBe('old');
    const after = new Asker(one).ask();
    node.settle();
    expect(after.text).toBe('new');
  });
});

describe('what is thrown away while it is made', () => {
  test.each([
    ['its tenant’s', { tenant: '42', key: null }, true],
    ['its key’s', { tenant: '42', key: '7' }, true],
    ['all', { tenant: null, key: null }, true],
    ['another tenant’s', { tenant: '43', key: null }, false],
    ['another key’s', { tenant: null, key: '8' }, false],
  ])('%s: whoever waits is told it, and nobody else where it is the same owner’s', (_what, of, isGone) => {
    const { node, one, two } = scene();
    const [leader, follower] = [new Asker(one).ask(), new Asker(two).ask()];
    node.settle();
    leader.owner = { tenant: '42', key: '7' };
    leader.begins(STREAM);
    leader.says('of before');
    node.settle();
    node.flights.purge(of, () => {});
    const meanwhile = new Asker(two).ask();
    node.settle();
    expect(meanwhile.told).toBe('lead');
    leader.ends();
    node.settle();
    expect([follower.told, follower.text]).toEqual(['ended', 'of before']);
    meanwhile.ends(false);
    node.settle();
    const after = new Asker(one).ask();
    node.settle();
    expect(after.told).toBe(isGone ? 'lead' : 'hit');
    expect(node.flights.size).toBe(isGone ? 1 : 0);
  });
});

describe('an answer that comes to nothing', () => {
  test.each([
    'says so',
    'ends with its worker',
  ])('whoever makes it %s: the next one makes it', (how) => {
    const { node, one, two } = scene();
    const [first, second, third] = [
      new Asker(one).ask(),
      new Asker(two).ask(),
      new Asker(two).ask(),
    ];
    node.settle();
    if (how === 'says so') first.lead?.failed();
    else node.kill(0);
    node.settle();
    expect([second.told, third.told]).toEqual(['lead', 'follow']);
    second.begins(STREAM);
    second.says('x');
    second.ends();
    node.settle();
    expect([third.told, third.text]).toEqual(['ended', 'x']);
  });

  test('within a whole answer the next one makes it, and nothing of the first one is told', () => {
    const { node, one, two } = scene();
    const [first, second, third] = [
      new Asker(one).ask(),
      new Asker(one).ask(),
      new Asker(two).ask(),
    ];
    node.settle();
    first.begins(WHOLE);
    first.says('half');
    node.settle();
    first.lead?.failed();
    node.settle();
    expect(second.told).toBe('lead');
    second.begins(WHOLE);
    second.says('whole');
    second.ends();
    node.settle();
    expect([third.told, third.text]).toEqual(['ended', 'whole']);
  });

  test('within a stream whoever was told of its beginning is told that it broke', () => {
    const { node, one, two } = scene();
    const [first, second] = [new Asker(one).ask(), new Asker(two).ask()];
    node.settle();
    first.begins(STREAM);
    first.says('half');
    node.settle();
    node.kill(0);
    node.settle();
    expect([second.told, second.text]).toEqual(['failed', 'half']);
    expect(node.flights.size).toBe(0);
  });

  test('behind three that came to nothing each of the others asks for itself', () => {
    const { node, one } = scene();
    const askers = Array.from({ length: 6 }, () => new Asker(one).ask());
    for (let at = 0; at < 3; at++) {
      node.settle();
      expect(askers[at]?.told).toBe('lead');
      askers[at]?.lead?.failed();
    }
    node.settle();
    expect(askers.slice(3).map(({ told }) => told)).toEqual(['alone', 'alone', 'alone']);
    expect(node.flights.size).toBe(0);
  });

  test('where a worker dies behind the end of its stream, a slow reader is told all of it', () => {
    const { node, one, two } = scene();
    const [leader, slow] = [new Asker(one).ask(), new Asker(two).ask()];
    node.settle();
    slow.isSlow = true;
    leader.begins(STREAM);
    leader.says('all');
    leader.lead?.ended();
    node.settle();
    node.kill(0);
    node.settle();
    slow.isSlow = false;
    slow.flightCame();
    expect([slow.told, slow.text]).toEqual(['ended', 'all']);
    expect(node.flights.size).toBe(0);
  });

  test('one that left before its turn does not keep the others waiting', () => {
    const { node, one } = scene();
    const [first, second, third] = [
      new Asker(one).ask(),
      new Asker(one).ask(),
      new Asker(one).ask(),
    ];
    node.settle();
    first.lead?.failed();
    one.leave(second);
    node.settle();
    expect([second.told, third.told]).toEqual(['follow', 'lead']);
  });

  test('an answer that grew too long for a place in the store is told to the end to whoever follows it', () => {
    const { node, one, two } = scene();
    const [first, second] = [new Asker(one).ask(), new Asker(two).ask()];
    node.settle();
    first.begins(STREAM);
    first.says('long');
    first.lead?.closed();
    node.settle();
    const late = new Asker(two).ask();
    node.settle();
    expect(late.told).toBe('lead');
    first.says(' end');
    first.ends(false);
    node.settle();
    expect([second.told, second.text]).toEqual(['ended', 'long end']);
  });
});

describe('who leaves', () => {
  test('whoever makes it is told when nobody waits any more, and when somebody does again', () => {
    const { node, one, two } = scene();
    const [leader, follower] = [new Asker(one).ask(), new Asker(two).ask()];
    node.settle();
    leader.begins(STREAM);
    leader.says('a');
    two.leave(follower);
    node.settle();
    expect([leader.leaves, leader.lead?.isWanted]).toEqual([1, false]);
    leader.says('b');
    const late = new Asker(two).ask();
    node.settle();
    expect(leader.lead?.isWanted).toBe(true);
    leader.says('c');
    leader.ends();
    node.settle();
    expect([late.told, late.text]).toEqual(['ended', 'abc']);
  });

  test('a reader that is too far behind loses the rest, and holds back nobody', () => {
    const { node, one } = scene();
    const [leader, slow, quick] = [
      new Asker(one).ask(),
      new Asker(one).ask(),
      new Asker(one).ask(),
    ];
    node.settle();
    slow.isSlow = true;
    leader.begins(STREAM);
    const piece = 'x'.repeat(100_000);
    for (let bytes = 0; bytes < LAG_MAX_BYTES + 400_000; bytes += piece.length) leader.says(piece);
    leader.ends(false);
    node.settle();
    slow.isSlow = false;
    slow.flightCame();
    expect([quick.told, quick.text.length, slow.told]).toEqual(['ended', 1_500_000, 'lost']);
  });

  test('where the thread goes, whoever waits asks for itself, and whoever reads is told that it broke', () => {
    const { node, one } = scene();
    const [leader, reader] = [new Asker(one).ask(), new Asker(one).ask()];
    const waiting = [new Asker(one).ask('other'), new Asker(one).ask('other')];
    node.settle();
    leader.begins(STREAM);
    leader.says('a');
    node.settle();
    const asking = new Asker(one).ask('third');
    one.gone();
    expect(waiting.map(({ told }) => told)).toEqual(['lead', 'alone']);
    expect([reader.told, asking.told]).toEqual(['failed', 'alone']);
    expect(one.ask('key', false, new Asker(one))).toBe(false);
  });
});

/** Numbers that look like chance, and are the same in each run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (state >>> 8) % below;
  };
}

test('whatever comes in whatever order, everybody who stays is told once, and nobody half of anything', () => {
  const outcomes = new Set<string>();
  for (let seed = 1; seed <= 3_000; seed++) {
    const pick = numbers(seed);
    const { node, one, two } = scene();
    const askers: Asker[] = [];
    const left = new Set<Asker>();
    const over = new Set<Asker>();
    for (let turn = 0; turn < 60; turn++) {
      const what = pick(8);
      const some = askers[pick(Math.max(1, askers.length))];
      if (what === 0)
        askers.push(new Asker(pick(2) === 0 ? one : two).ask(`key ${pick(2)}`, pick(6) === 0));
      else if (what === 1) node.step(pick(2));
      else if (what <= 3) {
        node.step(pick(2));
        node.step(pick(2));
      } else if (some === undefined || left.has(some) || over.has(some)) continue;
      else if (some.told === 'lead') act(some, pick(6), over);
      else if (what === 7 && pick(3) === 0) {
        some.client.leave(some);
        left.add(some);
      }
    }
    // Whoever makes something comes to its end.
    for (let round = 0; round < askers.length + 2; round++) {
      node.settle();
      for (const asker of askers) {
        if (asker.told !== 'lead' || over.has(asker)) continue;
        if (asker.head === null) asker.begins(STREAM);
        act(asker, 3, over);
      }
    }
    node.settle();
    expect(node.flights.size, `seed ${seed}`).toBe(0);
    for (const asker of askers) {
      outcomes.add(asker.told);
      if (left.has(asker)) continue;
      expect(['nothing', 'follow', 'lost'], `seed ${seed}`).not.toContain(asker.told);
      if (asker.told === 'ended' || asker.told === 'hit')
        expect(asker.text, `seed ${seed}`).toMatch(/^(\d+)(?:,\1)*;\1$/);
    }
  }
  expect([...outcomes].sort()).toEqual(
    ['alone', 'ended', 'failed', 'follow', 'hit', 'lead', 'nothing'].sort(),
  );
});

let names = 0;

/** One that makes an answer goes on, fails or ends: each piece says who made it. */
function act(asker: Asker, what: number, over: Set<Asker>): void {
  if (asker.head === null) asker.begins(what % 2 === 0 ? STREAM : WHOLE);
  if (what === 4) {
    asker.lead?.failed();
    over.add(asker);
    return;
  }
  // A stream may grow too long to be kept; a whole answer that does is nobody else's.
  if (what === 5 && asker.head?.isEventStream === true) {
    asker.isLong = true;
    asker.lead?.closed();
    if (asker.lead?.isShared === true) return;
    asker.lead?.failed();
    over.add(asker);
    return;
  }
  if (asker.made === '') asker.says(`${++names}`);
  const [name = ''] = asker.made.split(/[,;]/);
  if (what < 3 || what === 5) asker.says(`,${name}`);
  else {
    asker.says(`;${name}`);
    asker.ends(names % 3 > 0 && !asker.isLong);
    over.add(asker);
  }
}

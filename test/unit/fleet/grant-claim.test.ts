import { describe, expect, it } from 'vitest';
import { GrantClaim, type GrantStep } from '../../../src/fleet/grant-claim.ts';
import { decodeGrants, encodeGrants, type GrantEntry } from '../../../src/fleet/grant-entry.ts';

const HORIZON_MS = 2_000;

/** A bucket with one key: writes stand on a revision. */
class Bucket {
  revision = 0;
  text: string | null = null;

  get entry(): GrantEntry | null {
    return this.text === null ? null : decodeGrants(this.text);
  }

  write(entry: GrantEntry, on: number): boolean {
    if (on !== this.revision) return false;
    this.revision++;
    this.text = encodeGrants(entry);
    return true;
  }

  granted(node: string): number {
    return this.entry?.granted.get(node) ?? 0;
  }

  get sum(): number {
    return [...(this.entry?.granted.values() ?? [])].reduce((a, b) => a + b, 0);
  }
}

/** A node whose workers reserve from what it holds. */
class Node {
  readonly name: string;
  readonly claim: GrantClaim;
  readonly #limit: number;
  mayUse = 0;
  spent: number;
  reserved = 0;
  wanted = 0;
  step: GrantStep | null = null;

  constructor(name: string, limit: number, nowMs: number, spent = 0) {
    this.name = name;
    this.#limit = limit;
    this.spent = spent;
    this.claim = new GrantClaim(
      name,
      (held) => {
        this.mayUse = Math.max(held, this.used);
        return this.mayUse;
      },
      nowMs,
    );
    this.look(nowMs);
  }

  get used(): number {
    return this.spent + this.reserved;
  }

  look(nowMs: number): void {
    this.claim.look({ limit: this.#limit, used: this.used, wanted: this.wanted }, nowMs);
    this.wanted = 0;
  }

  reserve(nano: number): boolean {
    if (this.used + nano <= this.mayUse) {
      this.reserved += nano;
      return true;
    }
    this.wanted = Math.max(this.wanted, nano);
    return false;
  }

  /** One question to the bucket at most, answered at once. */
  turn(bucket: Bucket, nowMs: number): void {
    this.look(nowMs);
    for (let asked = 0; asked < 4; asked++) {
      const step = this.claim.step(nowMs, HORIZON_MS);
      if (step === null) return;
      if (step.kind === 'read') this.claim.onRead(bucket.entry, bucket.revision, nowMs);
      else if (bucket.write(step.entry, step.revision))
        this.claim.onWritten(bucket.revision, nowMs);
      else this.claim.onFailed();
    }
  }
}

describe('a claim', () => {
  it('gets at least what one request wants, and no more than a twentieth of what is left beyond it', () => {
    const bucket = new Bucket();
    const node = new Node('a', 1_000_000, 0);
    expect(node.reserve(1_000)).toBe(false);
    node.turn(bucket, 10);
    expect(node.claim.held).toBe(2_000);
    expect(node.reserve(1_000)).toBe(true);
    // A big one is granted whole, however small a twentieth is.
    expect(node.reserve(400_000)).toBe(false);
    node.turn(bucket, 20);
    expect(node.reserve(400_000)).toBe(true);
    expect(node.reserve(30_000)).toBe(false);
    node.turn(bucket, 30);
    expect(node.claim.held - node.used).toBeLessThanOrEqual(30_000);
    expect(node.reserve(30_000)).toBe(true);
  });

  it('asks before it has run out, so that a steady rate is never without', () => {
    const bucket = new Bucket();
    const node = new Node('a', 10_000_000_000, 0);
    let refused = 0;
    for (let nowMs = 0; nowMs < 60_000; nowMs += 100) {
      for (let one = 0; one < 3; one++) if (!node.reserve(20_000)) refused++;
      node.turn(bucket, nowMs);
      node.spent += node.reserved;
      node.reserved = 0;
    }
    // The first ones, until the rate is known.
    expect(refused).toBeLessThan(20);
    expect(node.claim.held - node.used).toBeLessThanOrEqual(2.2 * 600_000);
  });

  it('hands back what nobody used for five seconds, and all when it closes', () => {
    const bucket = new Bucket();
    const node = new Node('a', 1_000_000, 0);
    node.reserve(1_000);
    node.turn(bucket, 10);
    expect(node.reserve(1_000)).toBe(true);
    node.turn(bucket, 20);
    expect(bucket.granted('a')).toBe(2_000);
    node.turn(bucket, 4_900);
    expect(bucket.granted('a')).toBe(2_000);
    node.turn(bucket, 5_100);
    expect(bucket.granted('a')).toBe(1_000);
    node.spent = 700;
    node.reserved = 0;
    node.claim.close();
    node.turn(bucket, 5_200);
    expect(bucket.granted('a')).toBe(700);
    expect(node.claim.isHandedBack).toBe(true);
  });

  it('says that nothing is left only when the bucket said so, and asks again a second later', () => {
    const bucket = new Bucket();
    const [a, b] = [new Node('a', 10_000, 0), new Node('b', 10_000, 0)];
    a.reserve(9_500);
    a.turn(bucket, 10);
    expect(a.reserve(9_500)).toBe(true);
    b.reserve(600);
    b.turn(bucket, 20);
    b.reserve(600);
    b.look(500);
    expect(b.claim.step(500, HORIZON_MS)).toBeNull();
    expect(b.claim.held).toBeLessThan(600);
    a.reserved = 0;
    a.turn(bucket, 6_000);
    b.reserve(600);
    b.turn(bucket, 6_010);
    expect(b.reserve(600)).toBe(true);
  });

  it('tells the bucket what was spent beyond what was held, so that nobody else gets it', () => {
    const bucket = new Bucket();
    const node = new Node('a', 10_000, 0);
    node.reserve(1_000);
    node.turn(bucket, 10);
    node.reserve(1_000);
    node.reserved = 0;
    node.spent = 8_000;
    node.turn(bucket, 20);
    expect(bucket.granted('a')).toBeGreaterThanOrEqual(8_000);
  });

  it('of a limit that was lowered gives up what is too much, and of one that was raised gets more', () => {
    const bucket = new Bucket();
    const grown: { limit: number; used: number }[] = [];
    const claim = new GrantClaim('a', (held) => held, 0);
    const turn = (limit: number, used: number, wanted: number, nowMs: number): void => {
      grown.push({ limit, used });
      claim.look({ limit, used, wanted }, nowMs);
      for (let asked = 0; asked < 4; asked++) {
        const step = claim.step(nowMs, HORIZON_MS);
        if (step?.kind === 'read') claim.onRead(bucket.entry, bucket.revision, nowMs);
        else if (step?.kind === 'write' && bucket.write(step.entry, step.revision))
          claim.onWritten(bucket.revision, nowMs);
      }
    };
    turn(1_000, 0, 900, 10);
    expect(claim.held).toBeGreaterThanOrEqual(900);
    turn(500, 100, 0, 300);
    expect(claim.held).toBe(500);
    turn(2_000, 100, 1_500, 600);
    expect(claim.held).toBeGreaterThanOrEqual(1_600);
  });

  it('of a node that comes again stands as it stood, and what it did not spend is free again', () => {
    const bucket = new Bucket();
    const before = new Node('a', 100_000, 0);
    before.reserve(20_000);
    before.turn(bucket, 10);
    expect(bucket.granted('a')).toBeGreaterThanOrEqual(20_000);
    const again = new Node('a', 100_000, 20, 5_000);
    expect(again.reserve(1)).toBe(false);
    again.turn(bucket, 30);
    expect(again.reserve(1)).toBe(true);
    again.reserved = 0;
    again.turn(bucket, 5_100);
    expect(bucket.granted('a')).toBe(5_000);
  });

  it('alone may use the whole limit, and tells what it used when the bucket is there again', () => {
    const bucket = new Bucket();
    const node = new Node('a', 10_000, 0);
    node.claim.isAlone = true;
    expect(node.reserve(6_000)).toBe(true);
    expect(node.reserve(6_000)).toBe(false);
    node.claim.isAlone = false;
    node.turn(bucket, 10);
    expect(bucket.granted('a')).toBeGreaterThanOrEqual(6_000);
    expect(node.reserve(6_000)).toBe(false);
  });
});

const LIMIT = 1_000_000_000;

/** A write that nobody knows the end of: it may come to the bucket later, or never. */
interface Late {
  readonly entry: GrantEntry;
  readonly revision: number;
}

/** Random numbers that a seed makes again (mulberry32). */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const NODES = 4;

/** Nodes and a bucket between which everything goes wrong. */
class Storm {
  readonly bucket = new Bucket();
  readonly late: Late[] = [];
  readonly nodes = Array.from({ length: NODES }, (_, at) => new Node(`n${at}`, LIMIT, 0));
  readonly #random: (below: number) => number;
  nowMs = 0;
  #lives = NODES;

  constructor(seed: number) {
    this.#random = randomFrom(seed);
  }

  move(): void {
    const at = this.#random(NODES);
    const node = this.nodes[at];
    if (node === undefined) return;
    switch (this.#random(9)) {
      case 0:
      case 1:
        node.reserve(1 + this.#random(LIMIT / 400));
        break;
      case 2:
        // Settled: some of it is given back.
        node.spent += this.#random(node.reserved + 1);
        node.reserved = 0;
        break;
      case 3:
        this.nowMs += this.#random(this.#random(20) === 0 ? 6_000 : 300);
        break;
      case 4:
        if (this.#random(30) === 0) this.#die(at, node);
        break;
      default:
        this.ask(node, ['done', 'done', 'done', 'lost', 'unheard', 'late'][this.#random(6)] ?? '');
    }
    if (this.late.length > 0 && this.#random(10) === 0) {
      const arrives = this.late.splice(this.#random(this.late.length), 1)[0];
      if (arrives !== undefined) this.bucket.write(arrives.entry, arrives.revision);
    }
  }

  ask(node: Node, how: string): void {
    // What is reserved between a look and a step is not known to it.
    if (how === 'settled' || this.#random(3) > 0) node.look(this.nowMs);
    const step = node.claim.step(this.nowMs, HORIZON_MS);
    if (step === null) return;
    if (step.kind === 'read') {
      if (how === 'lost') node.claim.onFailed();
      else node.claim.onRead(this.bucket.entry, this.bucket.revision, this.nowMs);
      return;
    }
    if (how === 'late') this.late.push(step);
    const isHeard = how === 'done' || how === 'settled';
    const reaches = isHeard || how === 'unheard';
    const isDone = reaches && this.bucket.write(step.entry, step.revision);
    if (isDone && isHeard) node.claim.onWritten(this.bucket.revision, this.nowMs);
    else node.claim.onFailed();
  }

  /** It comes again under its own name and knows what it used, or as another one. */
  #die(at: number, node: Node): void {
    const keeps = this.#random(2) === 0;
    const name = keeps ? node.name : `n${this.#lives++}`;
    this.nodes[at] = new Node(name, LIMIT, this.nowMs, keeps ? node.used : 0);
  }
}

describe('grants under faults', () => {
  it('are never more in sum than the limit, never less than what a node holds, and lose no nano-dollar', () => {
    let steps = 0;
    let used = 0;
    for (let seed = 1; seed <= 50; seed++) {
      const storm = new Storm(seed);
      const { bucket, nodes } = storm;
      for (let at = 0; at < 2_000; at++, steps++) {
        storm.move();
        const told = `seed ${seed}, step ${at}`;
        if (bucket.sum > LIMIT) expect(bucket.sum, told).toBeLessThanOrEqual(LIMIT);
        for (const { claim, name, mayUse } of nodes) {
          const granted = bucket.granted(name);
          if (claim.held > granted) expect(claim.held, told).toBeLessThanOrEqual(granted);
          if (mayUse > granted && mayUse > 0)
            expect(mayUse, told).toBeLessThanOrEqual(Math.max(granted, 0));
        }
      }
      for (const { claim } of nodes) claim.close();
      for (let turn = 0; turn < 40; turn++) {
        storm.nowMs += 10;
        for (const node of nodes) storm.ask(node, 'settled');
      }
      let left = LIMIT - bucket.sum;
      for (const [name, nano] of bucket.entry?.granted ?? []) {
        const node = nodes.find((one) => one.name === name);
        if (node !== undefined) expect(nano, `seed ${seed}`).toBe(node.used);
        left += nano;
        used += nano;
      }
      expect(left).toBe(LIMIT);
      expect(nodes.every(({ claim }) => claim.isHandedBack)).toBe(true);
    }
    expect(steps).toBe(100_000);
    // It was about something: a good part of all limits was used.
    expect(used).toBeGreaterThan((50 * LIMIT) / 10);
  });
});

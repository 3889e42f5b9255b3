/**
 * Who made what is stored at the providers: responses, conversations, files. A table in shared memory, so that what one
 * worker saw in an answer, every worker knows before the caller has read it.
 *
 * Decision: an id stands here as 128 bits of a keyed hash: whoever reads the memory, the file or the bucket learns no id,
 * and nobody can prepare ids that share a set. Whether an id is another tenant's or nobody's is not to be told apart: both
 * take the same way through `find`.
 *
 * Decision: the first tenant that an id of a provider was seen with keeps it for its time. Ids are the providers', so nobody
 * else's answer names the same one, but an entry must not be taken over by whoever gets a provider to repeat a text.
 *
 * A set is read and written under a counter (odd while somebody writes): an entry that is half one's and half another's
 * would hand one tenant's conversation to the next.
 */

import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** A u64 in two int32, as a key's identity has its tenant. */
export interface TenantWords {
  readonly low: number;
  readonly high: number;
}

/** An account: a provider and one of its pool keys, by what tells them apart. */
export interface Account {
  readonly provider: number;
  readonly key: number;
}

/** Ids are remembered for so long, in seconds: what OpenAI keeps responses for (platform.openai.com, "Your data"). */
export const KEPT_SECONDS = 30 * 24 * 3_600;

/**
 * An entry that is used, or brought by another answer, is good for KEPT_SECONDS from then on: conversations and files live
 * as long as they are used. Written anew at most once in so many seconds, because each time costs a record.
 */
const RENEW_SECONDS = 24 * 3_600;

/** Neighbours that an entry may stand in; when all are taken the one that ends first goes. */
const WAYS = 8;
/**
 * 524,288 entries, 24 MiB, touched only where entries are: a month of 12 stored answers a minute, for each of which a
 * caller may come back. What finds no room displaces the oldest of its set, counted.
 */
const SETS = 65_536;
export const STATE_ENTRIES = SETS * WAYS;

// An entry in int32 words.
const PRINT_WORDS = 4;
const TENANT_LOW = 4;
const TENANT_HIGH = 5;
const PROVIDER = 6;
const KEY = 7;
const EXPIRES = 8;
const ENTRY_WORDS = 9;
/** In a file and on the way there the number of its set follows, and a checksum of both. */
const SUM_AT = (ENTRY_WORDS + 1) * 4;
export const RECORD_BYTES = SUM_AT + 4;

/** The counter of a set, and what fills its cache line. */
const SET_HEADER_WORDS = 16;
const SET_WORDS = SET_HEADER_WORDS + 80;
/** Before the sets: the secret, and two counters. */
const HEADER_WORDS = 16;
export const SECRET_BYTES = 32;
const DROPPED = 8;
const ENTRIES = 9;
/** Counts the secrets that there were: who has read an older one reads it again. */
const EPOCH = 10;
// A digest has 32 bytes: the first 16 are the print, the next four say where it is.
const SET_BYTE = 16;

/** How long a set that somebody writes is waited for: a thread that was put to sleep in the middle. Milliseconds. */
const WRITER_WAIT_MS = 2;
const WRITER_WAITS = 25;

/** Longest id that is looked up, in UTF-8 bytes; nobody issues longer ones. */
const ID_MAX_BYTES = 512;

/** Providers' names whose hashes are kept. */
const NAMES_MAX = 4_096;

/** Makes the memory that all workers share. @param secret SECRET_BYTES of chance, the same for as long as the ids live */
export function createStateTable(secret: Uint8Array): SharedArrayBuffer {
  const memory = new SharedArrayBuffer((HEADER_WORDS + SETS * SET_WORDS) * 4);
  new Uint8Array(memory, 0, SECRET_BYTES).set(secret);
  return memory;
}

/** One thread's access to the table. */
export class StoredState {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #secret: Uint8Array;
  #epoch = 0;
  readonly #told: ((record: Uint8Array) => void) | null;
  readonly #nowSeconds: () => number;
  /** Secret and id: what is hashed, put together in place. */
  readonly #hashed = Buffer.alloc(SECRET_BYTES + ID_MAX_BYTES * 3);
  readonly #names = new Map<string, number>();
  /** What was found last was last written longer ago than RENEW_SECONDS. */
  #isOld = false;

  /**
   * @param told gets each entry that is new, to be kept beyond the process
   * @param nowSeconds of the unix clock
   */
  constructor(
    memory: SharedArrayBuffer,
    told: ((record: Uint8Array) => void) | null = null,
    nowSeconds: () => number = () => Math.floor(Date.now() / 1_000),
  ) {
    this.#words = new Int32Array(memory);
    this.#secret = new Uint8Array(memory, 0, SECRET_BYTES);
    this.#hashed.set(this.#secret);
    this.#told = told;
    this.#nowSeconds = nowSeconds;
  }

  /** Entries that were displaced or refused since the start, on the node. */
  get dropped(): number {
    return Atomics.load(this.#words, DROPPED);
  }

  /** Entries, those whose time is over included until another takes their place. */
  get entries(): number {
    return Atomics.load(this.#words, ENTRIES);
  }

  /** What a provider's name is here. */
  providerPrint(name: string): number {
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    if (this.#names.size >= NAMES_MAX) this.#names.clear();
    const print = hash('sha256', name, 'buffer').readInt32LE(0);
    this.#names.set(name, print);
    return print;
  }

  /** An answer to this tenant brought an id. */
  remember(id: string, tenant: TenantWords, { provider, key }: Account): void {
    const digest = this.#digest(id);
    if (digest === null) return;
    const entry = new Int32Array(ENTRY_WORDS);
    for (let word = 0; word < PRINT_WORDS; word++) entry[word] = digest.readInt32LE(word * 4);
    entry[TENANT_LOW] = tenant.low;
    entry[TENANT_HIGH] = tenant.high;
    entry[PROVIDER] = provider;
    entry[KEY] = key;
    entry[EXPIRES] = this.#nowSeconds() + KEPT_SECONDS;
    if (this.#put(setOf(digest.readUInt32LE(SET_BYTE)), entry))
      this.#told?.(recordOf(entry, digest));
  }

  /**
   * The accounts at which this tenant has made `id`: none, one, or several where two providers issue the same one. It is about
   * to be used, which renews it.
   */
  find(id: string, tenant: TenantWords): readonly Account[] {
    const found = this.#found(id, (low, high) => low === tenant.low && high === tenant.high);
    if (this.#isOld) for (const account of found) this.remember(id, tenant, account);
    return found;
  }

  /** Whether another tenant has made `id`. */
  isStrangers(id: string, tenant: TenantWords): boolean {
    return this.#found(id, (low, high) => low !== tenant.low || high !== tenant.high).length > 0;
  }

  #found(id: string, isWanted: (low: number, high: number) => boolean): readonly Account[] {
    const digest = this.#digest(id);
    if (digest === null) return [];
    const set = setOf(digest.readUInt32LE(SET_BYTE));
    for (let wait = 0; wait <= WRITER_WAITS; wait++) {
      const before = Atomics.load(this.#words, set);
      if ((before & 1) === 0) {
        const found = this.#read(set, digest, isWanted);
        if (Atomics.load(this.#words, set) === before) return found;
      } else {
        Atomics.wait(this.#words, set, before, WRITER_WAIT_MS);
      }
    }
    return [];
  }

  /**
   * Takes an entry that was kept: from a file, or from another node.
   * @returns false when the bytes are none, its time is over, or it found no place
   */
  take(record: Buffer): boolean {
    if (record.length !== RECORD_BYTES) return false;
    const sum = record.readUInt32LE(SUM_AT);
    if (crc32(record.subarray(0, SUM_AT)) !== sum) return false;
    const entry = new Int32Array(ENTRY_WORDS);
    for (let word = 0; word < ENTRY_WORDS; word++) entry[word] = record.readInt32LE(word * 4);
    if ((entry[EXPIRES] ?? 0) <= this.#nowSeconds()) return false;
    return this.#put(setOf(record.readUInt32LE(ENTRY_WORDS * 4)), entry);
  }

  /** Another secret: what was remembered under the last one is found by nobody any more, and goes. */
  adopt(secret: Uint8Array): void {
    this.#secret.set(secret);
    Atomics.add(this.#words, EPOCH, 1);
    for (let number = 0; number < SETS; number++) {
      const set = setOf(number);
      // What was never written is not touched, so that it takes no memory.
      if (Atomics.load(this.#words, set) === 0 || !this.#lock(set)) continue;
      this.#words.fill(0, set + SET_HEADER_WORDS, set + SET_HEADER_WORDS + WAYS * ENTRY_WORDS);
      Atomics.add(this.#words, set, 1);
    }
    Atomics.store(this.#words, ENTRIES, 0);
  }

  /** Every entry whose time is not over, as `take` takes it. */
  *records(): Generator<Buffer> {
    const now = this.#nowSeconds();
    for (let number = 0; number < SETS; number++) {
      const set = setOf(number);
      if (Atomics.load(this.#words, set) === 0) continue;
      const entries = this.#copied(set);
      for (let at = 0; at < entries.length; at += ENTRY_WORDS) {
        const entry = entries.subarray(at, at + ENTRY_WORDS);
        if ((entry[EXPIRES] ?? 0) > now) yield sealed(entry, number);
      }
    }
  }

  /** A set's entries as they were at one moment; none where its writer does not end. */
  #copied(set: number): Int32Array {
    const entries = new Int32Array(WAYS * ENTRY_WORDS);
    for (let wait = 0; wait <= WRITER_WAITS; wait++) {
      const before = Atomics.load(this.#words, set);
      if ((before & 1) === 0) {
        for (let word = 0; word < entries.length; word++)
          entries[word] = this.#word(set + SET_HEADER_WORDS + word);
        if (Atomics.load(this.#words, set) === before) return entries;
      } else {
        Atomics.wait(this.#words, set, before, WRITER_WAIT_MS);
      }
    }
    return entries.subarray(0, 0);
  }

  #digest(id: string): Buffer | null {
    if (id === '' || id.length > ID_MAX_BYTES) return null;
    const epoch = Atomics.load(this.#words, EPOCH);
    if (epoch !== this.#epoch) {
      this.#hashed.set(this.#secret);
      this.#epoch = epoch;
    }
    const end = SECRET_BYTES + this.#hashed.write(id, SECRET_BYTES, 'utf8');
    return hash('sha256', this.#hashed.subarray(0, end), 'buffer');
  }

  #read(
    set: number,
    digest: Buffer,
    isWanted: (low: number, high: number) => boolean,
  ): readonly Account[] {
    const now = this.#nowSeconds();
    const found: Account[] = [];
    this.#isOld = false;
    for (let way = 0; way < WAYS; way++) {
      const at = set + SET_HEADER_WORDS + way * ENTRY_WORDS;
      if (
        this.#holds(at, digest) &&
        isWanted(this.#word(at + TENANT_LOW), this.#word(at + TENANT_HIGH)) &&
        this.#word(at + EXPIRES) > now
      ) {
        found.push({ provider: this.#word(at + PROVIDER), key: this.#word(at + KEY) });
        if (this.#word(at + EXPIRES) <= now + KEPT_SECONDS - RENEW_SECONDS) this.#isOld = true;
      }
    }
    return found;
  }

  #holds(at: number, digest: Buffer): boolean {
    for (let word = 0; word < PRINT_WORDS; word++)
      if (this.#word(at + word) !== digest.readInt32LE(word * 4)) return false;
    return true;
  }

  /** @returns whether the table holds it now, and did not before */
  #put(set: number, entry: Int32Array): boolean {
    if (!this.#lock(set)) {
      Atomics.add(this.#words, DROPPED, 1);
      return false;
    }
    const at = this.#placeFor(set, entry);
    if (at >= 0)
      for (let word = 0; word < ENTRY_WORDS; word++)
        Atomics.store(this.#words, at + word, entry[word] ?? 0);
    Atomics.add(this.#words, set, 1);
    Atomics.notify(this.#words, set);
    return at >= 0;
  }

  /** Where an entry goes; -1 where another tenant has the id, or this one has it already. Only under the lock. */
  #placeFor(set: number, entry: Int32Array): number {
    const now = this.#nowSeconds();
    let best = -1;
    for (let way = 0; way < WAYS; way++) {
      const at = set + SET_HEADER_WORDS + way * ENTRY_WORDS;
      const expires = this.#word(at + EXPIRES);
      const isLive = expires > now;
      if (isLive && this.#isSameObject(at, entry)) return this.#replaces(at, entry) ? at : -1;
      if (best < 0 || expires < this.#word(best + EXPIRES)) best = at;
    }
    const displaced = this.#word(best + EXPIRES);
    if (displaced > now) Atomics.add(this.#words, DROPPED, 1);
    else if (displaced === 0) Atomics.add(this.#words, ENTRIES, 1);
    return best;
  }

  #isSameObject(at: number, entry: Int32Array): boolean {
    for (let word = 0; word < PRINT_WORDS; word++)
      if (this.#word(at + word) !== entry[word]) return false;
    return this.#word(at + PROVIDER) === entry[PROVIDER];
  }

  /** Whether an entry may stand in the place of one of the same id: the same tenant's, and it says something new. */
  #replaces(at: number, entry: Int32Array): boolean {
    const isSameTenant =
      this.#word(at + TENANT_LOW) === entry[TENANT_LOW] &&
      this.#word(at + TENANT_HIGH) === entry[TENANT_HIGH];
    if (!isSameTenant) Atomics.add(this.#words, DROPPED, 1);
    if (!isSameTenant) return false;
    const isLater = (entry[EXPIRES] ?? 0) - this.#word(at + EXPIRES) >= RENEW_SECONDS;
    return isLater || this.#word(at + KEY) !== entry[KEY];
  }

  /** @returns false when the set's writer did not end: a thread that died in the middle */
  #lock(set: number): boolean {
    for (let wait = 0; wait <= WRITER_WAITS; wait++) {
      const seen = Atomics.load(this.#words, set);
      if ((seen & 1) === 0) {
        if (Atomics.compareExchange(this.#words, set, seen, (seen + 1) | 0) === seen) return true;
      } else {
        Atomics.wait(this.#words, set, seen, WRITER_WAIT_MS);
      }
    }
    return false;
  }

  #word(at: number): number {
    return Atomics.load(this.#words, at);
  }
}

/** Whether a record is another one that is good for longer, and says nothing else. */
export function renews(later: Buffer, earlier: Buffer): boolean {
  if (later.length !== RECORD_BYTES || earlier.length !== RECORD_BYTES) return false;
  const at = EXPIRES * 4;
  return (
    later.compare(earlier, 0, at, 0, at) === 0 && later.readInt32LE(at) > earlier.readInt32LE(at)
  );
}

function setOf(number: number): number {
  return HEADER_WORDS + (number % SETS) * SET_WORDS;
}

function recordOf(entry: Int32Array, digest: Buffer): Buffer {
  return sealed(entry, digest.readUInt32LE(SET_BYTE) % SETS);
}

/** An entry, the number of its set, and a checksum of both. */
function sealed(entry: Int32Array, set: number): Buffer {
  const record = Buffer.alloc(RECORD_BYTES);
  for (let word = 0; word < ENTRY_WORDS; word++) record.writeInt32LE(entry[word] ?? 0, word * 4);
  record.writeUInt32LE(set, ENTRY_WORDS * 4);
  record.writeUInt32LE(crc32(record.subarray(0, SUM_AT)), SUM_AT);
  return record;
}

/** 32 bits that are one tenant's: which of a provider's keys has what it stores. */
export function tenantSeed({ low, high }: TenantWords): number {
  return (low ^ Math.imul(high, 0x9e3779b1)) | 0;
}

/**
 * The overlay of a fleet: a JetStream KV bucket beside the deny-set's, one key for each entry. Beside it, because that one is
 * read whole every half minute, and may have an age limit, by which entries would vanish.
 */

import { DenyBucket, type DenyChange, NO_BUCKET, reasonOf } from '../deny/deny-bucket.ts';
import type { DenySource } from '../deny/deny-source.ts';
import {
  decodeEntry,
  ENTRIES_MAX,
  encodeEntry,
  OVERLAY_TABLES,
  type OverlayChange,
  type OverlayEntry,
  type OverlayTable,
  placeFrom,
  placeOf,
} from './overlay-entry.ts';
import { OverlayConflict, type OverlayState, type OverlayStore } from './overlay-store.ts';

/** "wrong last sequence" (nats-server, server/errors.json): somebody has written it already. */
const WRITTEN_ALREADY = 10_071;

/** Before the name where a key of NATS could not hold it as it is: `=` and base64url. */
const ENCODED = '=';
const PLAIN = /^[A-Za-z0-9_-]+$/;

/** Where a fleet keeps its overlay. */
export function overlaySource(source: DenySource): DenySource {
  return { ...source, bucket: `${source.bucket}-overlay` };
}

/** The key of the bucket for an entry. */
export function overlayKey(table: OverlayTable, name: string): string {
  const plain = PLAIN.test(name);
  return `${table}.${plain ? name : `${ENCODED}${Buffer.from(name).toString('base64url')}`}`;
}

/** @returns null for a key that is none of ours */
function placeOfKey(key: string): Pick<OverlayChange, 'table' | 'name'> | null {
  const dot = key.indexOf('.');
  const table = OVERLAY_TABLES.find((known) => known === key.slice(0, dot));
  const word = key.slice(dot + 1);
  if (table === undefined) return null;
  const isEncoded = word.startsWith(ENCODED);
  const name = isEncoded ? Buffer.from(word.slice(1), 'base64url').toString('utf8') : word;
  return placeFrom(`${table}.${name}`);
}

/** What a bucket holds, told change by change. */
export class OverlayReading {
  readonly #entries = new Map<string, OverlayEntry | null>();
  /** Up to where it has been told. */
  revision = 0;

  apply({ key, operation, revision, value }: DenyChange): void {
    this.revision = Math.max(this.revision, revision);
    if (operation !== 'PUT') {
      this.#entries.delete(key);
      return;
    }
    const place = placeOfKey(key);
    const text = Buffer.from(value).toString('utf8');
    this.#entries.delete(key);
    // More than any writer lets in: whoever wrote past it is not followed.
    if (this.#entries.size >= ENTRIES_MAX) return;
    this.#entries.set(key, place === null ? null : decodeEntry(place, text, revision));
  }

  state(): OverlayState {
    const all = [...this.#entries];
    return {
      entries: all
        .flatMap(([, entry]) => (entry === null ? [] : [entry]))
        .sort((left, right) => left.revision - right.revision),
      unreadable: all.filter(([, entry]) => entry === null).map(([key]) => key),
    };
  }
}

export class OverlayBucket implements OverlayStore {
  readonly place: string;
  readonly #bucket: DenyBucket;

  private constructor(place: string, bucket: DenyBucket) {
    this.place = place;
    this.#bucket = bucket;
  }

  /**
   * @param create makes the bucket where there is none
   * @throws Error with one line that says what to do
   */
  static async connect(source: DenySource, create: boolean): Promise<OverlayBucket> {
    const at = overlaySource(source);
    const bucket = await DenyBucket.connect(at, create).catch((error: unknown) => {
      throw new Error(
        `Cannot reach NATS at ${source.urls.join(', ')} (${reasonOf(error)}). Check nats_url and nats_creds_file.`,
      );
    });
    return new OverlayBucket(`bucket ${at.bucket}`, bucket);
  }

  async list(): Promise<readonly OverlayEntry[]> {
    return (await this.#read()).entries;
  }

  async put(change: OverlayChange, expected: number | null): Promise<number> {
    const key = overlayKey(change.table, change.name);
    const data = Buffer.from(encodeEntry(change));
    if (expected === null && (await this.list()).length >= ENTRIES_MAX)
      throw new Error(`${this.place} has ${ENTRIES_MAX} entries: no more fit. Delete some.`);
    const { kv } = this.#bucket;
    const put = expected === null ? kv.create(key, data) : kv.update(key, data, expected);
    return await put.catch((error: unknown) => this.#fails(placeOf(change), error));
  }

  async delete(table: OverlayTable, name: string, expected: number): Promise<void> {
    const gone = this.#bucket.kv.delete(overlayKey(table, name), { previousSeq: expected });
    await gone.catch((error: unknown) => this.#fails(placeOf({ table, name }), error));
  }

  async close(): Promise<void> {
    await this.#bucket.close();
  }

  async #read(): Promise<OverlayState> {
    const reading = new OverlayReading();
    try {
      await this.#bucket.info();
      const following = await this.#bucket.watch(null, (change) => reading.apply(change));
      await Promise.race([following.seeded, following.ended]).finally(() => following.stop());
    } catch (error) {
      if (reasonOf(error) !== NO_BUCKET) this.#fails(this.place, error);
    }
    return reading.state();
  }

  #fails(at: string, error: unknown): never {
    const { api_error: told } = error as { readonly api_error?: { readonly err_code?: number } };
    if (told?.err_code === WRITTEN_ALREADY) throw new OverlayConflict(at);
    throw new Error(`NATS refused it (${reasonOf(error)}).`);
  }
}

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { NatsConnection } from 'nats';
import type { Log } from '../outlet/log.ts';
import { readStateFile, StateFile } from './state-file.ts';
import { type FleetMember, StateFleet } from './state-fleet.ts';
import { createStateTable, RECORD_BYTES, SECRET_BYTES, StoredState } from './state-table.ts';

/** Records that wait for the disk, in bytes: 95,000 answers. Beyond it they are lost to a restart, counted. */
const WAITING_MAX_BYTES = 4 * 2 ** 20;

/** The file is made anew when it has this many records more than twice what is remembered. */
const SPARE_RECORDS = 65_536;

/** After a write that failed, in milliseconds. */
const RETRY_MS = 1_000;

const FILE_NAME = 'stored-state';

/** Where the nodes of a fleet share stored state. */
interface StateFleetPlace {
  /** The deny-set's. */
  readonly bucket: string;
  readonly connection: () => NatsConnection | null;
}

/**
 * The main thread's side of stored state: reads the file at the start, and appends what workers tell. Away from requests: the
 * table in memory is what decides.
 */
export class StateKeeper implements FleetMember {
  readonly memory: SharedArrayBuffer;
  readonly #table: StoredState;
  #secret: Buffer;
  readonly #fleet: StateFleet | null;
  readonly #log: Log;
  readonly #path: string | null;
  readonly #file: StateFile | null;
  /** Records in the file. */
  #inFile = 0;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | null = null;
  #isFailing = false;
  /** The file of this process stands. */
  #isMade = false;
  #lost = 0;

  /**
   * @param folder null: nothing outlives the process
   * @param fleet the deny-set's bucket, and the process's connection to NATS while there is one; null: this node is alone
   * @throws Error with one line that says what to do, when the folder cannot be read
   */
  constructor(folder: string | null, log: Log, fleet: StateFleetPlace | null = null) {
    this.#log = log;
    this.#path = folder === null ? null : join(folder, FILE_NAME);
    this.#file = this.#path === null ? null : new StateFile(this.#path);
    const kept = this.#path === null ? null : this.#read(this.#path);
    this.#secret = kept?.secret ?? randomBytes(SECRET_BYTES);
    this.memory = createStateTable(this.#secret);
    this.#table = new StoredState(this.memory);
    this.#fleet = fleet === null ? null : new StateFleet(fleet.bucket, this, log, fleet.connection);
    let broken = 0;
    for (const record of kept?.records ?? []) if (!this.#table.take(record)) broken++;
    this.#inFile = kept?.records.length ?? 0;
    if (kept !== null)
      log.write('debug', 'stored_state_read', {
        entries: this.#table.entries,
        passed_over: broken,
      });
  }

  get entries(): number {
    return this.#table.entries;
  }

  /** Entries that found no room: in the table or, waiting for the disk, in memory. */
  get dropped(): number {
    return this.#table.dropped + this.#lost + (this.#fleet?.lost ?? 0);
  }

  /** Makes the file; called once, before the first worker tells anything. */
  start(): void {
    if (this.#file !== null) this.#write();
    this.#fleet?.start();
  }

  get secret(): Buffer {
    return this.#secret;
  }

  adopt(secret: Buffer): void {
    const forgotten = this.#table.entries;
    this.#secret = secret;
    this.#table.adopt(secret);
    this.#isMade = false;
    if (this.#file !== null) this.#write();
    if (forgotten > 0) this.#log.write('warn', 'stored_state_forgotten', { entries: forgotten });
  }

  learn(record: Buffer): void {
    if (this.#table.take(record)) this.#keep(record);
  }

  /** @returns whether this node knows all that its fleet had told when it was asked; false: nobody can say, or it is alone */
  async caughtUp(): Promise<boolean> {
    return this.#fleet !== null && (await this.#fleet.caughtUp());
  }

  /** @param records of a worker, whole ones */
  add(records: Uint8Array): void {
    this.#fleet?.add(records);
    this.#keep(records);
  }

  #keep(records: Uint8Array): void {
    if (this.#file === null) return;
    if (this.#waitingBytes + records.length > WAITING_MAX_BYTES) {
      this.#lost += records.length / RECORD_BYTES;
      return;
    }
    this.#waiting.push(records);
    this.#waitingBytes += records.length;
    this.#write();
  }

  /** @returns false when the disk did not take what waited within `limitMs` */
  async stop(limitMs: number): Promise<boolean> {
    const deadlineMs = performance.now() + limitMs;
    // What the bucket does not take in that time stays in the file.
    await Promise.race([
      this.#fleet?.stop(),
      new Promise((resolve) => setTimeout(resolve, limitMs / 2).unref()),
    ]);
    while (this.#writing !== null || this.#waitingBytes > 0) {
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) return false;
      await Promise.race([
        this.#writing ?? new Promise((resolve) => setTimeout(resolve, 10)),
        new Promise((resolve) => setTimeout(resolve, leftMs)),
      ]);
    }
    await this.#file?.close();
    return true;
  }

  #read(path: string): ReturnType<typeof readStateFile> {
    try {
      return readStateFile(path);
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown';
      this.#log.write('error', 'stored_state_ignored', { path, reason });
      return null;
    }
  }

  #write(): void {
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = null;
      if (this.#waitingBytes > 0 || !this.#isMade) this.#writeLater();
    });
  }

  #writeLater(): void {
    if (this.#isFailing) setTimeout(() => this.#write(), RETRY_MS).unref();
    else this.#write();
  }

  async #writeAll(): Promise<void> {
    const file = this.#file;
    if (file === null) return;
    try {
      if (!this.#isMade || this.#inFile > 2 * this.#table.entries + SPARE_RECORDS) {
        const secret = this.#secret;
        this.#inFile = await file.renew(secret, this.#table.records());
        // Another one may have been adopted meanwhile.
        this.#isMade = secret === this.#secret;
      }
      while (this.#waiting.length > 0) {
        const bytes = Buffer.concat(this.#waiting);
        // More may come while it is written, and a write that fails is tried again.
        this.#waiting = [bytes];
        await file.append(bytes);
        this.#waiting.shift();
        this.#waitingBytes -= bytes.length;
        this.#inFile += bytes.length / RECORD_BYTES;
      }
      if (this.#isFailing) this.#log.write('info', 'stored_state_recovered');
      this.#isFailing = false;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (!this.#isFailing)
        this.#log.write('error', 'stored_state_failed', {
          path: this.#path,
          reason: code ?? message,
        });
      this.#isFailing = true;
    }
  }
}

/**
 * The file that keeps who made what is stored: a head with the secret of the hashes, then records of one size, appended.
 * A record that was torn or changed fails its checksum and is passed over; what follows it is read all the same.
 */

import { readFileSync } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { RECORD_BYTES, SECRET_BYTES } from './state-table.ts';

const MAGIC = 'SLUICEST';
const VERSION = 1;
const SECRET_AT = MAGIC.length + 4;
const SUM_AT = SECRET_AT + SECRET_BYTES;
const HEAD_BYTES = SUM_AT + 4;

/** Written at a time while the file is made anew, in records. */
const BATCH_RECORDS = 4_096;

/** A file that is none of ours. */
export class StateFileError extends Error {}

/** What a file holds. */
export interface KeptState {
  readonly secret: Buffer;
  /** Records as `StoredState.take` takes them, sound or not. */
  readonly records: readonly Buffer[];
}

/**
 * @returns null when there is no file
 * @throws StateFileError, or Error with the system's code
 */
export function readStateFile(path: string): KeptState | null {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  return decodeState(bytes);
}

/** @throws StateFileError that says what is wrong with it */
export function decodeState(bytes: Buffer): KeptState {
  if (bytes.length < HEAD_BYTES) throw new StateFileError('it is too short');
  if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC)
    throw new StateFileError('it is no file of stored state');
  const version = bytes.readUInt32LE(MAGIC.length);
  if (version !== VERSION) throw new StateFileError(`its version is ${version}, not ${VERSION}`);
  if (crc32(bytes.subarray(0, SUM_AT)) !== bytes.readUInt32LE(SUM_AT))
    throw new StateFileError('its head was changed');
  const records: Buffer[] = [];
  for (let at = HEAD_BYTES; at + RECORD_BYTES <= bytes.length; at += RECORD_BYTES)
    records.push(bytes.subarray(at, at + RECORD_BYTES));
  return { secret: bytes.subarray(SECRET_AT, SUM_AT), records };
}

export function encodeHead(secret: Uint8Array): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.write(MAGIC, 'latin1');
  head.writeUInt32LE(VERSION, MAGIC.length);
  head.set(secret, SECRET_AT);
  head.writeUInt32LE(crc32(head.subarray(0, SUM_AT)), SUM_AT);
  return head;
}

/** A file that is appended to. On the thread pool: a disk that hangs stops nobody. One call at a time. */
export class StateFile {
  readonly #path: string;
  #file: FileHandle | null = null;
  #bytes = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Puts a new file in the place of the last one: whoever reads the path at any moment, and after any crash, finds the one
   * or the other whole (rename(2) is atomic; both the file and its folder are synced).
   * @returns how many records it has
   * @throws Error with the system's code; what was there goes on
   */
  async renew(secret: Uint8Array, records: Iterable<Buffer>): Promise<number> {
    const fresh = `${this.#path}.tmp`;
    const file = await open(fresh, 'w', 0o600);
    let bytes = 0;
    let count = 0;
    try {
      let batch: Buffer[] = [encodeHead(secret)];
      const write = async (): Promise<void> => {
        const all = Buffer.concat(batch);
        await file.writeFile(all);
        bytes += all.length;
        batch = [];
      };
      for (const record of records) {
        batch.push(record);
        count++;
        if (batch.length >= BATCH_RECORDS) await write();
      }
      if (batch.length > 0) await write();
      await file.sync();
      await rename(fresh, this.#path);
    } catch (error) {
      await file.close();
      throw error;
    }
    const before = this.#file;
    this.#file = file;
    this.#bytes = bytes;
    await before?.close();
    const folder = await open(dirname(this.#path), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
    return count;
  }

  /**
   * @param records whole ones
   * @throws Error with the system's code; nothing of them counts as written then
   */
  async append(records: Uint8Array): Promise<void> {
    const file = this.#file;
    if (file === null) throw new Error('the file was never made');
    // At its place, not at the end: half a record of a write that failed would shift all that follow.
    for (let done = 0; done < records.length; ) {
      const left = records.length - done;
      const { bytesWritten } = await file.write(records, done, left, this.#bytes + done);
      done += bytesWritten;
    }
    this.#bytes += records.length;
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
  }
}

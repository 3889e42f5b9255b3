/**
 * The overlay of a gateway without NATS: one file of JSON in `data_dir`, put in the place of the last one whole. Writers take
 * turns by a second file, so that two of them cannot both be the first.
 */

import { readFileSync } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  decodeEntry,
  ENTRIES_MAX,
  encodeEntry,
  type OverlayChange,
  type OverlayEntry,
  type OverlayTable,
  placeFrom,
  placeOf,
} from './overlay-entry.ts';
import {
  NOTHING_OVERLAID,
  OverlayConflict,
  type OverlayState,
  type OverlayStore,
} from './overlay-store.ts';

const FILE_NAME = 'overlay.json';

/** 10,000 entries of a few hundred bytes are 4 MB. */
const FILE_MAX_BYTES = 64 * 1024 * 1024;

/** How long a writer waits for another one, and how often it looks; milliseconds. */
const TURN_MS = 5_000;
const TURN_LOOK_MS = 20;
/** A writer takes milliseconds: one that was killed has left its turn behind after this. */
const TURN_LOST_MS = 10_000;

/** What the file says: `revision` counts every write, `entries` by place. */
interface FileText {
  readonly revision: number;
  readonly entries: Readonly<Record<string, { readonly revision: number }>>;
}

interface Read extends OverlayState {
  readonly revision: number;
  readonly texts: ReadonlyMap<string, string>;
}

const EMPTY: Read = { ...NOTHING_OVERLAID, revision: 0, texts: new Map() };

export function overlayPath(dataDir: string): string {
  return join(dataDir, FILE_NAME);
}

/**
 * @returns nothing overlaid when there is no file
 * @throws Error that says why it cannot be read
 */
export function readOverlayFile(path: string): OverlayState {
  return read(path);
}

function read(path: string): Read {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return EMPTY;
    throw error;
  }
  if (bytes.length > FILE_MAX_BYTES) throw new Error(`it is larger than ${FILE_MAX_BYTES} bytes`);
  const { revision, entries } = textOf(bytes.toString('utf8'));
  const known: OverlayEntry[] = [];
  const unreadable: string[] = [];
  const texts = new Map<string, string>();
  for (const [at, said] of Object.entries(entries)) {
    const text = JSON.stringify(said);
    texts.set(at, text);
    const place = placeFrom(at);
    const entry = place === null ? null : decodeEntry(place, text, said.revision);
    if (entry === null) unreadable.push(at);
    else known.push(entry);
  }
  known.sort((left, right) => left.revision - right.revision);
  return { entries: known, unreadable, revision, texts };
}

function textOf(text: string): FileText {
  const value: unknown = JSON.parse(text);
  const isFile =
    typeof value === 'object' &&
    value !== null &&
    'revision' in value &&
    Number.isSafeInteger(value.revision) &&
    'entries' in value &&
    typeof value.entries === 'object' &&
    value.entries !== null &&
    Object.values(value.entries).every((entry) => Number.isSafeInteger(entry?.revision));
  if (!isFile) throw new Error('it is no overlay of ours');
  return value as FileText;
}

export class OverlayFile implements OverlayStore {
  readonly place: string;

  constructor(dataDir: string) {
    this.place = overlayPath(dataDir);
  }

  async list(): Promise<readonly OverlayEntry[]> {
    return this.#read().entries;
  }

  async put(change: OverlayChange, expected: number | null): Promise<number> {
    return await this.#inTurn(async () => {
      const { revision, texts } = this.#expecting(change, expected);
      if (!texts.has(placeOf(change)) && texts.size >= ENTRIES_MAX)
        throw new Error(`${this.place} has ${ENTRIES_MAX} entries: no more fit. Delete some.`);
      const next = revision + 1;
      const said = { revision: next, ...JSON.parse(encodeEntry(change)) };
      await this.#write(next, new Map([...texts, [placeOf(change), JSON.stringify(said)]]));
      return next;
    });
  }

  async delete(table: OverlayTable, name: string, expected: number): Promise<void> {
    await this.#inTurn(async () => {
      const { revision, texts } = this.#expecting({ table, name }, expected);
      const left = new Map(texts);
      left.delete(placeOf({ table, name }));
      await this.#write(revision + 1, left);
    });
  }

  async close(): Promise<void> {}

  #read(): Read {
    try {
      return read(this.place);
    } catch (error) {
      throw new Error(`Cannot read ${this.place} (${reasonOf(error)}).`);
    }
  }

  #expecting(place: Pick<OverlayChange, 'table' | 'name'>, expected: number | null): Read {
    const known = this.#read();
    const at = placeOf(place);
    const text = known.texts.get(at);
    const found = text === undefined ? null : (JSON.parse(text).revision as number);
    if (found !== expected) throw new OverlayConflict(at);
    return known;
  }

  async #write(revision: number, texts: ReadonlyMap<string, string>): Promise<void> {
    const lines = [...texts].map(([at, text]) => `${JSON.stringify(at)}:${text}`);
    const text = `{"revision":${revision},"entries":{\n${lines.join(',\n')}\n}}\n`;
    const fresh = `${this.place}.tmp`;
    try {
      const file = await open(fresh, 'w', 0o600);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(fresh, this.place);
      const folder = await open(dirname(this.place), 'r');
      await folder.sync().finally(() => folder.close());
    } catch (error) {
      throw new Error(`Cannot write ${this.place} (${reasonOf(error)}).`);
    }
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = `${this.place}.lock`;
    await mkdir(dirname(this.place), { recursive: true, mode: 0o700 });
    for (const endMs = performance.now() + TURN_MS; ; ) {
      try {
        await (await open(turn, 'wx', 0o600)).close();
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
          throw new Error(`Cannot write ${turn} (${reasonOf(error)}).`);
      }
      const { mtimeMs } = await stat(turn).catch(() => ({ mtimeMs: Date.now() }));
      if (Date.now() - mtimeMs > TURN_LOST_MS) await rm(turn, { force: true });
      else if (performance.now() > endMs)
        throw new Error(`${turn} is held by another writer. Try again.`);
      else await new Promise((resolve) => setTimeout(resolve, TURN_LOOK_MS));
    }
    try {
      return await work();
    } finally {
      await rm(turn, { force: true });
    }
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error ? String(error.code) : error.message;
}

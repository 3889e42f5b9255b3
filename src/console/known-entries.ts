/** The configuration's file and what was made at run time over it, as both stand now: what is shown, and what writes stand on. */

import type { z } from 'zod';
import {
  ConfigError,
  type ConfigProblem,
  type ConfigSource,
  type LoadedConfig,
} from '../config/config.ts';
import { configFromDocument } from '../config/config-document.ts';
import { OVERLAY } from '../config/config-source.ts';
import { fileSignature } from '../config/file-signature.ts';
import { loadEffective } from '../overlay/effective-config.ts';
import { openOverlayStore } from '../overlay/open-store.ts';
import {
  isExpired,
  type OverlayChange,
  type OverlayEntry,
  type OverlayTable,
  type OverlayValue,
  placeOf,
} from '../overlay/overlay-entry.ts';
import { OverlayConflict, type OverlayStore } from '../overlay/overlay-store.ts';
import { deleteEntry, putEntry } from '../overlay/write-entry.ts';
import type { GatewayView } from './gateway-view.ts';
import type { Caller } from './operation.ts';
import { Problem, type ProblemPart } from './problem.ts';
import type { ORIGIN } from './shapes.ts';
import { instantText } from './usage-wish.ts';

/** What an entry has for a revision that nobody made at run time: the file's alone, or nothing yet. */
const NO_REVISION = '0';

/** How long what a bucket was found to hold is good for, in milliseconds: a screen asks several things at once. */
const LIST_MS = 500;

type Origin = z.output<typeof ORIGIN>;

/** How things stand. */
export interface Known {
  /** The file with all of the overlay that counts. */
  readonly loaded: LoadedConfig;
  /** All that stands in the store and has not ended, by place. */
  readonly entries: ReadonlyMap<string, OverlayEntry>;
  /** What does not count, and why; what is wrong with the file, if that is. */
  readonly refused: readonly ConfigProblem[];
}

/** What is to be written, and by whom. */
export interface EntryWish {
  readonly caller: Caller;
  readonly table: OverlayTable;
  readonly name: string;
  /** Which revision it replaces; null: there must be none. */
  readonly ifMatch: string | null;
  readonly reason: string;
}

export class KnownEntries {
  readonly #view: GatewayView;
  #known: Known | null = null;
  #signature = '';
  #listed: readonly OverlayEntry[] = [];
  #listedMs = Number.NEGATIVE_INFINITY;

  constructor(view: GatewayView) {
    this.#view = view;
  }

  /** @throws Problem where neither the file nor the store can say */
  async now(): Promise<Known> {
    const entries = await this.#list();
    const before = this.#known;
    if (before !== null && this.#signed(before, entries) === this.#signature) return before;
    const byPlace = new Map(entries.map((entry) => [placeOf(entry), entry]));
    try {
      const { loaded, refused } = loadEffective(this.#view.source, entries, []);
      this.#known = { loaded, entries: byPlace, refused };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      if (before === null)
        throw new Problem('unavailable', 'The configuration on the disk is not valid.', {
          parts: partsOf(error),
        });
      // What it said last goes on, as in the gateway itself.
      return { ...before, entries: byPlace, refused: [...before.refused, ...error.problems] };
    }
    this.#signature = this.#signed(this.#known, entries);
    return this.#known;
  }

  /**
   * Puts an entry in the place of the one that somebody has seen.
   * @returns its revision
   * @throws Problem that says why not
   */
  async put(wish: EntryWish, value: OverlayValue, expiresMs: number | null): Promise<string> {
    const { caller, table, name, reason } = wish;
    const expected = revisionOf(wish.ifMatch);
    const change: OverlayChange = {
      table,
      name,
      value,
      author: caller.name,
      reason,
      atMs: this.#view.now(),
      expiresMs,
    };
    return await this.writing(async (store, source) =>
      String(await putEntry(source, store, change, expected)),
    );
  }

  /** The file counts alone again. @throws Problem that says why not */
  async delete({ table, name, ifMatch }: EntryWish): Promise<void> {
    const known = await this.now();
    const entry = known.entries.get(placeOf({ table, name }));
    if (entry === undefined) {
      const isInFile = known.loaded.overlay.written.get(table)?.has(name) === true;
      if (!isInFile) throw new Problem('not_found');
      throw new Problem('conflict', 'The file says it, and only there can it be taken away.');
    }
    const expected = revisionOf(ifMatch);
    if (expected === null)
      throw new Problem(
        'precondition_required',
        'It stands there: say in If-Match which one goes.',
      );
    if (expected !== entry.revision) throw new Problem('changed_meanwhile');
    await this.writing((store, source) => deleteEntry(source, store, entry));
  }

  /**
   * Writes as its caller has it; the store is closed behind that.
   * @throws Problem that says why not
   */
  async writing<Result>(
    work: (store: OverlayStore, source: ConfigSource) => Promise<Result>,
  ): Promise<Result> {
    const config = configFromDocument(this.#view.running());
    if (config.dataDir === null && config.natsUrl === null)
      throw new Problem(
        'conflict',
        'There is no place for it: set data_dir (one gateway) or nats_url (a fleet) in the configuration.',
      );
    try {
      const store = await openOverlayStore(config, true);
      return await work(store, this.#view.source).finally(() => store.close());
    } catch (error) {
      throw problemOf(error);
    } finally {
      this.#listedMs = Number.NEGATIVE_INFINITY;
    }
  }

  async #list(): Promise<readonly OverlayEntry[]> {
    const config = configFromDocument(this.#view.running());
    if (config.dataDir === null && config.natsUrl === null) return [];
    const nowMs = this.#view.now();
    const isShort = config.natsUrl !== null && nowMs - this.#listedMs < LIST_MS;
    if (!isShort) {
      try {
        const store = await openOverlayStore(config, false);
        this.#listed = await store.list().finally(() => store.close());
        this.#listedMs = nowMs;
      } catch (error) {
        throw new Problem('unavailable', messageOf(error), { retryAfter: 1 });
      }
    }
    return this.#listed.filter((entry) => !isExpired(entry, nowMs));
  }

  #signed({ loaded }: Known, entries: readonly OverlayEntry[]): string {
    const files = [...loaded.files.keys()].map((path) => `${path} ${fileSignature(path)}`);
    const places = entries.map((entry) => `${placeOf(entry)} ${entry.revision}`);
    return [...files, ...places].join('\n');
  }
}

/** What the file and the overlay say of a place, and who. */
export function originOf({ loaded, entries }: Known, table: OverlayTable, name: string): Origin {
  const { locked, written } = loaded.overlay;
  const place = placeOf({ table, name });
  const entry = entries.get(place);
  return {
    file: written.get(table)?.has(name) === true,
    overlay:
      entry === undefined
        ? null
        : {
            author: entry.author,
            reason: entry.reason,
            at: instantText(entry.atMs),
            expires: entry.expiresMs === null ? null : instantText(entry.expiresMs),
          },
    locked: locked.has(place),
  };
}

/** What a write of this place has to say in `If-Match`. */
export function etagOf({ entries }: Known, table: OverlayTable, name: string): string {
  return String(entries.get(placeOf({ table, name }))?.revision ?? NO_REVISION);
}

/** @returns which entry a write stands on; null: there must be none */
export function revisionOf(ifMatch: string | null): number | null {
  if (ifMatch === null || ifMatch === NO_REVISION) return null;
  const revision = /^[1-9]\d{0,15}$/.test(ifMatch) ? Number(ifMatch) : Number.NaN;
  if (Number.isSafeInteger(revision)) return revision;
  throw new Problem('changed_meanwhile', 'If-Match names no revision of this.');
}

/** What went wrong with a write, as the API tells it. */
function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof OverlayConflict) return new Problem('changed_meanwhile', error.message);
  if (error instanceof ConfigError) {
    const isLocked = error.problems.every((problem) => problem.isLocked === true);
    return new Problem(isLocked ? 'locked' : 'invalid', '', { parts: partsOf(error) });
  }
  return new Problem('unavailable', messageOf(error), { retryAfter: 1 });
}

/** What is told of them: where they stand in the gateway's own tables is nobody's business. */
function partsOf({ problems }: ConfigError): readonly ProblemPart[] {
  return problems.map(({ file, key, found, expected }) => ({
    key: file === OVERLAY ? key : `${file}: ${key}`,
    found,
    expected,
  }));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown';
}

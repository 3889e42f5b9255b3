import type { OverlayChange, OverlayEntry, OverlayTable } from './overlay-entry.ts';

/** Where entries are kept: a file of `data_dir`, or a bucket of NATS. Commands and the admin API write through it. */
export interface OverlayStore {
  /** For people: a path, or a bucket's name. */
  readonly place: string;
  /** In the order in which they were written. @throws Error with one line */
  list(): Promise<readonly OverlayEntry[]>;
  /**
   * @param expected the revision of the entry that this one replaces; null: there must be none
   * @returns the new revision
   * @throws OverlayConflict when somebody else was faster, Error with one line when it cannot be kept
   */
  put(change: OverlayChange, expected: number | null): Promise<number>;
  /** @throws as `put` */
  delete(table: OverlayTable, name: string, expected: number): Promise<void>;
  close(): Promise<void>;
}

/** What a store holds just now, and whether that is known. */
export interface OverlayState {
  readonly entries: readonly OverlayEntry[];
  /** Places that hold something that is no entry of ours. */
  readonly unreadable: readonly string[];
}

export const NOTHING_OVERLAID: OverlayState = { entries: [], unreadable: [] };

/** Somebody has written the same entry meanwhile. */
export class OverlayConflict extends Error {
  constructor(place: string) {
    super(
      `${place} was written by somebody else meanwhile, and nothing was changed. Look at it, and try again.`,
    );
  }
}

/** How an entry is written, by commands as by the admin API: judged by the file and all that counts already, then put. */

import { ConfigError, type ConfigProblem, type ConfigSource } from '../config/config.ts';
import { loadEffective } from './effective-config.ts';
import {
  changeFault,
  isExpired,
  type OverlayChange,
  type OverlayEntry,
  placeOf,
} from './overlay-entry.ts';
import type { OverlayStore } from './overlay-store.ts';

/** Above every revision of a store: what is judged comes last. */
const NOT_YET = Number.MAX_SAFE_INTEGER;

/**
 * @param expected the revision of the entry that this one replaces; null: there must be none
 * @returns the new revision
 * @throws ConfigError with file, key, found and expected when a gateway would refuse it; OverlayConflict when somebody else
 * was faster
 */
export async function putEntry(
  source: ConfigSource,
  store: OverlayStore,
  change: OverlayChange,
  expected: number | null,
): Promise<number> {
  const place = placeOf(change);
  const fault = changeFault(change);
  if (fault !== null) throw new ConfigError([{ file: 'overlay', key: place, ...fault }]);
  if (isExpired(change, Date.now())) {
    const expected = 'an end that is still to come';
    throw new ConfigError([
      { file: 'overlay', key: place, found: 'an end that is over', expected },
    ]);
  }
  judge(source, await store.list(), place, { ...change, revision: NOT_YET });
  return await store.put(change, expected);
}

/** @throws as `putEntry`: what others speak of stays */
export async function deleteEntry(
  source: ConfigSource,
  store: OverlayStore,
  { table, name, revision }: OverlayEntry,
): Promise<void> {
  judge(source, await store.list(), placeOf({ table, name }), null);
  await store.delete(table, name, revision);
}

/** @param next null: it is deleted */
function judge(
  source: ConfigSource,
  entries: readonly OverlayEntry[],
  place: string,
  next: OverlayEntry | null,
): void {
  const nowMs = Date.now();
  const counting = entries.filter((entry) => !isExpired(entry, nowMs));
  const { accepted } = loadEffective(source, counting, []);
  const others = accepted.filter((entry) => placeOf(entry) !== place);
  const { refused } = loadEffective(source, next === null ? others : [...others, next], accepted);
  const about = refused.filter((problem) => placeOfProblem(problem) === place);
  if (about.length > 0) throw new ConfigError(about);
}

function placeOfProblem({ at, key }: ConfigProblem): string {
  return at === undefined ? key : at.slice(0, 2).join('.');
}

/** What stands at a place of a store; null: nothing. */
export async function entryAt(
  store: OverlayStore,
  place: Pick<OverlayChange, 'table' | 'name'>,
): Promise<OverlayEntry | null> {
  return (await store.list()).find((entry) => placeOf(entry) === placeOf(place)) ?? null;
}

/** What was made at run time, laid over what the file says, entry by entry and member by member. */

import {
  isExpired,
  OVERLAY_TABLES,
  type OverlayEntry,
  type OverlayTable,
  type OverlayValue,
  placeOf,
} from '../overlay/overlay-entry.ts';
import { BUILT_IN_ALIASES } from '../plan/route-table.ts';
import type { ConfigProblem } from './config-problem.ts';
import { isPlainTable, OVERLAY, problemAt, type RawConfig } from './config-source.ts';

/** Takes `locked` out of the file's entries: what is said so cannot be overridden at run time. */
export function takeLocks(raw: RawConfig): void {
  for (const table of OVERLAY_TABLES) {
    const entries = raw.values.get(table);
    if (!(entries instanceof Map)) continue;
    for (const [name, held] of entries) {
      if (!isPlainTable(held) || !Object.hasOwn(held, 'locked')) continue;
      const { locked, ...rest } = held;
      if (typeof locked !== 'boolean')
        raw.problems.push(problemAt(raw, [table, name, 'locked'], 'true or false'));
      if (locked === true) raw.locked.add(`${table}.${canonical(raw, table, String(name))}`);
      entries.set(name, rest);
    }
  }
}

/** What the file says of each entry that could be made at run time, by table and name, as TOML holds it. */
export type WrittenEntries = ReadonlyMap<OverlayTable, ReadonlyMap<string, OverlayValue>>;

/** To be asked before anything is laid over it. */
export function writtenEntries({ values }: RawConfig): WrittenEntries {
  return new Map(
    OVERLAY_TABLES.map((table) => {
      const entries = values.get(table);
      const said = entries instanceof Map ? [...entries] : [];
      const tables = said.filter((entry): entry is [string, OverlayValue] =>
        isPlainTable(entry[1]),
      );
      return [table, new Map(tables)];
    }),
  );
}

/**
 * References have been resolved before: what is made at run time names no file and no variable of the gateway's.
 * @returns a problem for each entry that was passed over because the file has locked it
 */
export function layOverlay(
  raw: RawConfig,
  entries: readonly OverlayEntry[],
  nowMs: number,
): readonly ConfigProblem[] {
  const passedOver: ConfigProblem[] = [];
  for (const entry of entries) {
    const { table, name, value } = entry;
    if (isExpired(entry, nowMs)) continue;
    const place = placeOf(entry);
    if (raw.locked.has(`${table}.${canonical(raw, table, name)}`)) {
      const expected = `none: ${raw.source} says locked = true there`;
      const at = [table, name];
      const found = 'an entry';
      passedOver.push({ file: OVERLAY, key: place, found, expected, at, isLocked: true });
      continue;
    }
    const held = raw.values.get(table) ?? new Map<string, unknown>();
    if (!(held instanceof Map)) continue;
    const said: unknown = held.get(name);
    if (said !== undefined && !isPlainTable(said)) continue;
    held.set(name, { ...said, ...value });
    raw.values.set(table, held);
    if (said === undefined) raw.origins.set(place, { file: OVERLAY, key: place });
    for (const member of Object.keys(value))
      raw.origins.set(`${place}.${member}`, { file: OVERLAY, key: `${place}.${member}` });
    raw.overlaid.set(place, entry);
  }
  return passedOver;
}

/** Prices may be named by an alias of their provider: a lock on one name is a lock on them all. */
function canonical({ values }: RawConfig, table: string, name: string): string {
  const slash = name.indexOf('/');
  if (table !== 'prices' || slash < 0) return name;
  const own = values.get('provider_aliases');
  const provider = name.slice(0, slash);
  const known = (own instanceof Map ? own.get(provider) : null) ?? BUILT_IN_ALIASES.get(provider);
  return `${known ?? provider}${name.slice(slash)}`;
}

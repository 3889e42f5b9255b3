import { parse } from 'smol-toml';
import { OVERLAY_TABLES } from '../overlay/overlay-entry.ts';

/** A configuration's values by `key`, `table.entry` or `table.entry.member`, secrets as a mask. */
export type PrintedValues = ReadonlyMap<string, unknown>;

/**
 * Entries of tables by themselves; of those that can be written at run time, their members too.
 * @param text of `printConfig`
 */
export function printedValues(text: string): PrintedValues {
  const values = new Map<string, unknown>();
  const overlaid: ReadonlySet<string> = new Set(OVERLAY_TABLES);
  for (const [key, value] of Object.entries(parse(text))) {
    if (!isTable(value)) {
      values.set(key, value);
      continue;
    }
    for (const [entry, held] of Object.entries(value)) {
      values.set(`${key}.${entry}`, held);
      if (!overlaid.has(key) || !isTable(held)) continue;
      for (const [member, said] of Object.entries(held))
        values.set(`${key}.${entry}.${member}`, said);
    }
  }
  return values;
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  );
}

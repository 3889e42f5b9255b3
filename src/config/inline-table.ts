import { parse } from 'smol-toml';

/**
 * Reads one inline table of TOML, like `{ rpm = 30 }`, as JSON would hold it: times as texts.
 * @returns null where it is anything else
 */
export function inlineTable(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const { entry, ...others } = parse(`entry = ${text}`);
    if (Object.keys(others).length > 0) return null;
    const value: unknown = JSON.parse(JSON.stringify(entry));
    const isTable = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isTable ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/**
 * What was made at run time: one entry for each `[table.NAME]`, with who made it, why and when. The same in the file of a
 * `data_dir`, in the bucket of a fleet, and where the configuration is put together.
 */

/** The tables of which entries can be made at run time; everything else is the file's alone. */
export const OVERLAY_TABLES = ['keys', 'tenants', 'policies', 'routes', 'prices'] as const;
export type OverlayTable = (typeof OVERLAY_TABLES)[number];

/** Entries of one overlay: each reload reads them all. */
export const ENTRIES_MAX = 10_000;
/** Of one entry as JSON, in bytes: a route of 64 targets takes 8 KiB. */
export const ENTRY_MAX_BYTES = 64 * 1024;

const NAME_MAX_CHARACTERS = 200;
const AUTHOR_MAX_CHARACTERS = 200;
const REASON_MAX_CHARACTERS = 1_000;

/** Members by their name, as TOML would hold them. */
export type OverlayValue = Readonly<Record<string, unknown>>;

/** What is to be put. */
export interface OverlayChange {
  readonly table: OverlayTable;
  /** `7` of `[keys.7]`. */
  readonly name: string;
  /** Laid over what the file says of the same entry, member by member. */
  readonly value: OverlayValue;
  readonly author: string;
  readonly reason: string;
  /** Unix time in milliseconds. */
  readonly atMs: number;
  /** From then on the file counts alone again; null: not by itself. Unix time in milliseconds. */
  readonly expiresMs: number | null;
}

/** What stands in a store. */
export interface OverlayEntry extends OverlayChange {
  /** Of the store when this was written: whoever puts the next one says it. */
  readonly revision: number;
}

/** `keys.7`, the entry's place in the configuration. */
export function placeOf({ table, name }: Pick<OverlayChange, 'table' | 'name'>): string {
  return `${table}.${name}`;
}

export function isExpired({ expiresMs }: OverlayChange, nowMs: number): boolean {
  return expiresMs !== null && expiresMs <= nowMs;
}

/** The first dot ends the table: names may hold more of them. Null: no place of the overlay. */
export function placeFrom(text: string): Pick<OverlayChange, 'table' | 'name'> | null {
  const dot = text.indexOf('.');
  const table = OVERLAY_TABLES.find((known) => known === text.slice(0, dot));
  const name = text.slice(dot + 1);
  return table === undefined || !isName(name) ? null : { table, name };
}

/** As JSON, without what its place in the store says. */
export function encodeEntry({ value, author, reason, atMs, expiresMs }: OverlayChange): string {
  return JSON.stringify({
    value,
    author,
    reason,
    at: new Date(atMs).toISOString(),
    ...(expiresMs === null ? {} : { expires: new Date(expiresMs).toISOString() }),
  });
}

/** @returns null where it is no entry of ours */
export function decodeEntry(
  place: Pick<OverlayChange, 'table' | 'name'>,
  text: string,
  revision: number,
): OverlayEntry | null {
  if (text.length > ENTRY_MAX_BYTES) return null;
  const said = objectOf(text);
  const value = said?.['value'];
  if (said === null || !isTable(value)) return null;
  const atMs = instantOf(said['at']);
  const expiresMs = said['expires'] === undefined ? null : instantOf(said['expires']);
  if (atMs === null || (said['expires'] !== undefined && expiresMs === null)) return null;
  const author = shortText(said['author'], AUTHOR_MAX_CHARACTERS);
  const reason = shortText(said['reason'], REASON_MAX_CHARACTERS);
  if (author === null || reason === null) return null;
  const { table, name } = place;
  const entry = { table, name, value, author, reason, atMs, expiresMs, revision };
  return changeFault(entry) === null ? entry : null;
}

/**
 * What keeps a change out of any store, whatever the configuration says.
 * @returns what was found and what was expected; null: nothing
 */
export function changeFault(
  change: OverlayChange,
): { readonly found: string; readonly expected: string } | null {
  if (!isName(change.name))
    return {
      found: 'such a name',
      expected: `1 to ${NAME_MAX_CHARACTERS} visible ASCII characters`,
    };
  if (shortText(change.author, AUTHOR_MAX_CHARACTERS) === null)
    return { found: 'such an author', expected: `at most ${AUTHOR_MAX_CHARACTERS} characters` };
  if (shortText(change.reason, REASON_MAX_CHARACTERS) === null)
    return { found: 'such a reason', expected: `at most ${REASON_MAX_CHARACTERS} characters` };
  if (Object.hasOwn(change.value, 'locked'))
    return { found: 'locked', expected: 'it in the file, which alone can say so' };
  if (hasReference(change.value))
    return {
      found: 'a reference',
      expected: `values themselves: no text with "\${" and none that begins with "file:"`,
    };
  if (Buffer.byteLength(encodeEntry(change)) > ENTRY_MAX_BYTES)
    return { found: 'a larger entry', expected: `at most ${ENTRY_MAX_BYTES} bytes of JSON` };
  return null;
}

/** Whoever may write an entry must not read the gateway's files and variables by it, nor where it is exported. */
function hasReference(value: unknown): boolean {
  if (typeof value === 'string') return value.startsWith('file:') || value.includes('${');
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).some(hasReference);
}

function isName(text: string): boolean {
  return text.length <= NAME_MAX_CHARACTERS && /^[\x21-\x7e]+$/.test(text);
}

function shortText(value: unknown, max: number): string | null {
  return typeof value === 'string' && value.length <= max ? value : null;
}

function isTable(value: unknown): value is OverlayValue {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function instantOf(value: unknown): number | null {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

function objectOf(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isTable(value) ? value : null;
  } catch {
    return null;
  }
}

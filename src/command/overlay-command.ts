import { hostname, userInfo } from 'node:os';
import { parseArgs } from 'node:util';
import { type ConfigSource, loadConfig } from '../config/config.ts';
import { inlineTable } from '../config/inline-table.ts';
import { openOverlayStore } from '../overlay/open-store.ts';
import {
  isExpired,
  OVERLAY_TABLES,
  type OverlayChange,
  type OverlayValue,
  placeFrom,
  placeOf,
} from '../overlay/overlay-entry.ts';
import type { OverlayStore } from '../overlay/overlay-store.ts';
import { overlayToml } from '../overlay/overlay-toml.ts';
import { deleteEntry, entryAt, putEntry } from '../overlay/write-entry.ts';
import { spanSeconds } from './time-span.ts';

/** Text of `sluice overlay --help`. */
export const OVERLAY_HELP = `sluice overlay list                                  [--config FILE]
sluice overlay set TABLE.NAME '{ MEMBER = VALUE }'  [--reason TEXT] [--for 2h] [--config FILE]
sluice overlay delete TABLE.NAME                    [--config FILE]
sluice overlay export                               [--config FILE]

Changes at run time what the configuration's file says in ${OVERLAY_TABLES.map((table) => `[${table}]`).join(', ')}: each running gateway
takes it within seconds. Entries stand in a bucket of NATS (nats_url) or in a file of data_dir, each with its author, reason
and time. They are laid over the file's member by member, but never over an entry that says locked = true.

  set       makes the entry, or puts this one in the place of the one that was made before: sluice overlay set policies.agents '{ rpm = 30 }'
  --for     the entry ends by itself, and the file counts alone again: a number with s, m, h or d behind it
  export    prints all that counts as TOML, to be put into the file

What a gateway would refuse is refused here, with file, key, found and expected.`;

/** What of the configuration is needed to judge an entry: no provider's key among it. */
export const OVERLAY_KEYS: readonly string[] = [
  'provider_authorities',
  'provider_dialects',
  'provider_aliases',
  'routes',
  'models',
  'prices',
  'prices_file',
  'policies',
  'keys',
  'tenants',
  'classes',
  'limits',
  'signing_keys',
  'data_dir',
  'nats_url',
  'nats_creds_file',
  'config_bucket',
  'ca_file',
];

/** @param path the configuration's, or undefined for the usual places */
export function overlaySourceOf(path: string | undefined): ConfigSource {
  return {
    env: process.env,
    only: OVERLAY_KEYS,
    ...(path === undefined ? {} : { path }),
  };
}

/** Who writes, where no login says so. */
export function authorHere(): string {
  return `${userInfo().username}@${hostname()}`;
}

/** @returns the exit code */
export async function overlayCommand(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: { config: { type: 'string' }, reason: { type: 'string' }, for: { type: 'string' } },
    allowPositionals: true,
  });
  const [what, at = '', text, ...more] = positionals;
  const source = overlaySourceOf(values.config);
  const isWhole = more.length === 0;
  if ((what === 'list' || what === 'export') && at === '' && isWhole)
    return await withStore(source, false, (store) => tell(store, what));
  const place = placeFrom(at);
  if (what === 'set' && place !== null && text !== undefined && isWhole) {
    const forMs = values.for === undefined ? null : spanSeconds('--for', values.for) * 1_000;
    const nowMs = Date.now();
    const change: OverlayChange = {
      ...place,
      value: saidTable(text),
      author: authorHere(),
      reason: values.reason ?? '',
      atMs: nowMs,
      expiresMs: forMs === null ? null : nowMs + forMs,
    };
    return await withStore(source, true, async (store) => {
      const before = await entryAt(store, place);
      await putEntry(source, store, change, before?.revision ?? null);
      return `${at} is set in ${store.place}.\n`;
    });
  }
  if (what === 'delete' && place !== null && text === undefined)
    return await withStore(source, false, async (store) => {
      const before = await entryAt(store, place);
      if (before === null) throw new Error(`${store.place} has no ${at}.`);
      await deleteEntry(source, store, before);
      return `${at} is the file's alone again.\n`;
    });
  throw new Error(
    `overlay knows list, set TABLE.NAME '{ … }', delete TABLE.NAME and export; TABLE is one of ${OVERLAY_TABLES.join(', ')}. sluice overlay --help says more.`,
  );
}

async function withStore(
  source: ConfigSource,
  write: boolean,
  work: (store: OverlayStore) => Promise<string>,
): Promise<number> {
  const store = await openOverlayStore(loadConfig(source).config, write);
  process.stdout.write(await work(store).finally(() => store.close()));
  return 0;
}

async function tell(store: OverlayStore, what: 'list' | 'export'): Promise<string> {
  const nowMs = Date.now();
  const entries = await store.list();
  if (what === 'export') return overlayToml(entries.filter((entry) => !isExpired(entry, nowMs)));
  if (entries.length === 0) return `${store.place} is empty: the file counts alone.\n`;
  const rows = entries.map((entry) => {
    const { expiresMs, atMs, author, reason, value } = entry;
    const end =
      expiresMs === null ? '' : `, ${expiresMs <= nowMs ? 'ended' : 'until'} ${timeOf(expiresMs)}`;
    const why = reason === '' ? '' : `: ${reason}`;
    return `${placeOf(entry).padEnd(28)} ${Object.keys(value).join(', ')}  (${author}, ${timeOf(atMs)}${end}${why})`;
  });
  return `${rows.join('\n')}\n`;
}

/** @throws Error with one line */
function saidTable(text: string): OverlayValue {
  const value = inlineTable(text);
  if (value !== null) return value;
  throw new Error(
    `What is to be set is one inline table of TOML, like '{ rpm = 30, models = ["chat"] }'.`,
  );
}

function timeOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

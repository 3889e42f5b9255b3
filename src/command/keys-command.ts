import { parseArgs } from 'node:util';
import { type ConfigSource, loadConfig } from '../config/config.ts';
import { KEY_CLASSES } from '../keys/key-class.ts';
import { readId, SECRET_VARIABLE } from '../keys/signing-secret.ts';
import { changeKey, createKey } from '../overlay/key-entries.ts';
import { knownConfig, madeByOf } from '../overlay/known-overlay.ts';
import { openOverlayStore } from '../overlay/open-store.ts';
import type { OverlayEntry } from '../overlay/overlay-entry.ts';
import { effectivePolicies } from '../policy/effective-policies.ts';
import type { KeySettings } from '../policy/policy-settings.ts';
import { authorHere, overlaySourceOf } from './overlay-command.ts';
import { spanSeconds } from './time-span.ts';

/** Text of `sluice keys --help`. */
export const KEYS_HELP = `sluice keys create --name NAME --tenant N [--class CLASS] [--policy NAME] [--expires 30d]
                   [--vpc N] [--key N] [--secret FILE] [--reason TEXT] [--config FILE]
sluice keys list                [--config FILE]
sluice keys show ID             [--config FILE]
sluice keys expire ID [--in 1h] [--reason TEXT] [--config FILE]

Virtual keys with names. create mints one, prints it this one time, and writes down [keys.ID] where every running gateway finds
it (nats_url, else data_dir; sluice overlay --help says more). The key itself is stored nowhere.

  --name NAME     what people call it
  --tenant N      who pays: every usage fact carries it
  --class CLASS   ${KEY_CLASSES.join(', ')} (default: application)
  --policy NAME   one of [policies]; without it the tenant's, the class's and the default one hold
  --expires TIME  401 key_expired from then on: a number with s, m, h or d behind it (default: never)
  --vpc N         where it is used from (default: 0)
  --key N         its id (default: a random one that is not taken)
  --secret FILE   the file that "sluice keygen" wrote (default: the variable ${SECRET_VARIABLE}, else signing-KID.secret
                  beside the configuration, for a KID of [signing_keys])

expire ends a key now, or in a while with --in: also one that was made with "sluice mint". Gateways obey within seconds.`;

const U64_MAX = 2n ** 64n - 1n;
/** @returns the exit code */
export async function keysCommand(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: {
      config: { type: 'string' },
      name: { type: 'string' },
      tenant: { type: 'string' },
      vpc: { type: 'string' },
      key: { type: 'string' },
      class: { type: 'string' },
      policy: { type: 'string' },
      expires: { type: 'string' },
      in: { type: 'string' },
      secret: { type: 'string' },
      reason: { type: 'string' },
    },
    allowPositionals: true,
  });
  const [what, digits, ...more] = positionals;
  const source = overlaySourceOf(values.config);
  const reason = values.reason ?? '';
  if (what === 'create' && digits === undefined) {
    if (values.name === undefined) throw new Error('--name says what people call the key.');
    const keyClass = KEY_CLASSES.find((known) => known === (values.class ?? 'application'));
    if (keyClass === undefined) throw new Error(`--class takes one of ${KEY_CLASSES.join(', ')}.`);
    const { id, token } = await createKey(source, {
      name: values.name,
      tenantId: readId('--tenant', values.tenant, U64_MAX),
      vpcId: readId('--vpc', values.vpc ?? '0', U64_MAX),
      keyClass,
      policy: values.policy ?? null,
      expiresMs: values.expires === undefined ? null : inSpan('--expires', values.expires),
      keyId: values.key === undefined ? null : readId('--key', values.key, U64_MAX),
      secretFile: values.secret ?? null,
      author: authorHere(),
      reason,
    });
    process.stdout.write(`${token}\n`);
    process.stderr.write(
      `This is key ${id}, and the only time that it is shown: nothing keeps it. "sluice keys show ${id}" says what it may do.\n`,
    );
    return 0;
  }
  if (what === 'list' && digits === undefined) return await list(source);
  if (more.length === 0 && digits !== undefined && (what === 'show' || what === 'expire')) {
    const id = String(readId(`sluice keys ${what}`, digits, U64_MAX));
    if (what === 'show') return await show(source, id);
    return await expire(source, id, values.in ?? null, reason);
  }
  throw new Error('keys knows create, list, show ID and expire ID. sluice keys --help says more.');
}

function inSpan(option: string, text: string): number {
  return Date.now() + spanSeconds(option, text) * 1_000;
}

async function expire(
  source: ConfigSource,
  id: string,
  after: string | null,
  reason: string,
): Promise<number> {
  const endMs = after === null ? Date.now() : inSpan('--in', after);
  const store = await openOverlayStore(loadConfig(source).config, true);
  const wish = { id, author: authorHere(), reason };
  await changeKey(source, store, wish, { expires: new Date(endMs).toISOString() }).finally(() =>
    store.close(),
  );
  const when = after === null ? 'has ended' : `ends ${timeOf(endMs)}`;
  process.stdout.write(`key ${id} ${when}.\n`);
  return 0;
}

async function list(source: ConfigSource): Promise<number> {
  const known = await knownConfig(source);
  if (known.failure !== null) throw new Error(known.failure);
  const { config, overlay } = known.loaded;
  const inFile = loadConfig(source).config.policy.keys;
  const rows = [...config.policy.keys].map(([id, key]) => {
    const entry = overlay.counting.get(`keys.${id}`) ?? null;
    const isOver = key.expiresMs !== null && key.expiresMs <= Date.now();
    const expires = key.expiresMs === null ? 'never' : timeOf(key.expiresMs);
    return [
      id,
      key.name ?? '-',
      key.tenant ?? '-',
      key.keyClass ?? '-',
      key.policy ?? '-',
      isOver ? `${expires} (over)` : expires,
      originOf(inFile.has(id), entry),
      changeShown(entry),
    ];
  });
  const heads = ['id', 'name', 'tenant', 'class', 'policy', 'expires', 'origin', 'last change'];
  process.stdout.write(rows.length === 0 ? 'No key is named.\n' : table([heads, ...rows]));
  return 0;
}

async function show(source: ConfigSource, id: string): Promise<number> {
  const known = await knownConfig(source);
  if (known.failure !== null) throw new Error(known.failure);
  const { config, overlay } = known.loaded;
  const key: KeySettings | undefined = config.policy.keys.get(id);
  if (key === undefined) {
    process.stderr.write(
      `No [keys.${id}] is written down: a key with that id has what its tenant, its class and the default say.\n`,
    );
    return 1;
  }
  const entry = overlay.counting.get(`keys.${id}`) ?? null;
  const isInFile = loadConfig(source).config.policy.keys.has(id);
  const lines = [
    `name          ${key.name ?? '-'}`,
    `tenant        ${key.tenant ?? '-'}`,
    `origin        ${originOf(isInFile, entry)}`,
    `last change   ${changeShown(entry)}`,
    ...(entry === null || entry.reason === '' ? [] : [`reason        ${entry.reason}`]),
    '',
  ];
  const { policy } = config;
  const only = { ...policy, keys: new Map([[id, key]]) };
  const blocks = effectivePolicies(only, madeByOf(overlay.counting)).join('\n').split('\n\n');
  const own = blocks.filter((text) => text.startsWith(`key ${id}`));
  process.stdout.write(`${lines.join('\n')}\n${own.join('\n\n')}\n`);
  return 0;
}

function originOf(isInFile: boolean, entry: OverlayEntry | null): string {
  if (entry === null) return 'file';
  return isInFile ? 'file, overlay' : 'overlay';
}

function changeShown(entry: OverlayEntry | null): string {
  return entry === null ? '-' : `${timeOf(entry.atMs)} ${entry.author}`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => (row[at] ?? '').length)));
  const lines = rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths?.[at] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

function timeOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

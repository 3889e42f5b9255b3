/** Virtual keys with names: minted here, and written down in the overlay what holds for each. */

import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type ConfigSource, type LoadedConfig, loadConfig } from '../config/config.ts';
import type { KeyClass } from '../keys/key-class.ts';
import { mintToken, publicKeyOf } from '../keys/minting.ts';
import { readSecret, SECRET_VARIABLE } from '../keys/signing-secret.ts';
import { openOverlayStore } from './open-store.ts';
import type { OverlayChange, OverlayValue } from './overlay-entry.ts';
import type { OverlayStore } from './overlay-store.ts';
import { entryAt, putEntry } from './write-entry.ts';

/** Ten digits: read out loud without a slip, and a guess hits none. */
const ID_MIN = 1_000_000_000;
const ID_MAX = 10_000_000_000;
/** Two writers with one random id, so often in a row, are no accident. */
const TRIES_MAX = 5;

export interface KeyWish {
  readonly name: string;
  readonly tenantId: bigint;
  readonly vpcId: bigint;
  readonly keyClass: KeyClass;
  readonly policy: string | null;
  readonly expiresMs: number | null;
  /** Null: a random one. */
  readonly keyId: bigint | null;
  /** Null: looked for. */
  readonly secretFile: string | null;
  /** Who makes it. */
  readonly author: string;
  readonly reason: string;
}

/** A key of this id is written down already. */
export class KeyTaken extends Error {}

/** There is no signing secret here, or none that the gateway would take a key of; its message is one line. */
export class NoSigningSecret extends Error {}

/**
 * Mints a key and writes down what it is called and what holds for it.
 * @throws ConfigError where a gateway would refuse what is to be written; Error with one line that says what to do
 */
export async function createKey(
  source: ConfigSource,
  wish: KeyWish,
): Promise<{ readonly id: string; readonly token: string }> {
  const written = loadConfig(source);
  const { kid, secretKey } = signingSecret(written, wish.secretFile);
  const value: OverlayValue = {
    name: wish.name,
    tenant: String(wish.tenantId),
    class: wish.keyClass,
    ...(wish.policy === null ? {} : { policy: wish.policy }),
    ...(wish.expiresMs === null ? {} : { expires: new Date(wish.expiresMs).toISOString() }),
  };
  const store = await openOverlayStore(written.config, true);
  try {
    const keyId = wish.keyId ?? (await freeId(store, written));
    const id = String(keyId);
    const taken = await entryAt(store, { table: 'keys', name: id });
    if (taken !== null || written.config.policy.keys.has(id))
      throw new KeyTaken(
        `There is a key ${id} already: "sluice keys show ${id}" says whose it is.`,
      );
    await putEntry(source, store, changeOf(id, value, wish), null);
    const { tenantId, vpcId, keyClass } = wish;
    return { id, token: mintToken(secretKey, { kid, tenantId, vpcId, keyId, keyClass }) };
  } finally {
    await store.close();
  }
}

/**
 * Writes down that something of a key is otherwise from now on, whoever has made it.
 * @param said members of `[keys.ID]`; null takes one away that was made at run time
 * @param expected the revision of its entry; null: there must be none; undefined: whichever there is
 * @returns the new revision
 * @throws as `putEntry`
 */
export async function changeKey(
  source: ConfigSource,
  store: OverlayStore,
  wish: { readonly id: string; readonly author: string; readonly reason: string },
  said: Readonly<Record<string, string | null>>,
  expected?: number | null,
): Promise<number> {
  const before = await entryAt(store, { table: 'keys', name: wish.id });
  const value = Object.fromEntries(
    Object.entries({ ...before?.value, ...said }).filter(([, of]) => of !== null),
  );
  const kept = before === null ? {} : { expiresMs: before.expiresMs };
  const change = { ...changeOf(wish.id, value, wish), ...kept };
  const revision = expected === undefined ? (before?.revision ?? null) : expected;
  return await putEntry(source, store, change, revision);
}

async function freeId(store: OverlayStore, { config }: LoadedConfig): Promise<bigint> {
  const taken = new Set([
    ...config.policy.keys.keys(),
    ...(await store.list()).map(({ name }) => name),
  ]);
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const id = randomInt(ID_MIN, ID_MAX);
    if (!taken.has(String(id))) return BigInt(id);
  }
  throw new Error('No free key id was found: say one with --key.');
}

/** The secret whose public half this configuration has. */
function signingSecret({ config, source }: LoadedConfig, file: string | null) {
  const folder = source === null ? '.' : dirname(source);
  const beside = [...config.signingKeys.keys()]
    .map((kid) => join(folder, `signing-${kid}.secret`))
    .find((path) => existsSync(path));
  const isNamed = file !== null || process.env[SECRET_VARIABLE] !== undefined;
  const secret = foundSecret(isNamed ? file : (beside ?? null));
  const known = config.signingKeys.get(secret.kid);
  if (known === undefined || !Buffer.from(publicKeyOf(secret.secretKey)).equals(known))
    throw new NoSigningSecret(
      `No gateway would take it: [signing_keys] of this configuration has no kid ${secret.kid} with the secret's public half.`,
    );
  return secret;
}

function changeOf(
  id: string,
  value: OverlayValue,
  { author, reason }: { readonly author: string; readonly reason: string },
): OverlayChange {
  const place = { table: 'keys', name: id } as const;
  return { ...place, value, author, reason, atMs: Date.now(), expiresMs: null };
}

function foundSecret(file: string | null): ReturnType<typeof readSecret> {
  try {
    return readSecret(file, process.env);
  } catch (error) {
    throw new NoSigningSecret(error instanceof Error ? error.message : 'unknown');
  }
}

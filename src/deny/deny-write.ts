/** How somebody is cut off, and let in again, on every gateway that follows the same NATS: by commands as by the admin API. */

import { DenyBucket, reasonOf } from './deny-bucket.ts';
import { denyKey } from './deny-entry.ts';
import type { DenySource } from './deny-source.ts';
import type { DeniedKind } from './deny-table.ts';

/** Ends are kept in 32 bits of Unix seconds. */
export const HOLD_MAX_SECONDS = 20 * 365 * 86_400;

/** @throws Error with one line that says what to do */
export async function openDenySet(source: DenySource, create: boolean): Promise<DenyBucket> {
  return await DenyBucket.connect(source, create).catch((error: unknown) => {
    throw new Error(
      `Cannot reach NATS at ${source.urls.join(', ')} (${reasonOf(error)}). Check nats_url and nats_creds_file.`,
    );
  });
}

/**
 * @param forSeconds 0 = it does not end by itself
 * @returns what the bucket holds now
 */
export async function deny(
  { kv }: DenyBucket,
  kind: DeniedKind,
  id: bigint,
  reason: string,
  forSeconds: number,
): Promise<string> {
  const exp = Math.floor(Date.now() / 1_000) + forSeconds;
  const isPlain = forSeconds === 0 && !reason.startsWith('{');
  const value = isPlain ? reason : JSON.stringify(forSeconds === 0 ? { reason } : { reason, exp });
  await kv.put(denyKey(kind, id), value);
  return value;
}

/** @throws Error of the library, `NO_BUCKET` where nobody was ever cut off */
export async function allow(bucket: DenyBucket, kind: DeniedKind, id: bigint): Promise<void> {
  await bucket.info();
  await bucket.kv.delete(denyKey(kind, id));
}

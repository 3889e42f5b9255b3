/**
 * An answer as one value of somebody else's memory: its content as it is, before it a head of fixed length (a sum over all of it,
 * whose it is) and the rest as JSON. The sum is over the key, too: a value that was cut, changed or put under another key is none.
 */

import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { KeptAnswer, PurgeScope } from './answer-store.ts';

/** Raised with every change of `KeptAnswer`: an older gateway of the fleet must not read what it does not know. */
export const RECORD_VERSION = 1;

/** Of SHA-256: what changes by accident is seen; whoever may write there can write what it likes, whatever stands here. */
const SUM_BYTES = 16;
/** Sum, tenant and key (u64), whether there is a key, length of the JSON. */
const TENANT_AT = SUM_BYTES;
const KEY_AT = TENANT_AT + 8;
const HAS_KEY_AT = KEY_AT + 8;
const LENGTH_AT = HAS_KEY_AT + 1;
/** As many bytes of a record say whose it is. */
export const RECORD_HEAD_BYTES = LENGTH_AT + 4;

/** Of a record's JSON, in bytes: names of models and field lines, some hundreds as a rule. */
const JSON_MAX_BYTES = 65_536;

type Told = Omit<KeptAnswer, 'body'>;

export function encodeRecord(key: string, { body, ...told }: KeptAnswer): Buffer {
  const json = Buffer.from(JSON.stringify(told));
  const record = Buffer.allocUnsafeSlow(RECORD_HEAD_BYTES + json.length + body.length);
  record.writeBigUInt64BE(BigInt(told.made.tenant), TENANT_AT);
  record.writeBigUInt64BE(BigInt(told.made.key ?? 0), KEY_AT);
  record[HAS_KEY_AT] = told.made.key === null ? 0 : 1;
  record.writeUInt32BE(json.length, LENGTH_AT);
  json.copy(record, RECORD_HEAD_BYTES);
  record.set(body, RECORD_HEAD_BYTES + json.length);
  sumOf(key, record).copy(record);
  return record;
}

/** @returns null for what is no record, or another key's */
export function decodeRecord(key: string, record: Buffer): KeptAnswer | null {
  if (record.length < RECORD_HEAD_BYTES) return null;
  if (!sumOf(key, record).equals(record.subarray(0, SUM_BYTES))) return null;
  const length = record.readUInt32BE(LENGTH_AT);
  const from = RECORD_HEAD_BYTES + length;
  if (length > JSON_MAX_BYTES || from > record.length) return null;
  // What has its sum under a key of this version is what `encodeRecord` wrote.
  const told = JSON.parse(record.toString('utf8', RECORD_HEAD_BYTES, from)) as Told;
  // A copy: of a reply's buffer much else may be kept with it.
  return { ...told, body: new Uint8Array(record.subarray(from)) };
}

/** @param head the first `RECORD_HEAD_BYTES` of a record */
export function isOf(head: Buffer, { tenant, key }: PurgeScope): boolean {
  if (head.length < RECORD_HEAD_BYTES) return false;
  if (tenant !== null && head.readBigUInt64BE(TENANT_AT) !== BigInt(tenant)) return false;
  return key === null || (head[HAS_KEY_AT] === 1 && head.readBigUInt64BE(KEY_AT) === BigInt(key));
}

/** Whose a record is, as its head says. */
export function ownerOf(head: Buffer): { readonly tenant: string; readonly key: string | null } {
  return {
    tenant: String(head.readBigUInt64BE(TENANT_AT)),
    key: head[HAS_KEY_AT] === 1 ? String(head.readBigUInt64BE(KEY_AT)) : null,
  };
}

function sumOf(key: string, record: Buffer): Buffer {
  const hash = createHash('sha256').update(key).update('\0').update(record.subarray(SUM_BYTES));
  return hash.digest().subarray(0, SUM_BYTES);
}

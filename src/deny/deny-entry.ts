import { type IdWords, idWords } from '../keys/virtual-key.ts';
import type { DeniedKind, DenyReason } from './deny-table.ts';

/** Who a key of the bucket is about. */
export interface DenySubject extends IdWords {
  readonly kind: DeniedKind;
}

/** What a value of the bucket says. */
export interface DenyValue {
  readonly reason: DenyReason;
  /** Unix seconds at which the hold ends; 0 = not by itself. */
  readonly exp: number;
}

const KEY = /^blackhole\.(key\.)?(0|[1-9][0-9]{0,19})$/;
const U64_MAX = 2n ** 64n - 1n;
/** Seconds are kept in 32 bits, to the year 2106; what is beyond is as good as for ever. */
const EXP_MAX = 2 ** 32 - 1;

/**
 * Reads a key of the bucket (contracts: NATS).
 * @returns null for a key that is not about the deny-set
 */
export function denySubject(key: string): DenySubject | null {
  const [, ofKey, digits] = KEY.exec(key) ?? [];
  if (digits === undefined) return null;
  const id = BigInt(digits);
  return id > U64_MAX ? null : { kind: ofKey === undefined ? 'tenant' : 'key', ...idWords(id) };
}

/** The key of the bucket for an id. */
export function denyKey(kind: DeniedKind, id: bigint): string {
  return kind === 'tenant' ? `blackhole.${id}` : `blackhole.key.${id}`;
}

/**
 * Reads a value of the bucket. Whatever it holds, it denies: a value that was meant to cut somebody off and is misspelt
 * must not let him in.
 */
export function denyValue(text: string): DenyValue {
  const json = parsedObject(text);
  const reason = json === null ? text : json['reason'];
  const exp = json?.['exp'];
  const isTime = typeof exp === 'number' && exp >= 0 && exp <= EXP_MAX;
  return {
    reason: reason === 'spend' ? 'spend' : 'other',
    // A hold until 1970 has ended; 0 itself says "not by itself".
    exp: isTime ? Math.max(1, Math.floor(exp)) : 0,
  };
}

function parsedObject(text: string): Readonly<Record<string, unknown>> | null {
  if (!text.startsWith('{')) return null;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

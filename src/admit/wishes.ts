/**
 * What a caller says beside its body of how a routed request is to be treated. Never a reason for a rejection: what is
 * unknown or odd is passed over.
 */

import { decimalOf } from '../prices/money.ts';
import { textHash } from '../providers/text-hash.ts';
import type { Dialect } from '../rejection.ts';

/** Read from a request's fields. */
export interface FieldWishes {
  /** Providers or targets, in the order in which they are wanted. */
  readonly order: readonly string[];
  /** Nothing but these. */
  readonly only: readonly string[];
  /** 32 bits that stay the same through a conversation; 0 = nothing tells. */
  readonly session: number;
  /** Pico-dollars that the request may cost at most; 0 = it says nothing. */
  readonly maxCostPico: number;
  /** Wishes that say nothing: names too long or too many, an amount that is none. */
  readonly dropped: number;
  readonly seed: number;
  /** The wire that the body is written in. */
  readonly dialect: Dialect;
}

/** Wins over the others, wherever it stands. */
const OWN_SESSION = 'x-sluice-session';

/**
 * Fields in which clients name a conversation: those of Claude Code, Codex and the usual tracing tools. Kept to one target
 * and pool key, its prompt cache stays warm.
 */
const SESSION_FIELDS: ReadonlySet<string> = new Set([
  'x-session-id',
  'x-claude-code-session-id',
  'session-id',
  'session_id',
  'conversation_id',
  'x-session-affinity',
]);

/** By their lengths, as bits modulo 32: a look-up hashes each name of a request. */
const SESSION_LENGTHS = [...SESSION_FIELDS].reduce((bits, { length }) => bits | (1 << length), 0);

/** Names in one list, and characters of one name: what a route can hold, and no more. */
const NAMES_MAX = 16;
const NAME_CHARACTERS = 200;

/** Pico-dollars. */
const USD_DECIMALS = 12;

const NONE: readonly string[] = [];

/**
 * @param fields flat list with lower-case names
 * @param tenant mixed in, so that two tenants' sessions of one name are two
 */
export function fieldWishes(
  fields: readonly string[],
  tenant: string,
  dialect: Dialect,
): FieldWishes {
  let order = NONE;
  let only = NONE;
  let session = 0;
  let maxCostPico = 0;
  let dropped = 0;
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] ?? '';
    const value = fields[at + 1] ?? '';
    if (name === 'x-sluice-order' || name === 'x-sluice-only') {
      const said = names(value);
      const kept = said.slice(0, NAMES_MAX).filter(({ length }) => length <= NAME_CHARACTERS);
      dropped += said.length - kept.length;
      if (name === 'x-sluice-order') order = kept;
      else only = kept;
    } else if (name === 'x-sluice-max-cost') {
      maxCostPico = picoDollars(value);
      if (maxCostPico === 0) dropped++;
    } else if (name === OWN_SESSION && value !== '') session = textHash(`${tenant} ${value}`);
    else if (session === 0 && isSessionField(name) && value !== '')
      session = textHash(`${tenant} ${value}`);
  }
  const seed = (Math.random() * 2 ** 32) | 0;
  return { order, only, session, maxCostPico, dropped, seed, dialect };
}

function isSessionField(name: string): boolean {
  return ((SESSION_LENGTHS >>> name.length) & 1) === 1 && SESSION_FIELDS.has(name);
}

function names(value: string): readonly string[] {
  return value
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** USD as a decimal text, no more than 9,007; what is none says nothing. */
function picoDollars(value: string): number {
  return decimalOf(value.trim(), USD_DECIMALS) ?? 0;
}

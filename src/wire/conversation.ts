/**
 * To which conversation a request belongs, and for how long its provider keeps the prompt cached: what its body says of
 * that, read where it stands. Whoever sends the next turn of it should meet a warm cache.
 */

import type { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { OUTLINE_PATH } from './json-paths.ts';
import type { RequestOutline } from './request-outline.ts';

/** What names a conversation, the surest first. `metadata.user_id` holds a session with Claude Code. */
const NAMES: readonly number[] = [
  OUTLINE_PATH.promptCacheKey,
  OUTLINE_PATH.metadataSessionId,
  OUTLINE_PATH.sessionId,
  OUTLINE_PATH.conversation,
  OUTLINE_PATH.conversationId,
  OUTLINE_PATH.metadataUserId,
];

/** What stands before the first turn in every prompt, in the order in which providers cache it. */
const PREFIX: readonly number[] = [
  OUTLINE_PATH.tools,
  OUTLINE_PATH.system,
  OUTLINE_PATH.instructions,
];

/** Of each part: longer prompts that begin alike are taken for one conversation, which does no harm. */
const PART_BYTES = 65_536;

/**
 * @param tenant mixed in, so that two tenants' conversations of one name are two
 * @param prefixMinBytes a body below it is told from others by a name alone
 * @returns 32 bits that stay the same through the conversation and are the same on every node; 0 = nothing tells
 */
export function conversationOf(
  outline: RequestOutline,
  tenant: string,
  prefixMinBytes: number,
): number {
  const named = conversationName(outline, tenant);
  if (named !== 0) return named;
  if (outline.body.length < prefixMinBytes) return 0;
  const turns = outline.at(OUTLINE_PATH.messages) ?? outline.at(OUTLINE_PATH.input);
  if (turns === null) return 0;
  const parts = PREFIX.map((path) => outline.at(path)).filter((part) => part !== null);
  return hashed(tenant, [...parts, turns.subarray(0, firstTurnEnd(turns))]);
}

/** The same for a conversation that its body names, and for no other. */
export function conversationName(outline: RequestOutline, tenant: string): number {
  for (const path of NAMES) {
    const name = outline.text(path);
    if (name !== null) return hashed(tenant, [name]);
  }
  return 0;
}

/** A part of what providers cache before the first question. */
export interface PrefixPart {
  /** The key that it stands behind; of `messages` and `input` the system's turns alone, as long as they come first. */
  readonly name: string;
  /** As it stands in the body, lent; empty where it is not there. */
  readonly bytes: Buffer;
  /** Where in the body that begins. */
  readonly at: number;
}

/** Parts of every prefix, there or not: tools, system, instructions, the system's turns. */
export const PREFIX_PARTS = 4;

/**
 * What comes before the first question, in the order in which providers cache it.
 * @param maxBytes of all parts together; what is behind them is left out
 */
export function promptPrefix(outline: RequestOutline, maxBytes: number): readonly PrefixPart[] {
  const turns = outline.at(OUTLINE_PATH.messages);
  const opening = turns ?? outline.at(OUTLINE_PATH.input);
  const all: readonly (readonly [name: string, bytes: Buffer | null])[] = [
    ['tools', outline.at(OUTLINE_PATH.tools)],
    ['system', outline.at(OUTLINE_PATH.system)],
    ['instructions', outline.at(OUTLINE_PATH.instructions)],
    [
      turns === null ? 'input' : 'messages',
      opening === null ? null : opening.subarray(0, systemTurnsEnd(opening, maxBytes)),
    ],
  ];
  let left = maxBytes;
  return all.map(([name, found]) => {
    const bytes = (found ?? outline.body.subarray(0, 0)).subarray(0, left);
    left -= bytes.length;
    return { name, bytes, at: bytes.byteOffset - outline.body.byteOffset };
  });
}

function hashed(tenant: string, parts: readonly Buffer[]): number {
  const hash = createHash('sha256').update(tenant);
  for (const part of parts) hash.update(' ').update(part.subarray(0, PART_BYTES));
  return hash.digest().readInt32LE(0) || 1;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
/** Of the array of turns, then of a turn. */
const IN_TURN = 2;

/**
 * Where the first turn of a user ends, from the start of an array of turns: what stands up to there comes again with every
 * later turn. A mark for the cache wanders from turn to turn, so what stands behind one in the first is not looked at.
 * @param turns the array's bytes, valid JSON; a lone string ends where it ends
 */
function firstTurnEnd(turns: Buffer): number {
  const end = Math.min(turns.length, PART_BYTES);
  let depth = 0;
  let isUsers = false;
  for (let at = 0; at < end; ) {
    const byte = turns[at];
    if (byte === QUOTE) {
      const behind = stringEnd(turns, at, end);
      if (depth === IN_TURN && isAt(turns, at, ROLE)) {
        const value = valueBehind(turns, behind, end);
        if (value > 0 && isAt(turns, value, USER)) isUsers = true;
      } else if (isUsers && isAt(turns, at, CACHE_MARK) && valueBehind(turns, behind, end) > 0) {
        return at;
      }
      at = behind;
      continue;
    }
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth--;
      if (depth < IN_TURN && isUsers) return at;
    }
    at++;
  }
  return end;
}

const ROLE = '"role"';
const USER = '"user"';
/** Who speaks before anybody asks (OpenAI chat completions and Responses). */
const SYSTEM = '"system"';
const DEVELOPER = '"developer"';
const CACHE_MARK = '"cache_control"';

/**
 * Where the system's turns end that an array of turns begins with.
 * @returns 0 where it begins with another one's; `maxBytes` inside of a longer one
 */
function systemTurnsEnd(turns: Buffer, maxBytes: number): number {
  if (turns[0] !== OPEN_BRACKET) return 0;
  const limit = Math.min(turns.length, maxBytes);
  let depth = 0;
  let isSystems = false;
  let end = 0;
  for (let at = 0; at < limit; ) {
    const byte = turns[at];
    if (byte === QUOTE) {
      const behind = stringEnd(turns, at, limit);
      if (depth === IN_TURN && isAt(turns, at, ROLE)) {
        const value = valueBehind(turns, behind, limit);
        isSystems = value > 0 && (isAt(turns, value, SYSTEM) || isAt(turns, value, DEVELOPER));
        if (value > 0 && !isSystems) return end;
      }
      at = behind;
      continue;
    }
    at++;
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth--;
      if (depth >= IN_TURN) continue;
      if (!isSystems) return end;
      isSystems = false;
      end = at;
    }
  }
  return isSystems ? limit : end;
}

/** Behind the string's closing quote. */
function stringEnd(bytes: Buffer, from: number, end: number): number {
  for (let at = from + 1; ; ) {
    const quote = bytes.indexOf(QUOTE, at);
    if (quote < 0 || quote >= end) return end;
    let escapes = 0;
    while (bytes[quote - 1 - escapes] === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return quote + 1;
    at = quote + 1;
  }
}

/** Where the value of a key begins, from behind its closing quote; 0: what ended there is no key. */
function valueBehind(bytes: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end && isBlank(bytes[at])) at++;
  if (bytes[at] !== COLON) return 0;
  at++;
  while (at < end && isBlank(bytes[at])) at++;
  return at;
}

/** RFC 8259 §2. */
function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function isAt(bytes: Buffer, at: number, literal: string): boolean {
  for (let nth = 0; nth < literal.length; nth++)
    if (bytes[at + nth] !== literal.charCodeAt(nth)) return false;
  return true;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Anthropic's, and what OpenAI keeps at least (docs.anthropic.com/en/docs/build-with-claude/prompt-caching). */
const CACHE_DEFAULT_MS = 5 * MINUTE_MS;
/** The longest that any provider offers. */
const CACHE_MAX_MS = 24 * HOUR_MS;
/** Marks of one body that are looked at; Anthropic takes four. */
const MARKS_MAX = 16;

/**
 * How long a provider keeps this prompt cached behind its last use, in milliseconds: the longest that the request asks for
 * at whichever block (Anthropic's `cache_control.ttl`, OpenAI's `prompt_cache_options.ttl` and `prompt_cache_retention`),
 * five minutes where it says nothing. Quotes inside of a string are escaped, so that what is found is a key or a whole
 * value, never a text that speaks of one.
 * @param body null where it is not kept
 */
export function cacheLifeMs(body: Buffer | null): number {
  if (body === null) return CACHE_DEFAULT_MS;
  let longest = CACHE_DEFAULT_MS;
  // A body is quickly searched for what begins with an underscore, and slowly for what begins with a quote.
  if (body.includes(MARK) || body.includes(OPTIONS))
    longest = Math.max(longest, longestSpanMs(body, TTL));
  if (body.includes(RETENTION)) longest = Math.max(longest, longestSpanMs(body, KEPT));
  return Math.min(CACHE_MAX_MS, longest);
}

function longestSpanMs(body: Buffer, name: string): number {
  let longest = 0;
  for (let nth = 0, at = body.indexOf(name); nth < MARKS_MAX && at >= 0; nth++) {
    const value = valueBehind(body, at + name.length, body.length);
    if (value > 0 && body[value] === QUOTE) {
      const to = stringEnd(body, value, Math.min(body.length, value + SPAN_BYTES)) - 1;
      longest = Math.max(longest, spanMs(body.toString('latin1', value + 1, to)));
    }
    at = body.indexOf(name, at + name.length);
  }
  return longest;
}

/** Ends of `"cache_control"`, `"prompt_cache_options"`, `"prompt_cache_retention"`. */
const MARK = '_control"';
const OPTIONS = '_options"';
const RETENTION = '_retention"';
const TTL = '"ttl"';
const KEPT = '"prompt_cache_retention"';
/** `"30m"` and its like; no such text is longer. */
const SPAN_BYTES = 16;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: MINUTE_MS, h: HOUR_MS };

/** @returns 0 for what is none: `in_memory` among others */
function spanMs(text: string): number {
  const [, digits = '0', unit = ''] = /^(\d{1,5})([smh])$/.exec(text) ?? [];
  return Number(digits) * (UNIT_MS[unit] ?? 0);
}

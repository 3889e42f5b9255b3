/**
 * Which sessions break their own prompt cache: what they send before the first question (tools, system prompt) is not what
 * they sent a turn ago, so that no provider can have it cached. One table a worker, of sessions that their callers name;
 * it holds prompts' beginnings, and only as long as they are among the last.
 */

import { Buffer } from 'node:buffer';
import { PREFIX_PARTS, type PrefixPart } from '../wire/conversation.ts';

/** Sessions that are watched at a time, the last ones that spoke: as many as one worker has in a cache's five minutes. */
export const SESSIONS_MAX = 256;
/** Of one prefix: twice what coding agents send, which is the most that is common. What is behind it is not compared. */
export const PREFIX_MAX_BYTES = 131_072;
/** Of all prefixes of a worker: those of 100 coding agents. */
export const KEPT_MAX_BYTES = 8_388_608;
/**
 * Prefixes of one session. An agent and its helpers have one session with clients that name it, and take turns; each has a
 * cache of its own, and none breaks another's.
 */
const PREFIXES_MAX = 4;
/** Changed turns behind which a session is told of: one is a new tool, two may be an accident. */
const CHANGES_TOLD = 3;

/** The least that is cached by those who cache without being asked, in tokens (OpenAI, prompt caching). */
const CACHED_MIN_TOKENS = 1_024;

/** Where a prompt differs from what it was. */
interface Change {
  readonly part: string;
  /** Of the first byte that differs, in the body as the client sent it; null where the part is not there any more. */
  readonly offset: number | null;
  readonly partOffset: number;
}

interface KeptPrefix {
  bytes: Buffer;
  /** Of each part, behind one another. */
  ends: readonly number[];
  /** Who answered it last; null = nobody yet. */
  target: string | null;
  /** What of its last prompt is cached there, and until when in milliseconds. */
  tokens: number;
  untilMs: number;
}

interface Session {
  /** The last used one first. */
  readonly prefixes: KeptPrefix[];
  /** Of each changed turn, in pico-dollars; null = unpriced. */
  readonly losses: (number | null)[];
  isTold: boolean;
}

/** A turn that is under way. It keeps no byte of a prompt. */
export interface WatchedTurn {
  readonly session: Session;
  readonly prefix: KeptPrefix;
  readonly changed: { readonly from: KeptPrefix; readonly change: Change } | null;
}

/** What is known of a turn when it was answered with 2xx and its usage. */
interface Answered {
  readonly target: string;
  /** For how long the provider keeps the prompt. */
  readonly lifeMs: number;
  /** Of the whole prompt, what came from the cache, and what is in the cache now. */
  readonly promptTokens: number;
  readonly readTokens: number;
  readonly cachedTokens: number;
  /** What it costs more to have tokens not read from the cache; null = unpriced. */
  lossPico(tokens: number): number | null;
}

/** A session that breaks its cache. */
interface Broken extends Change {
  readonly turns: number;
  /** In all changed turns; null = unpriced. */
  readonly lostPico: number | null;
}

const NO_BYTES = Buffer.alloc(0);

export class PrefixWatch {
  readonly #sessions = new Map<number, Session>();
  readonly #counts: { prefixesForgotten(): void };
  readonly #now: () => number;
  #keptBytes = 0;

  /** @param now in milliseconds */
  constructor(
    counts: { prefixesForgotten(): void },
    now: () => number = performance.now.bind(performance),
  ) {
    this.#counts = counts;
    this.#now = now;
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  /**
   * A named session takes a turn.
   * @param id tells sessions, and what each of them asks for, apart
   * @param parts lent; copied where they are not what is kept
   * @returns null where the prompt begins with the first question
   */
  begin(id: number, parts: readonly PrefixPart[]): WatchedTurn | null {
    if (parts.every(({ bytes }) => bytes.length === 0)) return null;
    const session = this.#sessions.get(id) ?? { prefixes: [], losses: [], isTold: false };
    this.#sessions.delete(id);
    this.#sessions.set(id, session);
    const turn = this.#compared(session, parts);
    for (const [oldest, forgotten] of this.#sessions) {
      const isFull = this.#sessions.size > SESSIONS_MAX || this.#keptBytes > KEPT_MAX_BYTES;
      if (!isFull || forgotten === session) break;
      this.#forget(oldest, forgotten);
    }
    return turn;
  }

  /**
   * A turn was answered: only then was anything paid.
   * @returns what is to be told, once for each session
   */
  answered({ session, prefix, changed }: WatchedTurn, answer: Answered): Broken | null {
    const { target, lifeMs, promptTokens, readTokens, cachedTokens, lossPico } = answer;
    const now = this.#now();
    prefix.target = target;
    prefix.tokens = cachedTokens < CACHED_MIN_TOKENS ? 0 : cachedTokens;
    prefix.untilMs = now + lifeMs;
    if (changed === null || session.isTold) return null;
    const { from, change } = changed;
    // Another target would have had nothing in its cache anyway.
    if (from.target !== target) return null;
    session.losses.push(lossPico(Math.max(0, Math.min(from.tokens, promptTokens) - readTokens)));
    const turns = session.losses.length;
    if (turns < CHANGES_TOLD) return null;
    session.isTold = true;
    return { ...change, turns, lostPico: sumOf(session.losses) };
  }

  #compared(session: Session, parts: readonly PrefixPart[]): WatchedTurn {
    const { prefixes, losses } = session;
    let closest: { from: KeptPrefix; slot: number; at: number } | null = null;
    for (const [nth, prefix] of prefixes.entries()) {
      const different = firstDifference(prefix, parts);
      if (different === null) {
        // An older one comes again: two prompts take turns, and what was taken for a change was none.
        if (nth > 0) losses.pop();
        prefixes.splice(nth, 1);
        prefixes.unshift(prefix);
        this.#lengthen(prefix, parts);
        return { session, prefix, changed: null };
      }
      const { slot, at } = different;
      const isCloser =
        closest === null || slot > closest.slot || (slot === closest.slot && at > closest.at);
      if (isCloser) closest = { from: prefix, slot, at };
    }
    const prefix: KeptPrefix = {
      bytes: NO_BYTES,
      ends: new Array<number>(PREFIX_PARTS).fill(0),
      target: null,
      tokens: 0,
      untilMs: 0,
    };
    this.#lengthen(prefix, parts);
    prefixes.unshift(prefix);
    if (prefixes.length > PREFIXES_MAX) this.#letGo(prefixes.pop());
    // Behind its cache's life a prompt may begin as it likes.
    if (closest === null || closest.from.untilMs < this.#now())
      return { session, prefix, changed: null };
    const { from, slot, at } = closest;
    const part = parts[slot];
    const isThere = part !== undefined && part.bytes.length > 0;
    const offset = isThere ? part.at + at : null;
    const change = { part: part?.name ?? '', offset, partOffset: at };
    return { session, prefix, changed: { from, change } };
  }

  /** Keeps what is longer than what is kept. */
  #lengthen(prefix: KeptPrefix, parts: readonly PrefixPart[]): void {
    let length = 0;
    const ends = parts.map(({ bytes }) => (length += bytes.length));
    if (length <= prefix.bytes.length) return;
    // No slice of the pool, which would be kept with it.
    const copy = Buffer.allocUnsafeSlow(length);
    for (const [slot, { bytes }] of parts.entries()) bytes.copy(copy, ends[slot - 1] ?? 0);
    this.#keptBytes += length - prefix.bytes.length;
    prefix.bytes = copy;
    prefix.ends = ends;
  }

  #forget(id: number, { prefixes }: Session): void {
    this.#sessions.delete(id);
    const now = this.#now();
    if (prefixes.some(({ untilMs }) => untilMs > now)) this.#counts.prefixesForgotten();
    for (const prefix of prefixes.splice(0)) this.#letGo(prefix);
  }

  /** Turns that are under way may still know of it: its bytes go now. */
  #letGo(prefix: KeptPrefix | undefined): void {
    if (prefix === undefined) return;
    this.#keptBytes -= prefix.bytes.length;
    prefix.bytes = NO_BYTES;
  }
}

/** Which part differs first, and where in it; null: they are the same, or one only goes on behind the other's end. */
function firstDifference(
  { bytes, ends }: KeptPrefix,
  parts: readonly PrefixPart[],
): { readonly slot: number; readonly at: number } | null {
  const isLastOf = (slot: number) => parts.slice(slot + 1).every((part) => part.bytes.length === 0);
  for (const [slot, part] of parts.entries()) {
    const kept = bytes.subarray(ends[slot - 1] ?? 0, ends[slot]);
    if (kept.equals(part.bytes)) continue;
    const at = differsAt(kept, part.bytes);
    const isLast = ends[slot] === bytes.length && isLastOf(slot);
    return isLast && at >= Math.min(openEnd(kept), openEnd(part.bytes)) ? null : { slot, at };
  }
  return null;
}

/** How much is compared at once, in bytes, before a difference is looked for byte by byte. */
const STRIDE = 512;

function differsAt(one: Buffer, other: Buffer): number {
  const end = Math.min(one.length, other.length);
  let at = 0;
  while (at + STRIDE <= end && one.compare(other, at, at + STRIDE, at, at + STRIDE) === 0)
    at += STRIDE;
  while (at < end && one[at] === other[at]) at++;
  return at;
}

/** A mark for Anthropic's cache wanders to what is last, and is no part of what is cached. It takes 64 bytes at most. */
const CACHE_MARK = '"cache_control"';
const MARK_MAX_BYTES = 64;

/** Where a JSON text can grow without another byte before: before what only closes it. */
function openEnd(bytes: Buffer): number {
  const end = unclosed(bytes, bytes.length);
  const from = Math.max(0, end - MARK_MAX_BYTES);
  const mark = bytes.subarray(from, end).lastIndexOf(CACHE_MARK);
  return mark < 0 ? end : unclosed(bytes, from + mark);
}

function unclosed(bytes: Buffer, end: number): number {
  let at = end;
  while (at > 0 && CLOSING.has(bytes[at - 1] ?? 0)) at--;
  return at;
}

const CLOSING: ReadonlySet<number> = new Set(Buffer.from('"}], \t\r\n'));

function sumOf(losses: readonly (number | null)[]): number | null {
  let sum = 0;
  for (const loss of losses) {
    if (loss === null) return null;
    sum += loss;
  }
  return sum;
}

/**
 * The neutral form of an answer: told piece by piece, whether it came whole or as a stream. A wire's reader tells, a wire's
 * writer listens; so a stream can be told as one, as a whole answer, or both.
 */

import type { Maker } from './conversation.ts';
import type { Failure } from './failures.ts';
import type { JsonObject } from './json-values.ts';

/** What a call counts that is remembered, in UTF-16 units: its id, its place, and the objects that hold them. */
export const CALL_UNITS = 128;

/** Of a media type, in characters: longer ones are none. */
const TYPE_MAX_CHARS = 64;

/**
 * What a model made that is no text, in words: callers' wires have no place for it that all clients know, and it is not lost
 * without one.
 * @param type as its provider names it
 * @param base64Chars of its data
 */
export function leftOut(type: string, base64Chars: number): string {
  const shown = type.replace(/[^\w/.+-]/g, '').slice(0, TYPE_MAX_CHARS) || 'data';
  const bytes = Math.floor((base64Chars * 3) / 4);
  return `[Left out: ${shown}, ${bytes} bytes, which an answer in this API cannot hold.]`;
}

/** A picture that lies elsewhere, in Markdown: an answer that can hold no picture says where it is. */
export function pictureAt(url: string): string {
  return `![picture](<${url.replace(/[\s<>]/g, encodeURIComponent)}>)`;
}

/** Why a model stopped; null: its provider did not say. */
export type StopReason = 'end' | 'stop_sequence' | 'length' | 'calls' | 'filtered';

/** Tokens; what was not told is 0, but for breakouts. */
export interface Tokens {
  /** Neither read from a cache nor written to one. */
  readonly fresh: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
  /** Reasoning included. */
  readonly output: number;
  /** A breakout of `output`; null: not told. */
  readonly reasoning: number | null;
}

/** Of answers at once: OpenAI's own limit of `n` (platform.openai.com/docs/api-reference/chat/create). More are never told. */
const CHOICES_MAX = 128;

export const NO_TOKENS: Tokens = {
  fresh: 0,
  cacheRead: 0,
  cacheWrite: 0,
  output: 0,
  reasoning: null,
};

export interface Stop {
  readonly reason: StopReason | null;
  /** Which of the caller's stop sequences it was, where that is known. */
  readonly sequence: string | null;
  /** What the provider says of its refusal. */
  readonly explanation: string | null;
}

/**
 * Told in order: `began` once and first, content, `stopped` and `usage` in any order and the last one counts, then `ended`
 * or `failed`, once and last. A failure may come before `began`, and so may a `usage` that a provider tells as early.
 */
export interface AnswerSink {
  /** @param id `''` where the provider gives none */
  began(id: string, model: string): void;
  /**
   * What comes from here on is of this choice: content, and why it stopped. Until one is named it is the first.
   * @param index from 0 on
   * @returns false: its caller asked for no such one, and nothing of it may be told
   */
  choice(index: number): boolean;
  text(text: string): void;
  /** Text that says that the model refuses: a member of its own on OpenAI's wires. */
  refusal(text: string): void;
  thought(text: string): void;
  /** The thought so far is over, and this proves it. One may come without any text. */
  sealed(maker: Maker, data: string): void;
  redacted(maker: Maker, data: string): void;
  /** @param ordinal counts the calls of a choice, from 0 on */
  call(ordinal: number, id: string, name: string): void;
  /** More of a call's arguments: JSON text, cut anywhere. */
  input(ordinal: number, text: string): void;
  stopped(stop: Stop): void;
  /** @param tier `priority` and their like, as served; null: not told */
  usage(tokens: Tokens, tier: string | null): void;
  ended(): void;
  failed(failure: Failure): void;
}

/** What a caller is told by, beside the answer itself. */
export interface ReplyTerms {
  /** The target's model: for answers that do not say. */
  readonly model: string;
  /** For answers without an id: any text that is this answer's alone. */
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** A stream's usage is told only to who asked for it, on the wires where one has to. */
  readonly wantsUsage: boolean;
  /** How many answers its caller asked for at once; absent: one. */
  readonly choices?: number;
  /** By the name that the provider was given, where that is another one than the caller's. */
  readonly toolNames: ReadonlyMap<string, string>;
  /** The request's settings, for wires that tell them again. */
  readonly echoed: JsonObject | null;
}

/**
 * Whether its caller asked for such a choice.
 * @param index as a provider gave it, whatever number it is
 */
export function isAskedChoice(index: number, { choices = 1 }: ReplyTerms): boolean {
  return Number.isInteger(index) && index >= 0 && index < Math.min(choices, CHOICES_MAX);
}

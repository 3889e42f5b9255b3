/**
 * The neutral form of a request: what a conversation is, whichever wire it came on. Readers make one, writers render one;
 * neither knows the other's wire. Order is kept, and every setting remembers the name that its caller gave it, so that what
 * a writer cannot carry can be named.
 */

import type { JsonObject } from './json-values.ts';

/** What a caller set, and under which name. */
export interface Wish<T> {
  /** As the caller's wire spells it: `max_tokens`, `thinking`. */
  readonly field: string;
  readonly value: T;
}

/** How long a provider is asked to keep what stands up to here. */
export type CacheLife = '5m' | '1h';

export interface TextPart {
  readonly kind: 'text';
  readonly text: string;
  readonly cache: CacheLife | null;
}

/** Content that is no text: its bytes, or where they are. Nothing is ever fetched for a caller. */
export type Media =
  | { readonly from: 'inline'; readonly type: string; readonly base64: string }
  | { readonly from: 'url'; readonly url: string };

/** How closely a model looks at a picture: a hint. */
export type Detail = 'low' | 'high' | 'auto';

export interface ImagePart {
  readonly kind: 'image';
  readonly media: Media;
  /** Null where the caller's wire has none, or it was not said. */
  readonly detail: Detail | null;
  readonly cache: CacheLife | null;
}

export interface DocumentPart {
  readonly kind: 'document';
  readonly media: Media | { readonly from: 'text'; readonly text: string };
  readonly title: string | null;
  readonly cache: CacheLife | null;
}

export interface AudioPart {
  readonly kind: 'audio';
  /** The name of the content part on its caller's wire. */
  readonly field: string;
  /** `wav`, `mp3`. */
  readonly format: string;
  readonly base64: string;
}

/** Whose model wrote a thought: only its maker can read what is sealed. */
export type Maker = 'anthropic' | 'gemini' | 'openai';

/** A thought's proof, or the thought itself where its maker keeps it to itself. Byte for byte as its maker gave it. */
export interface Seal {
  readonly maker: Maker;
  readonly data: string;
}

export interface ThoughtPart {
  readonly kind: 'thought';
  /** May be empty beside a seal. */
  readonly text: string;
  readonly seal: Seal | null;
}

/** A thought of which nobody but its maker sees more than this. */
export interface RedactedPart {
  readonly kind: 'redacted';
  readonly seal: Seal;
}

export interface CallPart {
  readonly kind: 'call';
  readonly id: string;
  readonly name: string;
  /** JSON text as the model wrote it: numbers in it are never read and written anew. `''` is no argument. */
  readonly input: string;
  readonly cache: CacheLife | null;
}

/** What is shown or heard, and is no text. */
export type MediaPart = ImagePart | DocumentPart | AudioPart;

/** What a tool answered to the call with this id. */
export interface ResultPart {
  readonly kind: 'result';
  readonly id: string;
  readonly parts: readonly (TextPart | MediaPart)[];
  readonly isError: boolean;
  readonly cache: CacheLife | null;
}

export type Part = TextPart | MediaPart | ThoughtPart | RedactedPart | CallPart | ResultPart;

export function isMedia(part: Part): part is MediaPart {
  return part.kind === 'image' || part.kind === 'document' || part.kind === 'audio';
}

export interface Turn {
  /** `system` is whoever runs the application: OpenAI's `developer` too. */
  readonly role: 'system' | 'user' | 'assistant';
  readonly parts: readonly Part[];
}

export interface FunctionTool {
  readonly kind: 'function';
  readonly name: string;
  readonly description: string | null;
  /** Null where it takes no arguments. */
  readonly schema: JsonObject | null;
  readonly isStrict: boolean;
  readonly cache: CacheLife | null;
}

/** A tool that its provider runs, or whose arguments only its provider's models know. */
export interface HostedTool {
  readonly kind: 'hosted';
  readonly name: string;
}

export type Tool = FunctionTool | HostedTool;

export type ToolChoice =
  | { readonly kind: 'auto' | 'none' | 'any' }
  | { readonly kind: 'named'; readonly name: string }
  | { readonly kind: 'allowed'; readonly names: readonly string[]; readonly isForced: boolean };

export type Effort = 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | 'max';

export type Thinking =
  | { readonly kind: 'off' }
  /** Null: as much as the model finds right. */
  | { readonly kind: 'effort'; readonly effort: Effort | null }
  | { readonly kind: 'budget'; readonly tokens: number };

export type Format =
  | { readonly kind: 'json' }
  | {
      readonly kind: 'schema';
      /** Null where the caller's wire has none. */
      readonly name: string | null;
      readonly schema: JsonObject;
      readonly isStrict: boolean;
    };

/** How many words a model makes. */
export type Verbosity = 'low' | 'medium' | 'high';

export type Tier = 'auto' | 'default' | 'priority' | 'flex' | 'scale';

export interface Conversation {
  /** As the caller wrote it: a route, perhaps. The target's own name stands in the terms of writing. */
  readonly model: string;
  readonly turns: readonly Turn[];
  readonly tools: readonly Tool[];
  readonly toolChoice: ToolChoice | null;
  /** False: one call at a time. Null: nothing was said. */
  readonly parallelCalls: Wish<boolean> | null;
  readonly maxTokens: Wish<number> | null;
  readonly temperature: Wish<number> | null;
  readonly topP: Wish<number> | null;
  readonly topK: Wish<number> | null;
  readonly seed: Wish<number> | null;
  readonly frequencyPenalty: Wish<number> | null;
  readonly presencePenalty: Wish<number> | null;
  readonly stops: Wish<readonly string[]> | null;
  /** How many answers at once. */
  readonly choices: Wish<number> | null;
  /** Probabilities of so many tokens beside each that was chosen. */
  readonly logprobs: Wish<number> | null;
  readonly format: Wish<Format> | null;
  readonly verbosity: Wish<Verbosity> | null;
  readonly thinking: Wish<Thinking> | null;
  readonly tier: Wish<Tier> | null;
  /** Who is behind the caller: an opaque name. */
  readonly user: string | null;
  /** Names of what this wire alone has, and whose loss its caller is told of. */
  readonly ownFields: readonly string[];
  readonly isStream: boolean;
  /** Whether a stream's usage was asked for; wires that always tell it say true. */
  readonly wantsUsage: boolean;
  /** Its settings as the caller's wire tells them again with each answer; null: it does not. */
  readonly echoed: JsonObject | null;
}

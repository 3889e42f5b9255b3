import { isObject, type JsonObject } from './json.ts';

/** Pieces said when a request names no limit. */
export const DEFAULT_PIECES = 20;
/** Longest answer in pieces: at about 300 bytes an event this is a 20 MB stream, above any recorded one (1.59 MB). */
const MAX_PIECES = 65_536;
/** Characters that make one prompt token, the usual rule of thumb for English. */
const CHARACTERS_PER_TOKEN = 4;
/** Words of the prompt that are echoed before the answer starts again from the first. */
const MAX_ECHOED_WORDS = 64;
/** Longest echoed word in characters: a base64 blob in a prompt must not become one giant piece. */
const MAX_WORD_CHARACTERS = 32;
/** Characters of the prompt that are looked at for words. */
const MAX_ECHOED_CHARACTERS = 4_096;
/** Code points per piece of JSON text (tool arguments, structured output). */
const JSON_PIECE = /[\s\S]{1,5}/gu;

const OPENING = ['You', ' said', ':'];
const FILLER = ['the', 'quick', 'brown', 'fox', 'jumps', 'over', 'a', 'lazy', 'dog'];
const THOUGHT = [
  'Let',
  ' me',
  ' think',
  ' about',
  ' what',
  ' was',
  ' asked',
  '.',
] as const satisfies readonly string[];

/** The pieces a reasoning model thinks before it speaks; always the same eight. */
export const THOUGHT_PIECES: readonly string[] = THOUGHT;

/**
 * The answer to a prompt: an opening, then the prompt's own words over and over. One piece is one token,
 * and the same prompt and count always give the same pieces.
 */
export function echoPieces(prompt: string, count: number): readonly string[] {
  const words = prompt
    .slice(0, MAX_ECHOED_CHARACTERS)
    .split(/\s+/u)
    .filter((word) => word !== '' && word.length <= MAX_WORD_CHARACTERS)
    .slice(0, MAX_ECHOED_WORDS);
  const cycle = words.length === 0 ? FILLER : words;
  const wanted = Math.min(Math.max(Math.trunc(count), 1), MAX_PIECES);
  const pieces = OPENING.slice(0, wanted);
  for (let at = 0; pieces.length < wanted; at++) pieces.push(` ${cycle[at % cycle.length] ?? ''}`);
  return pieces;
}

/** JSON text in pieces of at most five code points; joined they are the text again. */
export function jsonPieces(text: string): readonly string[] {
  return text.match(JSON_PIECE) ?? [];
}

const PROMPT_KEYS = ['messages', 'system', 'input', 'instructions', 'prompt', 'tools'];
/** Members that are structure or binary data, not words a model reads. */
const SILENT_KEYS = new Set([
  'type',
  'role',
  'id',
  'url',
  'data',
  'image_url',
  'file_data',
  'call_id',
]);

interface PromptSize {
  characters: number;
  cacheMarks: number;
}

function measure(value: unknown, into: PromptSize): void {
  if (typeof value === 'string') into.characters += value.length;
  else if (Array.isArray(value)) for (const item of value) measure(item, into);
  else if (isObject(value)) {
    for (const key of Object.keys(value)) {
      if (key === 'cache_control') into.cacheMarks++;
      else if (!SILENT_KEYS.has(key)) measure(value[key], into);
    }
  }
}

/** Prompt tokens of a request body of any dialect, at least 1, and how many cache marks (Anthropic) it has. */
export function promptTokens(body: JsonObject): {
  readonly tokens: number;
  readonly cacheMarks: number;
} {
  const size: PromptSize = { characters: 0, cacheMarks: 0 };
  for (const key of PROMPT_KEYS) measure(body[key], size);
  return {
    tokens: Math.max(1, Math.ceil(size.characters / CHARACTERS_PER_TOKEN)),
    cacheMarks: size.cacheMarks,
  };
}

/** What a request asks of whoever answers it: its size, and what not every model can. Read where it stands in the body. */

import type { Buffer } from 'node:buffer';
import { OUTLINE_PATH } from './json-paths.ts';
import type { RequestOutline } from './request-outline.ts';
import { TextCount } from './text-count.ts';

export interface RequestNeeds {
  /** Of text, and of pictures, sound and files in base64. */
  readonly textBytes: number;
  readonly dataBytes: number;
  /** The most that may come back, of each choice; null = the request does not say. */
  readonly outputTokens: number | null;
  /** How many answers. */
  readonly choices: number;
  readonly images: boolean;
  readonly tools: boolean;
  readonly jsonSchema: boolean;
  readonly audio: boolean;
  /** It marks what is to be cached (Anthropic's `cache_control`): without a mark, some cache nothing. */
  readonly marksCache: boolean;
}

/** Of a body that is not kept whole: nothing is known of it but its size, which counts as text. */
export function needsOfSize(bytes: number): RequestNeeds {
  return {
    textBytes: bytes,
    dataBytes: 0,
    outputTokens: null,
    choices: 1,
    images: false,
    tools: false,
    jsonSchema: false,
    audio: false,
    marksCache: false,
  };
}

export function needsOf(outline: RequestOutline): RequestNeeds {
  const { body } = outline;
  const text = new TextCount();
  text.push(body);
  const { textBytes } = text;
  const limit =
    count(outline, OUTLINE_PATH.maxCompletionTokens) ??
    count(outline, OUTLINE_PATH.maxTokens) ??
    count(outline, OUTLINE_PATH.maxOutputTokens);
  const turns = outline.at(OUTLINE_PATH.messages) ?? outline.at(OUTLINE_PATH.input);
  return {
    textBytes,
    dataBytes: body.length - textBytes,
    outputTokens: limit,
    choices: Math.max(1, count(outline, OUTLINE_PATH.n) ?? 1),
    images:
      turns !== null && (has(turns, IMAGE_URL) || has(turns, INPUT_IMAGE) || has(turns, IMAGE)),
    tools: isFilled(outline.at(OUTLINE_PATH.tools)),
    jsonSchema: has(body, JSON_SCHEMA),
    audio: (turns !== null && has(turns, INPUT_AUDIO)) || isFilled(outline.at(OUTLINE_PATH.audio)),
    marksCache: has(body, CACHE_MARK),
  };
}

// Quotes inside of a string are escaped, so that what is found is a key or a whole value, never a text that speaks of one.
// OpenAI chat and Responses, Anthropic (docs.anthropic.com/en/docs/build-with-claude/vision).
const IMAGE_URL = '"image_url"';
const INPUT_IMAGE = '"input_image"';
const IMAGE = '"image"';
const INPUT_AUDIO = '"input_audio"';
const JSON_SCHEMA = '"json_schema"';
const CACHE_MARK = '"cache_control"';

function has(bytes: Buffer, literal: string): boolean {
  return bytes.includes(literal);
}

/** Neither absent, nor `null`, `[]` or `{}`. */
function isFilled(value: Buffer | null): boolean {
  return value !== null && value.length > 2 && value.toString('latin1', 0, 4) !== 'null';
}

/** No such number has more digits. */
const DIGITS_MAX = 12;

/** @returns null for what is no whole number above 0 */
function count(outline: RequestOutline, path: number): number | null {
  const value = outline.at(path);
  if (value === null || value.length > DIGITS_MAX) return null;
  const number = Number(value.toString('latin1'));
  return Number.isInteger(number) && number > 0 ? number : null;
}

/**
 * A chat request that asks for the rest of an answer: the text so far stands in it as the beginning of the assistant's
 * turn. Edited by offsets: no byte of the client's is touched.
 *
 * Sources: docs.anthropic.com/en/docs/build-with-claude/prompt-engineering/prefill-claudes-response,
 * docs.mistral.ai/capabilities/completion/prefix, api-docs.deepseek.com/guides/chat_prefix_completion,
 * docs.vllm.ai (OpenAI-compatible server, `continue_final_message`).
 */

import { Buffer } from 'node:buffer';
import { OUTLINE_PATH } from './json-paths.ts';
import type { JsonScanner } from './json-scanner.ts';
import { RequestOutline } from './request-outline.ts';

/**
 * How a provider is told to go on. `prefill`: by the turn alone; `prefix`: by a member of that turn; `final_message`: by
 * members of the request.
 */
export type ContinuationWay = 'prefill' | 'prefix' | 'final_message';

/** Of a request that may be read for it, in bytes: the worker's other streams wait for milliseconds. */
const REQUEST_MAX_BYTES = 4 * 1024 * 1024;

/** Asked for, the answer is more than one text, or the rest of it is not its end (a JSON text begun anew, a thought). */
const BARRED: readonly number[] = [
  OUTLINE_PATH.responseFormat,
  OUTLINE_PATH.audio,
  OUTLINE_PATH.modalities,
  OUTLINE_PATH.logprobs,
  OUTLINE_PATH.topLogprobs,
  OUTLINE_PATH.outputFormat,
  OUTLINE_PATH.outputConfig,
];

/** What says the same as nothing. */
const HARMLESS: ReadonlySet<string> = new Set(['null', 'false', '0', '{}', '[]']);
const PLAIN_TEXT = /^\{\s*"type"\s*:\s*"text"\s*\}$/;
const NO_THOUGHTS = /^\{\s*"type"\s*:\s*"disabled"\s*\}$/;
/** Longer values are none of the harmless ones. */
const VALUE_SHOWN_BYTES = 64;

/**
 * @param body a whole request, valid JSON, with the model that it goes to
 * @param prefix the answer so far, not empty
 * @returns the request for the rest; null where the answer to it would be no mere rest of a text
 */
export function continuedRequest(
  scanner: JsonScanner,
  body: Buffer,
  prefix: string,
  way: ContinuationWay,
): Buffer | null {
  if (prefix === '' || body.length > REQUEST_MAX_BYTES) return null;
  const outline = RequestOutline.of(scanner, body);
  if (outline === null || !asksForOneText(outline)) return null;
  const turns = outline.at(OUTLINE_PATH.messages);
  if (turns === null || outline.isTwice(OUTLINE_PATH.messages)) return null;
  if (!endsWithAnothersTurn(turns)) return null;
  const inTurn = way === 'prefix' ? ',"prefix":true' : '';
  const turn = `,{"role":"assistant","content":${JSON.stringify(prefix)}${inTurn}}`;
  const inRoot =
    way === 'final_message' ? ',"continue_final_message":true,"add_generation_prompt":false' : '';
  const turnsEnd = turns.byteOffset - body.byteOffset + turns.length - 1;
  const rootEnd = body.lastIndexOf('}');
  return Buffer.concat([
    body.subarray(0, turnsEnd),
    Buffer.from(turn),
    body.subarray(turnsEnd, rootEnd),
    Buffer.from(inRoot),
    body.subarray(rootEnd),
  ]);
}

function asksForOneText(outline: RequestOutline): boolean {
  const thinking = shown(outline, OUTLINE_PATH.thinking);
  if (!HARMLESS.has(thinking) && !NO_THOUGHTS.test(thinking)) return false;
  const choices = shown(outline, OUTLINE_PATH.n);
  if (choices !== 'null' && choices !== '1') return false;
  return BARRED.every((path) => {
    const value = shown(outline, path);
    return HARMLESS.has(value) || PLAIN_TEXT.test(value);
  });
}

function shown(outline: RequestOutline, path: number): string {
  return outline.at(path)?.toString('latin1', 0, VALUE_SHOWN_BYTES) ?? 'null';
}

/** A turn of the assistant's at the end is a prefix already: the caller's own. */
function endsWithAnothersTurn(turns: Buffer): boolean {
  const from = lastElement(turns);
  if (from < 0) return false;
  const turn: unknown = JSON.parse(turns.toString('utf8', from, turns.length - 1));
  if (typeof turn !== 'object' || turn === null || !('role' in turn)) return false;
  return turn.role === 'user' || turn.role === 'tool';
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** @param array valid JSON. @returns where its last element begins; -1 where it has none, or is no array */
function lastElement(array: Buffer): number {
  if (array[0] !== 0x5b) return -1;
  let depth = 0;
  let last = 1;
  for (let at = 0; at < array.length; at++) {
    const byte = array[at];
    if (byte === QUOTE) at = stringEnd(array, at);
    else if (byte === 0x7b || byte === 0x5b) depth++;
    else if (byte === 0x7d || byte === 0x5d) depth--;
    else if (byte === 0x2c && depth === 1) last = at + 1;
  }
  return array.toString('latin1', last, array.length - 1).trim() === '' ? -1 : last;
}

/** Where the string's closing quote is. */
function stringEnd(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(QUOTE, from + 1); at >= 0; at = bytes.indexOf(QUOTE, at + 1)) {
    let escapes = 0;
    while (bytes[at - 1 - escapes] === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return at;
  }
  return bytes.length;
}

/**
 * What an earlier target of a mixed plan left in a history that now goes to the caller's own wire: thoughts that nobody
 * signed, or that another maker sealed. Anthropic answers 400 to them, and OpenAI to members that it does not know.
 */

import { Buffer } from 'node:buffer';
import type { Maker } from './conversation.ts';
import {
  isObject,
  type JsonObject,
  listIn,
  objectIn,
  parsedObject,
  textIn,
  withoutMark,
} from './json-values.ts';
import { OWN_THOUGHT } from './openai-responses/item-ids.ts';
import { PREFIX } from './seals.ts';
import type { CallerWire } from './wires.ts';

/** A request without what its target cannot have. */
export interface CleanedRequest {
  /** JSON in UTF-8. */
  readonly body: Buffer;
  /** Names of what is lost, for `x-sluice-dropped`. */
  readonly dropped: readonly string[];
}

/** Their traces, as JSON is written by every stock client; whoever writes it otherwise gets the provider's own word. */
const TRACES: Readonly<Record<CallerWire, readonly string[]>> = {
  'openai-chat': ['"thinking_blocks"', '"thought_signature"'],
  'openai-responses': ['"rs_sluice_', '"sluice.'],
  'anthropic-messages': ['"signature":""', '"signature": ""', '"sluice.'],
};

/**
 * @param body of a request, JSON
 * @param model that it is to ask for
 * @param maker whose seals the target can open
 * @returns null where nothing of it is in there: then it goes as it came
 */
export function withoutForeignThoughts(
  wire: CallerWire,
  body: Buffer,
  model: string,
  maker: Maker,
): CleanedRequest | null {
  if (!TRACES[wire].some((trace) => body.includes(trace))) return null;
  const request = parsedObject(withoutMark(body.toString()));
  if (request === null) return null;
  const dropped = new Set<string>();
  const field = wire === 'openai-responses' ? 'input' : 'messages';
  const kept = listIn(request, field).flatMap((one): readonly unknown[] => {
    if (!isObject(one)) return [one];
    if (wire === 'openai-responses') return withoutOwn(one, dropped);
    return wire === 'openai-chat'
      ? [withoutSealed(one, maker, dropped)]
      : withoutUnsigned(one, dropped);
  });
  if (dropped.size === 0) return null;
  const text = written({ ...request, model, [field]: kept });
  return text === null ? null : { body: Buffer.from(text), dropped: [...dropped] };
}

/** @returns null where it is nested more deeply than can be written: its provider has the last word on that */
function written(request: JsonObject): string | null {
  try {
    return JSON.stringify(request);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** OpenAI looks for a thought by its id, and refuses one whose content it did not write. */
function withoutOwn(item: JsonObject, dropped: Set<string>): readonly JsonObject[] {
  if (item['type'] !== 'reasoning') return [item];
  const isOwn = OWN_THOUGHT.test(textIn(item, 'id') ?? '');
  if (!isOwn && !PREFIX.test(textIn(item, 'encrypted_content') ?? '')) return [item];
  dropped.add('input.reasoning');
  return [];
}

function withoutSealed(message: JsonObject, maker: Maker, dropped: Set<string>): JsonObject {
  const { thinking_blocks: blocks, ...plain } = message;
  if (blocks !== undefined) dropped.add('messages.thinking_blocks');
  if (maker === 'gemini' || !Array.isArray(plain['tool_calls'])) return plain;
  const calls = plain['tool_calls'].map((call: unknown) => withoutGoogles(call, dropped));
  return { ...plain, tool_calls: calls };
}

/** Google's own form of its signatures on OpenAI's wire. */
function withoutGoogles(call: unknown, dropped: Set<string>): unknown {
  const extra = isObject(call) ? objectIn(call, 'extra_content') : null;
  if (!isObject(call) || extra === null || !('google' in extra)) return call;
  dropped.add('messages.tool_calls.extra_content');
  const { extra_content: _, ...plain } = call;
  const { google: __, ...others } = extra;
  return Object.keys(others).length === 0 ? plain : { ...plain, extra_content: others };
}

/** A turn of which nothing is left is none. */
function withoutUnsigned(message: JsonObject, dropped: Set<string>): readonly JsonObject[] {
  if (!Array.isArray(message['content'])) return [message];
  const content = listIn(message, 'content').filter(
    (block) => !isObject(block) || !isForeign(block),
  );
  if (content.length === message['content'].length) return [message];
  dropped.add('messages.thinking');
  return content.length === 0 ? [] : [{ ...message, content }];
}

function isForeign(block: JsonObject): boolean {
  if (block['type'] === 'redacted_thinking') return PREFIX.test(textIn(block, 'data') ?? '');
  if (block['type'] !== 'thinking') return false;
  const signature = textIn(block, 'signature') ?? '';
  return signature === '' || PREFIX.test(signature);
}

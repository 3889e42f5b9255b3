/**
 * What an earlier target of a mixed plan left in a history that now goes to the caller's own wire: thoughts that nobody
 * signed, or that another maker sealed. Anthropic answers 400 to them, and OpenAI to members that it does not know.
 */

import { Buffer } from 'node:buffer';
import { isObject, type JsonObject, listIn, parsedObject, textIn } from './json-values.ts';
import { PREFIX } from './seals.ts';
import type { Wire } from './wires.ts';

/** Their traces, as JSON is written by every stock client; whoever writes it otherwise gets the provider's own word. */
const TRACES: Readonly<Record<Wire, readonly string[]>> = {
  'openai-chat': ['"thinking_blocks"'],
  'anthropic-messages': ['"signature":""', '"signature": ""', '"sluice.'],
};

/**
 * @param body of a request, JSON
 * @param model that it is to ask for
 * @returns null where there is no trace of them: then it goes as it came
 */
export function withoutForeignThoughts(wire: Wire, body: Buffer, model: string): Buffer | null {
  if (!TRACES[wire].some((trace) => body.includes(trace))) return null;
  const request = parsedObject(body.toString());
  if (request === null) return null;
  const strip = wire === 'openai-chat' ? withoutBlocks : withoutUnsigned;
  const messages = listIn(request, 'messages').flatMap(strip);
  return Buffer.from(JSON.stringify({ ...request, model, messages }));
}

function withoutBlocks(message: unknown): readonly unknown[] {
  if (!isObject(message)) return [message];
  const { thinking_blocks: _, ...kept } = message;
  return [kept];
}

/** A turn of which nothing is left is none. */
function withoutUnsigned(message: unknown): readonly unknown[] {
  if (!isObject(message) || !Array.isArray(message['content'])) return [message];
  const content = listIn(message, 'content').filter(
    (block) => !isObject(block) || !isForeign(block),
  );
  return content.length === 0 ? [] : [{ ...message, content }];
}

function isForeign(block: JsonObject): boolean {
  if (block['type'] === 'redacted_thinking') return PREFIX.test(textIn(block, 'data') ?? '');
  if (block['type'] !== 'thinking') return false;
  const signature = textIn(block, 'signature') ?? '';
  return signature === '' || PREFIX.test(signature);
}

/** The events of a second answer, as the reader of the first one gets them: within the same message. */

import { Buffer } from 'node:buffer';
import type { Seam } from './seam.ts';
import { type ContinuedWire, type Json, object, type TextEvent } from './text-events.ts';

/** What the chunks of one message have in common (platform.openai.com/docs/api-reference/chat/streaming). */
export interface MessageNames {
  readonly id: unknown;
  readonly created: unknown;
  readonly model: unknown;
}

/** @returns what the chunk says of its message; null when it is none that says it */
export function namesOf(body: Json | null): MessageNames | null {
  if (body === null || body['id'] === undefined || body['choices'] === undefined) return null;
  const { id, created, model } = body;
  return { id, created, model };
}

/** What is told of an event, and what of that the reader's text grows by. */
export interface Continued {
  /** Null: nothing is told of it. */
  readonly bytes: Buffer | null;
  readonly text: string;
}

const SKIPPED: Continued = { bytes: null, text: '' };

/**
 * @param raw the event's bytes
 * @param names of the first message; only of a chat stream
 */
export function continuedEvent(
  wire: ContinuedWire,
  event: Exclude<TextEvent, { kind: 'broken' }>,
  raw: Buffer,
  seam: Seam,
  names: MessageNames | null,
): Continued {
  return wire === 'openai-chat'
    ? continuedChunk(event, raw, seam, names)
    : continuedBlockEvent(event, raw, seam);
}

function continuedChunk(
  event: Exclude<TextEvent, { kind: 'broken' }>,
  raw: Buffer,
  seam: Seam,
  names: MessageNames | null,
): Continued {
  const { body } = event;
  if (body === null) return { bytes: raw, text: '' };
  const choices = Array.isArray(body['choices']) ? body['choices'].map(object) : [];
  const [choice, ...others] = choices;
  const told: Json = { ...body };
  if (names !== null) {
    told['id'] = names.id;
    if (names.created !== undefined) told['created'] = names.created;
    if (names.model !== undefined) told['model'] = names.model;
  }
  if (choice === undefined) return { bytes: written(told), text: '' };
  // Its message has begun.
  if (event.kind === 'none') return SKIPPED;
  const { role: _role, content, ...delta } = object(choice['delta']);
  const taken = typeof content === 'string' ? seam.take(content) : '';
  const text = event.kind === 'text' ? taken : taken + seam.rest();
  if (event.kind === 'text' && text === '') return SKIPPED;
  const isText = typeof content === 'string' || text !== '';
  const said = isText ? { content: text, ...delta } : object(choice['delta']);
  told['choices'] = [{ ...choice, delta: said }, ...others];
  return { bytes: written(told), text };
}

function continuedBlockEvent(
  event: Exclude<TextEvent, { kind: 'broken' }>,
  raw: Buffer,
  seam: Seam,
): Continued {
  const { body } = event;
  if (event.kind === 'text') {
    const text = seam.take(event.text);
    return text === '' ? SKIPPED : { bytes: writtenDelta(text), text };
  }
  if (event.kind === 'none')
    return body === null || body['type'] === 'ping' ? { bytes: raw, text: '' } : SKIPPED;
  const text = seam.rest();
  if (text === '') return { bytes: raw, text };
  return { bytes: Buffer.concat([writtenDelta(text), raw]), text };
}

function written(chunk: Json): Buffer {
  return Buffer.from(`data: ${JSON.stringify(chunk)}\n\n`);
}

function writtenDelta(text: string): Buffer {
  const type = 'content_block_delta';
  const body = { type, index: 0, delta: { type: 'text_delta', text } };
  return Buffer.from(`event: ${type}\ndata: ${JSON.stringify(body)}\n\n`);
}

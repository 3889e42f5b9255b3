/**
 * What an event is to an answer that is one text and nothing else: the only kind that another provider can go on with.
 * Sources: as `first-content.ts`.
 */

import { type InbandError, meaningOf, type StreamWire } from './first-content.ts';

/** Wires whose requests can hold the beginning of their answer. */
export type ContinuedWire = Extract<StreamWire, 'openai-chat' | 'anthropic-messages'>;

export type Json = { [name: string]: unknown };

export type TextEvent =
  /** Comments, pings, openings, reports: nothing of the text. */
  | { readonly kind: 'none'; readonly body: Json | null }
  | { readonly kind: 'text'; readonly body: Json; readonly text: string }
  /** The text is whole: nothing can be added behind it. */
  | { readonly kind: 'end'; readonly body: Json | null }
  /** A call, a thought, a second choice, a refusal: the answer is more than a text. */
  | { readonly kind: 'other'; readonly body: Json }
  /** An error inside a 200, or no JSON. */
  | { readonly kind: 'broken'; readonly error: InbandError };

const NOTHING: TextEvent = { kind: 'none', body: null };
const MALFORMED: TextEvent = { kind: 'broken', error: { status: 0, code: 'MALFORMED_EVENT' } };

/**
 * @param isError the event is named `error`
 * @param data its data, lines joined by LF; empty for a comment or a bare field
 */
export function textEvent(wire: ContinuedWire, isError: boolean, data: string): TextEvent {
  if (data === '') return NOTHING;
  if (data.trim() === '[DONE]') return { kind: 'end', body: null };
  const body = parsed(data);
  if (body === null) return MALFORMED;
  const event = wire === 'openai-chat' ? chatEvent(body) : messagesEvent(body);
  if (event.kind === 'text' && !isError) return event;
  const meaning = meaningOf(wire, isError ? 'error' : '', data);
  return meaning.kind === 'error' ? { kind: 'broken', error: meaning.error } : event;
}

function chatEvent(body: Json): TextEvent {
  const { choices, error } = body;
  if (!isEmpty(error)) return { kind: 'other', body };
  const [choice, ...others] = Array.isArray(choices) ? choices.map(object) : [];
  if (choice === undefined) return { kind: 'none', body };
  const { index, delta, finish_reason: finish, logprobs } = choice;
  if (others.length > 0 || (index !== undefined && index !== 0)) return { kind: 'other', body };
  if (!isEmpty(finish)) return { kind: 'end', body };
  if (!isEmpty(logprobs) || !isEmpty(choice['message'])) return { kind: 'other', body };
  const { role: _role, content, ...rest } = object(delta);
  const isPlain = typeof content === 'string' || isEmpty(content);
  if (!isPlain || !Object.values(rest).every(isEmpty)) return { kind: 'other', body };
  return typeof content === 'string' && content !== ''
    ? { kind: 'text', body, text: content }
    : { kind: 'none', body };
}

function messagesEvent(body: Json): TextEvent {
  switch (body['type']) {
    case 'ping':
      return { kind: 'none', body };
    case 'message_start':
      return isEmpty(object(body['message'])['content'])
        ? { kind: 'none', body }
        : { kind: 'other', body };
    case 'content_block_start': {
      const { type, text, citations } = object(body['content_block']);
      const isFirst = body['index'] === 0 && type === 'text' && isEmpty(citations);
      if (!isFirst) return { kind: 'other', body };
      return typeof text === 'string' && text !== ''
        ? { kind: 'text', body, text }
        : { kind: 'none', body };
    }
    case 'content_block_delta': {
      const { type, text } = object(body['delta']);
      return body['index'] === 0 && type === 'text_delta' && typeof text === 'string'
        ? { kind: 'text', body, text }
        : { kind: 'other', body };
    }
    // A block that is closed takes no more, and another one is another text.
    case 'content_block_stop':
    case 'message_delta':
    case 'message_stop':
      return { kind: 'end', body };
    default:
      return { kind: 'other', body };
  }
}

function parsed(data: string): Json | null {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Json)
      : null;
  } catch {
    return null;
  }
}

export function object(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Json)
    : {};
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

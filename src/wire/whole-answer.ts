import type { Buffer } from 'node:buffer';
import { type InbandError, meaningOfError, type StreamWire } from './first-content.ts';

/** What a whole 2xx body amounts to. */
type WholeMeaning =
  | { readonly kind: 'sound' }
  /** No JSON, or half of one: what its framing called whole is not. */
  | { readonly kind: 'broken' }
  /** A 200 that holds nothing but an error. */
  | { readonly kind: 'error'; readonly error: InbandError }
  | { readonly kind: 'refusal' };

/** A longer one is only looked at by its ends: reading it through would hold up a worker's other streams for milliseconds. */
const PARSED_MAX_BYTES = 1024 * 1024;

const SOUND: WholeMeaning = { kind: 'sound' };
const BROKEN: WholeMeaning = { kind: 'broken' };
const REFUSAL: WholeMeaning = { kind: 'refusal' };

/** Behind a byte order mark, which a reader may pass over (RFC 8259 §8.1), as it is in latin1. */
const OPENS = /^(?:\xef\xbb\xbf)?\s*[{[]/;
const CLOSES = /[}\]]\s*$/;
/** Of each end, in bytes. */
const LOOK_BYTES = 64;

type Json = Readonly<Record<string, unknown>>;

/** Of each wire, what no refusal is told without. */
const REFUSALS: Readonly<Record<StreamWire, string>> = {
  'openai-chat': 'content_filter',
  'openai-text': 'content_filter',
  'openai-responses': 'content_filter',
  'anthropic-messages': 'refusal',
  gemini: 'blockReason',
};
const ERROR = '"error"';
/** Any of these words may be written with it. */
const ESCAPE = '\\u';

/**
 * Whether a whole answer may be a refusal or an error: parsed, each costs as much as all else that is read of it, and nearly none
 * is.
 * @param body JSON
 */
export function mayBeNone(wire: StreamWire, body: Buffer): boolean {
  return body.includes(REFUSALS[wire]) || body.includes(ERROR) || body.includes(ESCAPE);
}

/** @param body a whole 2xx answer in JSON */
export function judgeWhole(wire: StreamWire, body: Buffer): WholeMeaning {
  if (body.length > PARSED_MAX_BYTES) {
    const isWhole =
      OPENS.test(body.toString('latin1', 0, LOOK_BYTES)) &&
      CLOSES.test(body.toString('latin1', body.length - LOOK_BYTES));
    return isWhole ? SOUND : BROKEN;
  }
  const parsed = parse(body);
  if (parsed === null) return BROKEN;
  // A Responses object that went well says `"error": null`.
  const error = meaningOfError(parsed);
  if (error !== null && !hasContent(parsed)) return { kind: 'error', error };
  return isRefusal(wire, parsed) ? REFUSAL : SOUND;
}

function hasContent({ choices, content, output, candidates }: Json): boolean {
  return [choices, content, output, candidates].some(
    (member) => Array.isArray(member) && member.length > 0,
  );
}

function isRefusal(wire: StreamWire, body: Json): boolean {
  switch (wire) {
    case 'anthropic-messages':
      return body['stop_reason'] === 'refusal';
    case 'openai-responses':
      return member(body['incomplete_details'], 'reason') === 'content_filter';
    case 'gemini':
      return member(body['promptFeedback'], 'blockReason') !== undefined;
    default: {
      const choices = body['choices'];
      const first: unknown = Array.isArray(choices) ? choices[0] : undefined;
      return member(first, 'finish_reason') === 'content_filter' && !says(first);
    }
  }
}

function says(choice: unknown): boolean {
  const content = member(member(choice, 'message'), 'content') ?? member(choice, 'text');
  return typeof content === 'string' && content !== '';
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Json)[name] : undefined;
}

function parse(body: Buffer): Json | null {
  try {
    const text = body.toString();
    const value: unknown = JSON.parse(text.startsWith('\ufeff') ? text.slice(1) : text);
    return typeof value === 'object' && value !== null ? (value as Json) : null;
  } catch {
    return null;
  }
}

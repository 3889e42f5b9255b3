import type { BodyFormat } from './body-format.ts';
import {
  connectionOptions,
  endsHere,
  isNamed,
  lengthIn,
  speaksForAccount,
  speaksForOrigin,
  speaksOfPages,
} from './fields.ts';

/** A provider's response head as the client gets it. */
export interface ResponseHead {
  readonly status: number;
  /** Status and field lines, each ended by CRLF; one character per byte. */
  readonly head: string;
  /** Body length in bytes, `'chunked'` when the provider did not say, `'none'` when there is no body. */
  readonly size: number | 'chunked' | 'none';
  /** An event stream whose bytes are its text: an error event may be put at an event boundary. */
  readonly eventStream: boolean;
  /** The request's content asked for a stream. */
  readonly streamAsked: boolean;
  /** How the body is made of JSON texts, if it is; null when its bytes are compressed. */
  readonly format: BodyFormat | null;
  /**
   * Its provider answered with a success, which it may bill, and nothing of that can be told: who may be asked in its place.
   * Absent: whoever its status says.
   */
  readonly asksInstead?: 'another' | 'nobody';
}

/** The same head with other lines. Written out: copies of objects by spreading cost 0.1 us each. */
export function withHead(
  { status, eventStream, streamAsked, format }: ResponseHead,
  head: string,
  size: ResponseHead['size'],
): ResponseHead {
  return { status, head, size, eventStream, streamAsked, format };
}

/** Who gets a head. */
export interface Audience {
  /** A virtual key asked: what speaks for the shared account, or for the provider's origin, is not for it. */
  readonly isManaged: boolean;
  /** What pages may read is the gateway's to say: a provider's word on it does not count. */
  readonly ownsCors: boolean;
  /** Its request's content asked for a stream. */
  readonly asksForStream: boolean;
  /** A provider's URI reference as the client can follow it on the gateway; null when it does not stay with the provider. */
  followable(reference: string): string | null;
}

/**
 * Turns a provider's head into the client's: end-to-end fields verbatim and in order, hop-by-hop ones gone, framing
 * left to the front end. It would write CR, LF and NUL to the wire as they are, and split the response: what comes in
 * here has been through the parser's grammar (`FIELD_LINES`, `STATUS_LINE`), which knows none of them.
 * @param method of the request: a response to HEAD has no body (RFC 9110 §9.3.2)
 * @param fields `[name, value, …]` as the wire had them
 */
export function responseHead(
  method: string,
  status: number,
  reason: string,
  fields: readonly string[],
  audience: Audience,
): ResponseHead {
  const named = connectionOptions(fields);
  // RFC 9110 §6.4.1: these never have a body, whatever their fields say.
  const bodyless = method === 'HEAD' || status === 204 || status === 304;
  let head = `${status} ${reason}\r\n`;
  let size: ResponseHead['size'] = bodyless ? 'none' : 'chunked';
  let format: BodyFormat = 'json';
  let encoded = false;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const value = fields[i + 1] ?? '';
    if (isNamed(name, 'content-length')) {
      if (method === 'HEAD') head += `${name}: ${value}\r\n`;
      else if (!bodyless) {
        const length = lengthIn(value);
        if (length >= 0) size = length;
      }
      continue;
    }
    // The front end writes a Date of its own, always; a second one would be sent beside it.
    if (isNamed(name, 'date') || endsHere(name) || named?.has(name.toLowerCase()) === true)
      continue;
    if (speaksForOrigin(name) || (audience.isManaged && speaksForAccount(name))) continue;
    if (audience.ownsCors && speaksOfPages(name)) continue;
    if (isReference(name)) {
      const followed = reference(name, value, audience);
      if (followed !== null) head += `${name}: ${followed}\r\n`;
      continue;
    }
    if (isNamed(name, 'content-type')) format = formatOf(value);
    else if (isNamed(name, 'content-encoding')) encoded = value.toLowerCase() !== 'identity';
    head += `${name}: ${value}\r\n`;
  }
  return {
    status,
    head,
    size,
    eventStream: format === 'events' && !encoded,
    streamAsked: audience.asksForStream,
    format: encoded ? null : format,
  };
}

/** RFC 9110 §10.2.2, §8.7; RFC 8288 for `Link`. */
function isReference(name: string): boolean {
  return isNamed(name, 'location') || isNamed(name, 'content-location') || isNamed(name, 'link');
}

/** @returns null for what is not handed on: a virtual key is led nowhere but to the provider, through the gateway */
function reference(name: string, value: string, audience: Audience): string | null {
  if (!isNamed(name, 'link'))
    return audience.followable(value) ?? (audience.isManaged ? null : value);
  let leadsAway = false;
  const links = value.replace(LINK_TARGET, (link, target: string) => {
    const followed = audience.followable(target);
    leadsAway ||= followed === null;
    return followed === null ? link : `<${followed}>`;
  });
  return leadsAway && audience.isManaged ? null : links;
}

const LINK_TARGET = /<([^<>]*)>/g;

/** Ollama and Cohere v1 stream lines of JSON, under either name. */
const LINES = /^application\/(?:x-ndjson|stream\+json|jsonl)/;

/** @param value of the field, in any case */
function formatOf(value: string): BodyFormat {
  // To bring it to lower case makes a string of each, in the runtime: nearly all are this one.
  if (isNamed(value, 'application/json')) return 'json';
  const contentType = value.toLowerCase();
  if (contentType.startsWith('text/event-stream')) return 'events';
  return LINES.test(contentType) ? 'lines' : 'json';
}

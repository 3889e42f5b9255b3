/**
 * Decides where a request's body ends, and refuses every head on which two servers could disagree about it.
 *
 * The front end (uWebSockets C++ v20.67/68) lets through what a proxy must not: the first of two differing lengths
 * wins, any Transfer-Encoding counts as chunked, an empty field name hides the fields behind it. A body that the next
 * hop delimits differently is a smuggled request, so all of it is refused before anything is sent upstream
 * (RFC 9112 §6.3, §11.2).
 */

import { lengthIn } from './fields.ts';

/** How a request's body is delimited, or why its head cannot be trusted. */
export interface RequestFraming {
  /** Declared length in bytes; -1 when none was declared. */
  readonly contentLength: number;
  readonly chunked: boolean;
  /** Null when the head is sound; else one sentence for the caller. */
  readonly fault: string | null;
  /** A method that bears content came with neither length nor transfer coding (RFC 9110 §15.5.12). */
  readonly lengthMissing: boolean;
}

const BEARS_CONTENT: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);
const NO_BODY: RequestFraming = {
  contentLength: -1,
  chunked: false,
  fault: null,
  lengthMissing: false,
};

const refused = (fault: string): RequestFraming => ({
  contentLength: -1,
  chunked: false,
  fault,
  lengthMissing: false,
});

/**
 * @param method case-sensitive
 * @param fields flat list with lower-case names, all of them as they came
 */
export function requestFraming(method: string, fields: readonly string[]): RequestFraming {
  let length: string | null = null;
  let coding: string | null = null;
  let hosts = 0;
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] ?? '';
    switch (fields[i]) {
      case 'content-length':
        if (length !== null) return refused('The request has more than one Content-Length field.');
        length = value;
        break;
      case 'transfer-encoding':
        if (coding !== null)
          return refused('The request has more than one Transfer-Encoding field.');
        coding = value;
        break;
      case 'host':
        hosts++;
        break;
    }
  }
  if (hosts > 1) return refused('The request has more than one Host field.');
  if (length !== null && coding !== null) {
    return refused('The request has both Content-Length and Transfer-Encoding.');
  }
  if (coding !== null && coding.toLowerCase() !== 'chunked') {
    return refused('Transfer-Encoding must be exactly "chunked".');
  }
  const contentLength = length === null ? -1 : lengthIn(length);
  if (length !== null && contentLength < 0)
    return refused('Content-Length is not a decimal number.');
  if (coding !== null)
    return { contentLength: -1, chunked: true, fault: null, lengthMissing: false };
  if (length !== null) return { contentLength, chunked: false, fault: null, lengthMissing: false };
  if (BEARS_CONTENT.has(method)) {
    return { contentLength: -1, chunked: false, fault: null, lengthMissing: true };
  }
  return NO_BODY;
}

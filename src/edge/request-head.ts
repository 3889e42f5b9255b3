import type { HttpRequest } from 'uWebSockets.js';
import { isAscii, isFieldValue } from '../wire/fields.ts';
import { type RequestFraming, requestFraming } from '../wire/request-framing.ts';
import type { RequestHead } from './door.ts';

// `forEach` takes a function per call; one at module level and a module-level list spare a closure per request.
let collected: string[] = [];
const collect = (name: string, value: string): void => {
  collected.push(name, value);
};

/**
 * Copies everything out of the front end's request, which dies when its callback returns.
 *
 * The front end decodes paths and `forEach` values as UTF-8 (platform facts C), so text beyond ASCII is turned back
 * into its bytes here; what was not UTF-8 is read again byte by byte where that is possible, and refused where not.
 */
export function copyRequestHead(req: HttpRequest): RequestHead {
  // First of all: getMethod() would lower-case the name in place.
  const method = req.getCaseSensitiveMethod();
  const path = req.getUrl();
  // Undefined, against its typing, when the target has no `?`.
  const query = (req.getQuery() as string | undefined) ?? '';
  collected = [];
  req.forEach(collect);
  const fields = collected;
  const fault = restoreBytes(req, fields) ?? targetFault(path, query);
  const framing = fault === null ? requestFraming(method, fields) : refused(fault);
  return { method, path, query, fields, framing, closes: closes(fields) };
}

const refused = (fault: string): RequestFraming => ({
  contentLength: -1,
  chunked: false,
  fault,
  lengthMissing: false,
});

/** What nearly all values are made of: visible ASCII, spaces and tabs. */
const PLAIN = /^[\t\x20-\x7e]*$/;
/** Up to here a loop is faster than the pattern. */
const SHORT_CHARACTERS = 32;

function isPlain(value: string): boolean {
  if (value.length > SHORT_CHARACTERS) return PLAIN.test(value);
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if ((code < 0x20 && code !== 0x09) || code > 0x7e) return false;
  }
  return true;
}
const REPLACEMENT = '\ufffd';

/** Makes every value one character per byte, in place. Returns a fault, or null. */
function restoreBytes(req: HttpRequest, fields: string[]): string | null {
  for (let i = 1; i < fields.length; i += 2) {
    const value = fields[i] ?? '';
    if (isPlain(value)) continue;
    // DEL passes the front end, but no strict server (RFC 9110 §5.5).
    if (isAscii(value)) return `The field ${fields[i - 1]} holds a control character.`;
    const name = fields[i - 1] ?? '';
    if (!value.includes(REPLACEMENT)) fields[i] = Buffer.from(value, 'utf8').toString('latin1');
    else if (occurrences(fields, name) === 1) fields[i] = req.getHeader(name);
    else return `The field ${name} is repeated with bytes that are not UTF-8.`;
    if (!isFieldValue(fields[i] ?? '')) return `The field ${name} holds a control character.`;
  }
  return null;
}

function occurrences(fields: readonly string[], name: string): number {
  let count = 0;
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) count++;
  return count;
}

// RFC 9112 §3.2: a target is visible ASCII and has no fragment. Servers disagree about everything else.
const TARGET = /^[\x21\x22\x24-\x7e]*$/;

function targetFault(path: string, query: string): string | null {
  if (TARGET.test(path) && (query === '' || TARGET.test(query))) return null;
  return 'The request target holds a character that a target must not hold (RFC 9112 §3.2); percent-encode it.';
}

/** Whether the front end will close behind this request: it looks for a value of five characters, whichever. */
function closes(fields: readonly string[]): boolean {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === 'connection') return (fields[i + 1] ?? '').length === 5;
  }
  return false;
}

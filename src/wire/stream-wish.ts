import type { Buffer } from 'node:buffer';
import { fieldValue } from './fields.ts';

const QUOTE = 0x22;
const COLON = 0x3a;
const SPACE = 0x20;
const LETTER_T = 0x74;
const NAME = '"stream"';
/** By the byte where the name would begin: how far back it may begin next. */
const BACK = new Uint8Array(256).fill(NAME.length);
for (let at = NAME.length - 1; at > 0; at--) BACK[NAME.charCodeAt(at)] = at;

/** SDKs write `stream` behind the messages, with tools behind it at most; programs also in front of them. */
const END_BYTES = 1_024;
const START_BYTES = 256;

/**
 * Whether a piece of a request's content asks for a stream, as far as its ends tell: of own keys nobody reads more, and 1 KiB
 * takes half a microsecond. Both chat wires and Responses spell it `"stream": true`; inside a text its quotes would be escaped.
 */
export function asksForStream(piece: Buffer): boolean {
  const { length } = piece;
  const behind = Math.max(0, length - END_BYTES);
  // One that begins before the end's bytes may end within them.
  const start = Math.min(behind + NAME.length - 1, START_BYTES, length);
  return namesStream(piece, behind, length) || namesStream(piece, 0, start);
}

/** Looks backwards: where it stands at the end, it is found at once. */
function namesStream(piece: Buffer, from: number, to: number): boolean {
  for (let at = to - NAME.length; at >= from; at -= BACK[piece[at] ?? 0] ?? 1) {
    if (piece[at] === QUOTE && isName(piece, at) && isTrue(piece, at + NAME.length)) return true;
  }
  return false;
}

function isName(piece: Buffer, at: number): boolean {
  for (let i = 1; i < NAME.length; i++) if (piece[at + i] !== NAME.charCodeAt(i)) return false;
  return true;
}

function isTrue(piece: Buffer, from: number): boolean {
  let at = from;
  while ((piece[at] ?? QUOTE) <= SPACE) at++;
  if (piece[at] !== COLON) return false;
  at++;
  while ((piece[at] ?? QUOTE) <= SPACE) at++;
  return piece[at] === LETTER_T;
}

/** Where a head asks for a stream: Gemini's paths, a stored response that is to be streamed, and whoever accepts one. */
const IN_TARGET = /:stream|[?&](?:stream=(?:true|1)|alt=sse)(?:&|$)/i;

/**
 * @param target path and query
 * @param fields flat list with lower-case names
 */
export function headAsksForStream(target: string, fields: readonly string[]): boolean {
  if (IN_TARGET.test(target)) return true;
  return fieldValue(fields, 'accept')?.toLowerCase().includes('text/event-stream') === true;
}

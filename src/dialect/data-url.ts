import { Buffer } from 'node:buffer';
import type { Media } from './conversation.ts';

const DATA_URL = /^data:([^;,]*)((?:;[^;,]+)*),/i;

/** Spellings of media types that only some vendors know. */
const RIGHT_TYPES: ReadonlyMap<string, string> = new Map([['image/jpg', 'image/jpeg']]);

/** RFC 2397: `data:image/png;base64,…`; any other URL is a place. @returns null where it is no URL */
export function mediaOf(url: string): Media | null {
  const found = DATA_URL.exec(url);
  if (found === null) return /^https?:\/\/\S/i.test(url) ? { from: 'url', url } : null;
  const told = (found[1] ?? '').toLowerCase();
  const rest = url.slice(found[0].length);
  const isBase64 = /;base64$/i.test(found[2] ?? '');
  return {
    from: 'inline',
    type: RIGHT_TYPES.get(told) ?? (told === '' ? 'text/plain' : told),
    base64: isBase64 ? rest : Buffer.from(decoded(rest)).toString('base64'),
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function dataUrl({ type, base64 }: Extract<Media, { from: 'inline' }>): string {
  return `data:${type};base64,${base64}`;
}

/** The text of an inline text file. */
export function inlineText({ base64 }: Extract<Media, { from: 'inline' }>): string {
  return Buffer.from(base64, 'base64').toString();
}

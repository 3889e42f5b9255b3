import { createHash } from 'node:crypto';
import { type JsonObject, objectAt, stringAt } from './json.ts';

const DATA_URL = /^data:([^;,]{1,40});base64,/u;

/**
 * One word for a picture in a prompt, so that an answer shows that the picture arrived: media type, size in bytes and
 * the first eight hex digits of its SHA-256. A picture that is only pointed at is named by its address.
 * @param part one part of a message's content, in the spelling of either dialect
 * @returns null where the part is no picture
 */
export function pictureWord(part: JsonObject): string | null {
  const source = objectAt(part, 'source');
  const data = stringAt(source, 'data');
  if (part['type'] === 'image' && data !== null) {
    return wordFor(stringAt(source, 'media_type') ?? 'image', Buffer.from(data, 'base64'));
  }
  const url = addressOf(part, source);
  if (url === null) return null;
  const mediaType = DATA_URL.exec(url.slice(0, 64))?.[1];
  if (mediaType === undefined) return wordFor('image/url', Buffer.from(url));
  return wordFor(mediaType, Buffer.from(url.slice(url.indexOf(',') + 1), 'base64'));
}

function addressOf(part: JsonObject, source: JsonObject): string | null {
  switch (part['type']) {
    case 'image_url':
      return stringAt(objectAt(part, 'image_url'), 'url');
    case 'input_image':
      return stringAt(part, 'image_url');
    case 'image':
      return stringAt(source, 'url');
    default:
      return null;
  }
}

function wordFor(mediaType: string, bytes: Buffer): string {
  const hash = createHash('sha256').update(bytes).digest('hex');
  return `${mediaType}:${bytes.length}:${hash.slice(0, 8)}`;
}

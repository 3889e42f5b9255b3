import type { Transform } from 'node:stream';
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from 'node:zlib';

/** Content codings that the gateway undoes (RFC 9110 §8.4.1, RFC 7932, RFC 8878). */
export type ContentCoding = 'gzip' | 'deflate' | 'br' | 'zstd';

const CODINGS: ReadonlyMap<string, ContentCoding> = new Map([
  ['gzip', 'gzip'],
  // RFC 9110 §8.4.1.3: equivalent.
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['br', 'br'],
  ['zstd', 'zstd'],
]);

/**
 * How a request's content is packed.
 * @param fields flat list with lower-case names
 * @returns null when it is not, `'unknown'` for a coding that is none of ours, and for several
 */
export function contentCoding(fields: readonly string[]): ContentCoding | 'unknown' | null {
  let found: ContentCoding | 'unknown' | null = null;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== 'content-encoding') continue;
    for (const part of (fields[i + 1] ?? '').split(',')) {
      const name = part.trim().toLowerCase();
      if (name === '' || name === 'identity') continue;
      found = found === null ? (CODINGS.get(name) ?? 'unknown') : 'unknown';
    }
  }
  return found;
}

/** Bytes of one piece that an unpacker gives. */
const PIECE_BYTES = 65_536;

/** RFC 9659: senders of the content coding keep to a window of 8 MiB; the library's own bound is 128 MiB. */
const ZSTD_WINDOW_LOG_MAX = 23;

/**
 * A stream that unpacks. What it may hold is bounded by the formats: 32 KiB of window for gzip and deflate, 8 MiB for
 * zstd, 16 MiB for Brotli (RFC 7932 §9.1), and two pieces.
 * @param firstByte tells a zlib stream, which `deflate` means, from the bare one that some clients send (RFC 9110 §8.4.1.2)
 */
export function unpacker(coding: ContentCoding, firstByte: number): Transform & Consumed {
  const chunkSize = PIECE_BYTES;
  if (coding === 'gzip') return createGunzip({ chunkSize });
  if (coding === 'br') return createBrotliDecompress({ chunkSize });
  if (coding === 'zstd') {
    const params = { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX };
    return createZstdDecompress({ chunkSize, params });
  }
  // RFC 1950 §2.2: the low four bits of the first byte are the method, and 8 the only one.
  const isZlib = (firstByte & 0x0f) === 8;
  return isZlib ? createInflate({ chunkSize }) : createInflateRaw({ chunkSize });
}

/** How much of its input a stream used: what stands behind the packed data is no part of it. */
export interface Consumed {
  readonly bytesWritten: number;
}

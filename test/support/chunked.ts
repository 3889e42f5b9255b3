/** One chunk of a chunked body (RFC 9112 §7.1), without extensions. Empty content would be the last chunk: refused. */
export function chunkOf(content: string | Buffer): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  if (bytes.length === 0) throw new RangeError('an empty chunk ends the body');
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, CRLF]);
}

export const LAST_CHUNK = '0\r\n\r\n';

const CRLF = Buffer.from('\r\n');

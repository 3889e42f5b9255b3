import { Buffer } from 'node:buffer';

/**
 * A body with `model` in every place where its root `model` stood; the very same buffer when there is none. No other byte
 * is touched. All places are edited, not only the last one, which is the one that counts (RFC 8259 §4 leaves it open): a
 * provider whose parser takes the first must not see another model than the one that was planned, allowed and priced.
 * @param bounds first byte and behind the last byte of each value, in turn (`RequestFacts.modelBounds`)
 */
export function withModel(body: Buffer, bounds: readonly number[], model: string): Buffer {
  if (bounds.length < 2) return body;
  const value = JSON.stringify(model);
  const valueBytes = Buffer.byteLength(value);
  let { length } = body;
  for (let i = 0; i + 1 < bounds.length; i += 2)
    length += valueBytes - ((bounds[i + 1] ?? 0) - (bounds[i] ?? 0));
  const edited = Buffer.allocUnsafe(length);
  let written = 0;
  let at = 0;
  for (let i = 0; i + 1 < bounds.length; i += 2) {
    written += body.copy(edited, written, at, bounds[i]);
    written += edited.write(value, written);
    at = bounds[i + 1] ?? at;
  }
  body.copy(edited, written, at);
  return edited;
}

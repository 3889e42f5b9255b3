import { Buffer } from 'node:buffer';

/** Names that are kept as they are written: as many as a configuration has, ten times over. */
const SPELLED_MAX = 1_024;
const SPELLED = new Map<string, Buffer>();

/** A model as a JSON text has it; the same bytes for all who ask for it. */
export function spelledModel(model: string): Buffer {
  const known = SPELLED.get(model);
  if (known !== undefined) return known;
  if (SPELLED.size >= SPELLED_MAX) SPELLED.clear();
  const spelled = Buffer.from(JSON.stringify(model));
  SPELLED.set(model, spelled);
  return spelled;
}

/**
 * A body with `model` in every place where its root `model` stood; the very same buffer when there is none. No other byte
 * is touched. All places are edited, not only the last one, which is the one that counts (RFC 8259 §4 leaves it open): a
 * provider whose parser takes the first must not see another model than the one that was planned, allowed and priced.
 * @param bounds first byte and behind the last byte of each value, in turn (`RequestFacts.modelBounds`)
 */
export function withModel(body: Buffer, bounds: readonly number[], model: string): Buffer {
  if (bounds.length < 2) return body;
  const value = spelledModel(model);
  let { length } = body;
  for (let i = 0; i + 1 < bounds.length; i += 2)
    length += value.length - ((bounds[i + 1] ?? 0) - (bounds[i] ?? 0));
  const edited = Buffer.allocUnsafe(length);
  let written = 0;
  let at = 0;
  for (let i = 0; i + 1 < bounds.length; i += 2) {
    written += body.copy(edited, written, at, bounds[i]);
    written += value.copy(edited, written);
    at = bounds[i + 1] ?? at;
  }
  body.copy(edited, written, at);
  return edited;
}

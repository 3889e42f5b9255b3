import { scalarIsWhole } from './grammar';
import {
  END, INVALID, NO_PATH, PATH, PATHS_AT, PATH_LENGTHS, PATH_ROW_BYTES, PATH_TABLE_BYTES, PIECE_AT, PIECE_BYTES, ROOT_PATH, ROWS, SCALAR, SCALAR_RUN,
  SCOPE, SLOTS_AT, SLOT_BYTES, STATE, EVENT, FLAGS, WALKED, WANTED,
} from './layout';
import { walk } from './walk';

// The module's whole surface. Addresses are exported so that the host never repeats a number of layout.ts.

export const pathsAt: usize = PATHS_AT;
export const pathRowBytes: usize = PATH_ROW_BYTES;
export const pathLengths: usize = PATH_LENGTHS;
export const pathTableBytes: usize = PATH_TABLE_BYTES;
export const noPath: u32 = NO_PATH;
export const pieceAt: usize = PIECE_AT;
export const pieceBytes: u32 = PIECE_BYTES;
export const slotsAt: usize = SLOTS_AT;
export const slotBytes: usize = SLOT_BYTES;

/** Makes the slot ready for a document. `wanted` and `walked` have one bit per path of the table at `rows`. */
export function begin(s: usize, rows: usize, wanted: u32, walked: u32): void {
  memory.fill(s, 0, SLOT_BYTES);
  store<u32>(s + ROWS, rows as u32);
  store<u32>(s + WANTED, wanted);
  store<u32>(s + WALKED, walked | (1 << ROOT_PATH));
  store<u32>(s + SCOPE, NO_PATH);
  store<u32>(s + PATH, ROOT_PATH);
}

/** Scans piece bytes [from, to) on; returns the offset behind what was read: `to`, or the place of an event. */
export function scan(s: usize, from: u32, to: u32): u32 {
  return (walk(s, PIECE_AT + from, PIECE_AT + to) - PIECE_AT) as u32;
}

/** The event that stopped the last scan: 0 none, path * 2 + 1 a value starts, path * 2 + 2 it ended. */
export function event(s: usize): u32 {
  return load<u32>(s + EVENT);
}

/** Bits: 1 the walked object that closed last has members, 2 nested past the kept levels, 4 a BOM came first. */
export function flags(s: usize): u32 {
  return load<u32>(s + FLAGS);
}

/** True once the bytes so far cannot be the start of a JSON text. */
export function isInvalid(s: usize): bool {
  return load<u32>(s + STATE) == INVALID;
}

/** True when the bytes so far are a whole JSON text. */
export function isWhole(s: usize): bool {
  const state = load<u32>(s + STATE);
  if (state == END) return true;
  return state == SCALAR_RUN && load<u32>(s + SCOPE) == NO_PATH && scalarIsWhole(load<u32>(s + SCALAR));
}

import { SCALAR_START, scalarAfter, scalarIsWhole } from './grammar';
import {
  AFTER_VALUE, BOM, BOM_2, BOM_3, CODE_UNIT, COLON, END, ESCAPED, EVENT, FIRST_KEY, FLAGS, HAS_MEMBERS, HEX,
  HEX_LEFT, INVALID, IN_KEY, KEY, KEY_BYTES, KEY_ESCAPE, KEY_HEX, KEY_MAX_BYTES, NESTED, NEXT_KEY, NO_PATH, PATH,
  PATH_LENGTHS, PATH_ROW_BYTES, ROOT_PATH, ROWS, SCALAR, SCALAR_RUN, SCOPE, START, STATE, STRING, VALUE,
  VALUE_TOLD, WALKED, WANTED,
} from './layout';
import { enterNested, nestedClosed, skipNested } from './nested';
import { skipString, stringClosed } from './strings';

// The objects that a path leads through are walked byte by byte, because their keys must be decoded and
// compared; every value in them that no path leads through is skipped by the block machines.

/** EVENT: path * 2 + 1 where a value starts, path * 2 + 2 where it ends; 0 is none. */
function tell(s: usize, path: u32, isEnd: u32): void {
  if (path != NO_PATH && ((load<u32>(s + WANTED) >>> path) & 1)) store<u32>(s + EVENT, (path << 1) + 1 + isEnd);
}

// @ts-ignore: decorator
@inline
function go(s: usize, state: u32): void {
  store<u32>(s + STATE, state);
}

// @ts-ignore: decorator
@inline
function isSpace(byte: u8): bool {
  return byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09;
}

/** The value of the current path ended: tells it and says what may follow. */
function leaveValue(s: usize): void {
  tell(s, load<u32>(s + PATH), 1);
  go(s, load<u32>(s + SCOPE) == NO_PATH ? END : AFTER_VALUE);
}

/** The walked object closed: its own path is current again in the object around it. */
function leaveObject(s: usize, flags: u32): void {
  const path = load<u32>(s + SCOPE);
  store<u32>(s + FLAGS, (load<u32>(s + FLAGS) & ~HAS_MEMBERS) | flags);
  store<u32>(s + PATH, path);
  store<u32>(s + SCOPE, path == ROOT_PATH ? NO_PATH : (load<u8>((load<u32>(s + ROWS) as usize) + (path as usize) * PATH_ROW_BYTES) as u32));
  leaveValue(s);
}

/** Path row: parent path, length of the name, the name. */
function findPath(s: usize): u32 {
  const length = load<u32>(s + KEY_BYTES);
  const scope = load<u32>(s + SCOPE);
  const rows = load<u32>(s + ROWS) as usize;
  // Most keys have a length that no wanted name has.
  let rest = (load<u32>(s + WANTED) | load<u32>(s + WALKED)) & load<u32>(rows + PATH_LENGTHS + ((length as usize) << 2));
  while (rest) {
    const path = ctz(rest);
    rest &= rest - 1;
    const row = rows + (path as usize) * PATH_ROW_BYTES;
    if (load<u8>(row) == scope && memory.compare(row + 2, s + KEY, length) == 0) return path;
  }
  return NO_PATH;
}

// @ts-ignore: decorator
@inline
function addToKey(s: usize, byte: u8): void {
  const length = load<u32>(s + KEY_BYTES);
  if (length < KEY_MAX_BYTES) {
    store<u8>(s + KEY + length, byte);
    store<u32>(s + KEY_BYTES, length + 1);
  }
}

/** Reads plain bytes of a key up to its quote or a backslash. */
function readKey(s: usize, p: usize, end: usize): usize {
  while (p < end) {
    const byte = load<u8>(p++);
    if (byte == 0x22) {
      store<u32>(s + PATH, findPath(s));
      go(s, COLON);
      return p;
    }
    if (byte == 0x5c) {
      go(s, KEY_ESCAPE);
      return p;
    }
    if (byte < 0x20) {
      go(s, INVALID);
      return p;
    }
    addToKey(s, byte);
  }
  return p;
}

/** The byte that `\` and this one stand for; 0 when JSON has no such escape. */
function unescaped(byte: u8): u8 {
  switch (byte) {
    case 0x22: case 0x2f: case 0x5c: return byte;
    case 0x62: return 0x08;
    case 0x66: return 0x0c;
    case 0x6e: return 0x0a;
    case 0x72: return 0x0d;
    case 0x74: return 0x09;
    default: return 0;
  }
}

function readKeyEscape(s: usize, byte: u8): void {
  if (byte == 0x75) {
    store<u32>(s + HEX_LEFT, 4);
    store<u32>(s + CODE_UNIT, 0);
    go(s, KEY_HEX);
    return;
  }
  const plain = unescaped(byte);
  if (plain) {
    addToKey(s, plain);
    go(s, IN_KEY);
  } else go(s, INVALID);
}

function readKeyHex(s: usize, byte: u8): void {
  const lower = byte | 0x20;
  let digit: u32;
  if (byte >= 0x30 && byte <= 0x39) digit = byte - 0x30;
  else if (lower >= 0x61 && lower <= 0x66) digit = lower - 0x57;
  else {
    go(s, INVALID);
    return;
  }
  const unit = (load<u32>(s + CODE_UNIT) << 4) | digit;
  const left = load<u32>(s + HEX_LEFT) - 1;
  store<u32>(s + CODE_UNIT, unit);
  store<u32>(s + HEX_LEFT, left);
  if (left) return;
  // Every name in the path table is ASCII: anything else becomes a byte that no name and no UTF-8 text holds.
  addToKey(s, unit < 0x80 ? unit as u8 : 0xff);
  go(s, IN_KEY);
}

/** First byte of a value. The event of a wanted one comes before this byte is consumed. */
function startValue(s: usize, p: usize): usize {
  if (load<u32>(s + STATE) == VALUE) {
    go(s, VALUE_TOLD);
    tell(s, load<u32>(s + PATH), 0);
    if (load<u32>(s + EVENT)) return p;
  }
  const byte = load<u8>(p);
  if (byte == 0x22) {
    store<u32>(s + ESCAPED, 0);
    store<u32>(s + HEX, 0);
    go(s, STRING);
    return p + 1;
  }
  if (byte == 0x7b) {
    const path = load<u32>(s + PATH);
    if (path != NO_PATH && ((load<u32>(s + WALKED) >>> path) & 1)) {
      store<u32>(s + SCOPE, path);
      go(s, FIRST_KEY);
      return p + 1;
    }
  }
  if (byte == 0x7b || byte == 0x5b) {
    enterNested(s, byte == 0x7b);
    go(s, NESTED);
    return p + 1;
  }
  store<u32>(s + SCALAR, SCALAR_START);
  go(s, SCALAR_RUN);
  return p;
}

// @ts-ignore: decorator
@inline
function endsScalar(byte: u8): bool {
  return isSpace(byte) || byte == 0x2c || byte == 0x7d;
}

function readScalar(s: usize, p: usize, end: usize): usize {
  let q = p;
  while (q < end && !endsScalar(load<u8>(q))) q++;
  const state = scalarAfter(load<u32>(s + SCALAR), p, (q - p) as u32);
  store<u32>(s + SCALAR, state);
  if (q == end) return q;
  if (scalarIsWhole(state)) leaveValue(s);
  else go(s, INVALID);
  return q;
}

/** One byte between tokens. */
function readBetween(s: usize, state: u32, byte: u8): void {
  if (state == AFTER_VALUE) {
    if (byte == 0x2c) go(s, NEXT_KEY);
    else if (byte == 0x7d) leaveObject(s, HAS_MEMBERS);
    else go(s, INVALID);
  } else if (state == COLON) {
    go(s, byte == 0x3a ? VALUE : INVALID);
  } else if (byte == 0x22 && (state == FIRST_KEY || state == NEXT_KEY)) {
    store<u32>(s + KEY_BYTES, 0);
    go(s, IN_KEY);
  } else if (byte == 0x7d && state == FIRST_KEY) {
    leaveObject(s, 0);
  } else go(s, INVALID);
}

/** Reads on until `end`, an event, or an error; returns the position behind what was read. */
export function walk(s: usize, p: usize, end: usize): usize {
  store<u32>(s + EVENT, 0);
  while (p < end) {
    const state = load<u32>(s + STATE);
    switch (state) {
      case IN_KEY:
        p = readKey(s, p, end);
        break;
      case KEY_ESCAPE:
        readKeyEscape(s, load<u8>(p++));
        break;
      case KEY_HEX:
        readKeyHex(s, load<u8>(p++));
        break;
      case STRING:
        p = skipString(s, p, end);
        if (stringClosed) leaveValue(s);
        break;
      case NESTED:
        p = skipNested(s, p, end);
        if (nestedClosed) leaveValue(s);
        break;
      case SCALAR_RUN:
        p = readScalar(s, p, end);
        break;
      case INVALID:
        return end;
      case BOM_2:
      case BOM_3:
        go(s, load<u8>(p++) != (state == BOM_2 ? 0xbb : 0xbf) ? INVALID : state == BOM_2 ? BOM_3 : VALUE);
        break;
      default: {
        const byte = load<u8>(p);
        if (state == START) {
          if (byte == 0xef) {
            store<u32>(s + FLAGS, BOM);
            go(s, BOM_2);
            p++;
          } else go(s, VALUE);
        } else if (isSpace(byte)) p++;
        else if (state == VALUE || state == VALUE_TOLD) p = startValue(s, p);
        else {
          readBetween(s, state, byte);
          p++;
        }
      }
    }
    if (load<u32>(s + EVENT)) return p;
  }
  return p;
}

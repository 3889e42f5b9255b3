// Linear memory of one scanner instance. No allocator runs in it: every address is fixed here.
//
//   0x0400  tables of the number and literal machine (placed by the compiler, see grammar.ts)
//   0x2000  tables of path rows, written once by the host
//   0x4000  the piece of a chunk that is being scanned, and room for one block read past its end
//   SLOTS   one slot per open scan; the host grows the memory as slots are taken

/** Bytes of a chunk that fit at once; the host feeds a longer chunk in pieces. */
export const PIECE_BYTES: u32 = 65536;
/** A block load may start at the last byte of a piece: 64 bytes past its end are readable. */
const OVERREAD_BYTES: u32 = 64;

export const PATHS_AT: usize = 0x2000;
export const PATH_ROW_BYTES: usize = 32;
/** Rows of one table: a scan watches paths of one table, by a bit each. */
export const PATHS_MAX: u32 = 31;
/** Behind a table's rows: for each length of a name, the bits of the paths whose names are so long. */
export const PATH_LENGTHS: usize = 1024;
export const PATH_TABLE_BYTES: usize = 2048;
export const PATH_TABLES_MAX: u32 = 4;
export const PIECE_AT: usize = 0x4000;
export const SLOTS_AT: usize = PIECE_AT + PIECE_BYTES + OVERREAD_BYTES;
export const SLOT_BYTES: usize = 256;

/** Levels of nesting, counted from the value that is skipped, whose kind (object or array) is kept. */
export const KIND_LEVELS: u32 = 1024;

// Fields of a slot (u32 unless said otherwise).
export const STATE: usize = 0;
export const EVENT: usize = 4;
export const WANTED: usize = 8; // bit per path: report where its value starts and ends
export const WALKED: usize = 12; // bit per path: look into its object
export const SCOPE: usize = 16; // path of the innermost walked object
export const PATH: usize = 20; // path of the value that is being read in that object
export const KEY_BYTES: usize = 24;
export const CODE_UNIT: usize = 28;
export const HEX_LEFT: usize = 32;
export const SCALAR: usize = 36; // state of the number and literal machine
export const FLAGS: usize = 40;
export const CARRY: usize = 44; // what the token before the next byte asks for
export const IN_STRING: usize = 48;
export const ESCAPED: usize = 52; // 1: the next byte is escaped
export const HEX: usize = 56; // bits: which of the next bytes are digits of \uXXXX
export const DEPTH: usize = 60;
export const KINDS_TOP: usize = 64; // u64
export const ROWS: usize = 72; // address of the table of path rows
export const KEY: usize = 80; // KEY_MAX_BYTES bytes
export const KINDS: usize = 128; // KIND_LEVELS bits
export const KEY_MAX_BYTES: u32 = 32;

export const NO_PATH: u32 = 31;
export const ROOT_PATH: u32 = 0;

// FLAGS
export const HAS_MEMBERS: u32 = 1; // the walked object that closed last had at least one member
export const TOO_DEEP: u32 = 2; // some value went past KIND_LEVELS
export const BOM: u32 = 4;

// STATE
export const START: u32 = 0;
export const VALUE: u32 = 1;
export const VALUE_TOLD: u32 = 2;
export const FIRST_KEY: u32 = 3;
export const NEXT_KEY: u32 = 4;
export const IN_KEY: u32 = 5;
export const KEY_ESCAPE: u32 = 6;
export const KEY_HEX: u32 = 7;
export const COLON: u32 = 8;
export const STRING: u32 = 9;
export const SCALAR_RUN: u32 = 10;
export const NESTED: u32 = 11;
export const AFTER_VALUE: u32 = 12;
export const END: u32 = 13;
export const INVALID: u32 = 14;
export const BOM_2: u32 = 15;
export const BOM_3: u32 = 16;

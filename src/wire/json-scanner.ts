import { readFileSync } from 'node:fs';
import { PATH_TABLES, type PathTable, parentOf } from './json-paths.ts';

/** Which of the two committed modules runs. */
type ScannerBuild = 'simd' | 'scalar';

/**
 * Told in document order while `JsonScan.feed` runs; `at` counts bytes from the start of the chunk being fed. A value
 * starts at its first byte and ends behind its last one (so `at` of an end is 1 or more for an object, array or string).
 */
export interface JsonEvents {
  valueStarts(path: number, at: number): void;
  valueEnds(path: number, at: number): void;
}

interface WasmConstant {
  readonly value: number;
}

interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

/** The part of the platform's WebAssembly that is used here; its types come with the DOM's only. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** The surface of wasm/assembly/scanner.ts. */
interface ScannerModule {
  readonly memory: WasmMemory;
  readonly pathsAt: WasmConstant;
  readonly pathRowBytes: WasmConstant;
  readonly pathLengths: WasmConstant;
  readonly pathTableBytes: WasmConstant;
  readonly pieceAt: WasmConstant;
  readonly pieceBytes: WasmConstant;
  readonly slotsAt: WasmConstant;
  readonly slotBytes: WasmConstant;
  begin(slot: number, rows: number, wanted: number, walked: number): void;
  scan(slot: number, from: number, to: number): number;
  event(slot: number): number;
  flags(slot: number): number;
  isInvalid(slot: number): number;
  isWhole(slot: number): number;
}

/**
 * Most scans open at once in one thread: above any number of exchanges that 20,000 file descriptors allow. A slot is
 * 256 bytes, so the memory of a scanner is 128 KiB at first, grows by 64 KiB for each 256 scans that are open
 * together, never shrinks, and ends at 8.2 MiB.
 */
export const SCANS_MAX = 32_768;

const PAGE_BYTES = 65_536;
const HAS_MEMBERS = 1;
const TOO_DEEP = 2;

/**
 * Compiles the scanner, once per thread at boot and synchronously. SIMD where the engine has it, else scalar;
 * `AI_WASM=simd|scalar` decides otherwise.
 * @throws WebAssembly.CompileError when `simd` was asked for and the engine has none; Error for another value of AI_WASM
 */
export function loadJsonScanner(asked: string | undefined = process.env['AI_WASM']): JsonScanner {
  if (asked === 'simd' || asked === 'scalar') return new JsonScanner(asked, compile(asked));
  if (asked !== undefined && asked !== '') {
    throw new Error(`AI_WASM is "${asked}"; expected simd, scalar, or nothing`);
  }
  try {
    return new JsonScanner('simd', compile('simd'));
  } catch {
    return new JsonScanner('scalar', compile('scalar'));
  }
}

function compile(build: ScannerBuild): ScannerModule {
  const path = new URL(`../../wasm/json-scanner.${build}.wasm`, import.meta.url);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(path)));
  return exports as ScannerModule;
}

/** One instance of the module and its slots: one per thread, shared by every scan of that thread. */
export class JsonScanner {
  readonly build: ScannerBuild;
  readonly wasm: ScannerModule;
  readonly pieceAt: number;
  readonly pieceBytes: number;
  /** Rebuilt whenever the memory has moved. */
  bytes: Uint8Array;
  readonly #tablesAt: number;
  readonly #tableBytes: number;
  readonly #slotsAt: number;
  readonly #slotBytes: number;
  readonly #free: number[] = [];
  /** By table and wanted paths, of which there are a dozen: the paths of the objects that lead there. */
  readonly #walks: readonly Map<number, number>[] = PATH_TABLES.map(() => new Map());
  #made = 0;

  constructor(build: ScannerBuild, wasm: ScannerModule) {
    this.build = build;
    this.wasm = wasm;
    this.pieceAt = wasm.pieceAt.value;
    this.pieceBytes = wasm.pieceBytes.value;
    this.#tablesAt = wasm.pathsAt.value;
    this.#tableBytes = wasm.pathTableBytes.value;
    this.#slotsAt = wasm.slotsAt.value;
    this.#slotBytes = wasm.slotBytes.value;
    this.bytes = new Uint8Array(wasm.memory.buffer);
    for (const table of PATH_TABLES) {
      for (let path = 1; path < table.rows.length; path++) this.#writePath(table, path);
    }
  }

  /** Scans open now. */
  get open(): number {
    return this.#made - this.#free.length;
  }

  /** Bytes of the module's memory. */
  get memoryBytes(): number {
    return this.bytes.length;
  }

  /**
   * Opens a scan that tells of the values at `wanted`, bits of the table's paths; `release` it when it is done with.
   * @returns undefined when SCANS_MAX are open: relay without a scan, the facts are unknown then
   */
  scan(table: PathTable, wanted: number): JsonScan | undefined {
    const slot = this.#free.pop() ?? this.#newSlot();
    return slot === undefined ? undefined : new JsonScan(this, slot, table, wanted);
  }

  /** For `JsonScan` alone: where the module has the rows of a table. */
  rowsAt(table: PathTable): number {
    return this.#tablesAt + table.number * this.#tableBytes;
  }

  /** For `JsonScan` alone: bits of the paths whose members are looked at for what is wanted. */
  walkedFor(table: PathTable, wanted: number): number {
    const known = this.#walks[table.number]?.get(wanted);
    if (known !== undefined) return known;
    let walked = 0;
    for (let path = 1; path < table.rows.length; path++) {
      if ((wanted >>> path) & 1) walked |= 1 << parentOf(table, path);
    }
    this.#walks[table.number]?.set(wanted, walked);
    return walked;
  }

  /** For `JsonScan.release` alone. */
  takeBack(slot: number): void {
    this.#free.push(slot);
  }

  #newSlot(): number | undefined {
    if (this.#made === SCANS_MAX) return undefined;
    const slot = this.#slotsAt + this.#made * this.#slotBytes;
    if (slot + this.#slotBytes > this.bytes.length) {
      this.wasm.memory.grow(Math.ceil((slot + this.#slotBytes - this.bytes.length) / PAGE_BYTES));
      this.bytes = new Uint8Array(this.wasm.memory.buffer);
    }
    this.#made++;
    return slot;
  }

  #writePath(table: PathTable, path: number): void {
    const at = this.rowsAt(table) + path * this.wasm.pathRowBytes.value;
    const name = table.rows[path]?.name ?? '';
    this.bytes[at] = parentOf(table, path);
    this.bytes[at + 1] = name.length;
    this.bytes.set(Buffer.from(name, 'latin1'), at + 2);
    const lengths = new Uint32Array(
      this.wasm.memory.buffer,
      this.rowsAt(table),
      this.#tableBytes / 4,
    );
    const index = this.wasm.pathLengths.value / 4 + name.length;
    lengths[index] = (lengths[index] ?? 0) | (1 << path);
  }
}

/**
 * The scan of one JSON text over any chunk cuts, in 256 bytes of module memory. It checks the whole grammar of RFC 8259
 * and agrees with `JSON.parse(bytes.toString())` on every text, except for what its author chose:
 * - a byte order mark before the root is passed over (RFC 8259 §8.1 lets parsers do that, and Python's does);
 * - below 1,024 levels inside one skipped value, commas, colons and the kinds of brackets are no longer checked: levels
 *   are counted, strings, numbers and literals are checked as before, and `isTooDeep` says so.
 * Keys are compared decoded (`"mod\u0065l"` is model); a key given twice is told twice, so that the last one wins.
 */
export class JsonScan {
  readonly #scanner: JsonScanner;
  readonly #rowsAt: number;
  readonly #wanted: number;
  readonly #walked: number;
  #slot: number;
  #isInvalid = false;
  #wasWhole = false;
  #lastFlags = 0;

  constructor(scanner: JsonScanner, slot: number, table: PathTable, wanted: number) {
    this.#scanner = scanner;
    this.#slot = slot;
    this.#rowsAt = scanner.rowsAt(table);
    this.#wanted = wanted;
    this.#walked = scanner.walkedFor(table, wanted);
    this.restart();
  }

  /** Forgets everything: the next chunk begins a new text. */
  restart(): void {
    if (this.#slot === 0) throw new Error('a released scan was restarted');
    this.#isInvalid = false;
    this.#scanner.wasm.begin(this.#slot, this.#rowsAt, this.#wanted, this.#walked);
  }

  /** Scans the text's next bytes. Free of cost once the text turned out to be no JSON. */
  feed(chunk: Uint8Array, events: JsonEvents): void {
    const { pieceBytes } = this.#scanner;
    if (this.#slot === 0) throw new Error('a released scan was fed');
    if (chunk.length <= pieceBytes) this.#feedPiece(chunk, 0, events);
    else {
      for (let base = 0; base < chunk.length; base += pieceBytes) {
        this.#feedPiece(chunk.subarray(base, base + pieceBytes), base, events);
      }
    }
  }

  /** True once no further byte can make the text JSON; some errors show only at the end, in `isWhole`. */
  get isInvalid(): boolean {
    return this.#isInvalid;
  }

  /** True when the bytes fed so far are one whole JSON text. */
  get isWhole(): boolean {
    return this.#slot === 0 ? this.#wasWhole : this.#scanner.wasm.isWhole(this.#slot) !== 0;
  }

  /** Valid inside `valueEnds` for an object on the way to a wanted path: it has at least one member. */
  get hasMembers(): boolean {
    return this.#flag(HAS_MEMBERS);
  }

  get isTooDeep(): boolean {
    return this.#flag(TOO_DEEP);
  }

  /** Gives the slot back; a second call does nothing. What the scan found can still be asked for. */
  release(): void {
    if (this.#slot === 0) return;
    this.#wasWhole = this.isWhole;
    this.#lastFlags = this.#scanner.wasm.flags(this.#slot);
    this.#scanner.takeBack(this.#slot);
    this.#slot = 0;
  }

  #flag(bit: number): boolean {
    const flags = this.#slot === 0 ? this.#lastFlags : this.#scanner.wasm.flags(this.#slot);
    return (flags & bit) !== 0;
  }

  #feedPiece(piece: Uint8Array, base: number, events: JsonEvents): void {
    if (this.#isInvalid || piece.length === 0) return;
    const { wasm, bytes, pieceAt } = this.#scanner;
    bytes.set(piece, pieceAt);
    let at = 0;
    for (;;) {
      at = wasm.scan(this.#slot, at, piece.length);
      const event = wasm.event(this.#slot);
      if (event === 0) break;
      const path = (event - 1) >>> 1;
      if (event & 1) events.valueStarts(path, base + at);
      else events.valueEnds(path, base + at);
    }
    this.#isInvalid = wasm.isInvalid(this.#slot) !== 0;
  }
}

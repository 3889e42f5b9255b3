import { type PathTable, RESPONSE_PATH } from '../../src/wire/json-paths.ts';
import type { JsonEvents } from '../../src/wire/json-scanner.ts';

/** One event of a scan with its place in the whole text. */
interface ToldEvent {
  readonly path: number;
  readonly kind: 'starts' | 'ends';
  readonly at: number;
}

/** What a scan of a whole text gives. */
export interface Scanned {
  readonly isJson: boolean;
  readonly events: readonly ToldEvent[];
}

class NotJson extends Error {}

const ESCAPES = '"\\/bfnrt';
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const LITERAL = /true|false|null/y;

/**
 * The scanner in plain, slow JavaScript: recursive descent over the text as Latin-1, so that an index is a byte offset.
 * It shares nothing with wasm/assembly but the table of paths.
 */
export class JsonOracle {
  readonly #text: string;
  readonly #table: PathTable;
  readonly #wanted: number;
  readonly #events: ToldEvent[] = [];
  #at = 0;

  constructor(bytes: Buffer, table: PathTable, wanted: number) {
    this.#table = table;
    this.#text = bytes.toString('latin1');
    this.#wanted = wanted;
  }

  /** Reads the text; events before an error are kept. */
  read(): Scanned {
    try {
      if (this.#text.startsWith('\xef\xbb\xbf')) this.#at = 3;
      this.#space();
      this.#value(RESPONSE_PATH.root);
      this.#space();
      return { isJson: this.#at === this.#text.length, events: this.#events };
    } catch (error) {
      if (!(error instanceof NotJson)) throw error;
      return { isJson: false, events: this.#events };
    }
  }

  #tell(path: number | null, kind: ToldEvent['kind']): void {
    if (path === null || ((this.#wanted >>> path) & 1) === 0) return;
    this.#events.push({ path, kind, at: this.#at });
  }

  #space(): void {
    while (' \t\r\n'.includes(this.#text[this.#at] ?? 'x')) this.#at++;
  }

  #take(byte: string): void {
    if (this.#text[this.#at] !== byte) throw new NotJson();
    this.#at++;
  }

  #value(path: number | null): void {
    if (this.#at === this.#text.length) throw new NotJson();
    this.#tell(path, 'starts');
    const first = this.#text[this.#at];
    if (first === '{') this.#object(path);
    else if (first === '[') this.#array();
    else if (first === '"') this.#string();
    else if (this.#scalar(path !== null)) return;
    this.#tell(path, 'ends');
  }

  /** @returns true when the text ends with the scalar: only a byte behind it would tell that it is over */
  #scalar(isInObjectOrRoot: boolean): boolean {
    for (const form of [NUMBER, LITERAL]) {
      form.lastIndex = this.#at;
      const match = form.exec(this.#text);
      if (match === null) continue;
      this.#at += match[0].length;
      const next = this.#text[this.#at];
      if (next === undefined) return true;
      if (!(isInObjectOrRoot ? ' \t\r\n,}' : ' \t\r\n,}]').includes(next)) throw new NotJson();
      return false;
    }
    throw new NotJson();
  }

  #object(path: number | null): void {
    this.#take('{');
    this.#space();
    if (this.#text[this.#at] === '}') this.#at++;
    else {
      for (;;) {
        const key = this.#string();
        this.#space();
        this.#take(':');
        this.#space();
        this.#value(this.#member(path, key));
        this.#space();
        if (this.#text[this.#at] !== ',') break;
        this.#at++;
        this.#space();
      }
      this.#take('}');
    }
  }

  #member(path: number | null, key: string): number | null {
    const found = this.#table.rows.findIndex(
      ({ parent, name }, number) => number > 0 && parent === path && name === key,
    );
    return found < 0 ? null : found;
  }

  #array(): void {
    this.#take('[');
    this.#space();
    if (this.#text[this.#at] === ']') this.#at++;
    else {
      for (;;) {
        this.#value(null);
        this.#space();
        if (this.#text[this.#at] !== ',') break;
        this.#at++;
        this.#space();
      }
      this.#take(']');
    }
  }

  /** @returns the decoded string (raw bytes above 0x7f as they are: no name of the table has any) */
  #string(): string {
    this.#take('"');
    let decoded = '';
    for (;;) {
      const byte = this.#text[this.#at++];
      if (byte === undefined || byte < ' ') throw new NotJson();
      if (byte === '"') return decoded;
      decoded += byte === '\\' ? this.#escape() : byte;
    }
  }

  #escape(): string {
    const byte = this.#text[this.#at++] ?? '';
    if (byte === 'u') {
      const digits = this.#text.slice(this.#at, this.#at + 4);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw new NotJson();
      this.#at += 4;
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    if (byte === '' || !ESCAPES.includes(byte)) throw new NotJson();
    return byte === 'b' || byte === 'f' || byte === 'n' || byte === 'r' || byte === 't'
      ? '\b\f\n\r\t'.charAt('bfnrt'.indexOf(byte))
      : byte;
  }
}

/** Collects what a scan tells, with offsets into the whole text. */
export class EventLog implements JsonEvents {
  readonly events: ToldEvent[] = [];
  /** Bytes fed before the current chunk. */
  base = 0;

  valueStarts(path: number, at: number): void {
    this.events.push({ path, kind: 'starts', at: this.base + at });
  }

  valueEnds(path: number, at: number): void {
    this.events.push({ path, kind: 'ends', at: this.base + at });
  }
}

/** Whether the platform's own parser takes the text; a byte order mark is passed over as the scanner does. */
export function isJsonByPlatform(bytes: Buffer): boolean {
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  try {
    JSON.parse((hasMark ? bytes.subarray(3) : bytes).toString());
    return true;
  } catch {
    return false;
  }
}

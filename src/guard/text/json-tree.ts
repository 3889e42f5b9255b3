import { type Buffer, isUtf8 } from 'node:buffer';

/** Nested deeper than this nobody's API goes, and whoever reads it would need a stack for it. */
const DEPTH_MAX = 200;

/**
 * Of one text, in values and names: a body of 32 MiB that is nothing but brackets would cost a gigabyte to be read. A conversation
 * of a thousand turns has some ten thousands.
 */
const VALUES_MAX = 1_000_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const SPACE = 0x20;

/** A text, and where it stands: bytes [from, to) between its quotes. */
export interface JsonText {
  readonly kind: 'text';
  readonly from: number;
  readonly to: number;
  readonly isEscaped: boolean;
}

/** A number, a word or null: bytes [from, to). */
export interface JsonScalar {
  readonly kind: 'scalar';
  readonly from: number;
  readonly to: number;
}

export interface JsonMember {
  readonly name: string;
  readonly nameAt: JsonText;
  readonly value: JsonNode;
}

export interface JsonObject {
  readonly kind: 'object';
  /** All of them, in order: of a name that stands there twice, both. */
  readonly members: readonly JsonMember[];
}

export interface JsonList {
  readonly kind: 'list';
  /** Without numbers and words: vectors, and lists of tokens, have a million of them, and none is text. */
  readonly items: readonly JsonNode[];
}

export type JsonNode = JsonText | JsonScalar | JsonObject | JsonList;

/**
 * Reads one JSON text, and where each of its texts stands, so that one can be changed and no other byte.
 * @returns null where it is not one JSON text in UTF-8, or one that is nested too deep or has too many values
 */
export function jsonTree(bytes: Buffer): JsonNode | null {
  return isUtf8(bytes) ? new TreeReader(bytes).read() : null;
}

/** A text, decoded; null where its escapes are none. */
export function decodedText(bytes: Buffer, { from, to, isEscaped }: JsonText): string | null {
  const raw = bytes.toString('utf8', from, to);
  if (!isEscaped) return raw;
  try {
    const text: unknown = JSON.parse(`"${raw}"`);
    return typeof text === 'string' ? text : null;
  } catch {
    return null;
  }
}

/** The value of a member; of a name that stands there twice the last one, as parsers have it. */
export function memberOf(node: JsonNode | null, name: string): JsonNode | null {
  if (node === null || node.kind !== 'object') return null;
  for (let at = node.members.length - 1; at >= 0; at--) {
    const member = node.members[at];
    if (member !== undefined && member.name === name) return member.value;
  }
  return null;
}

/** A member that is a text; '' where it is none. */
export function textMember(bytes: Buffer, node: JsonNode | null, name: string): string {
  const value = memberOf(node, name);
  return value?.kind === 'text' ? (decodedText(bytes, value) ?? '') : '';
}

/** A member that is a whole number, as it is written; '' where it is none. */
export function numberMember(bytes: Buffer, node: JsonNode | null, name: string): string {
  const value = memberOf(node, name);
  return value?.kind === 'scalar' ? bytes.toString('latin1', value.from, value.to) : '';
}

/** A member's items; none where it is no list. */
export function itemsMember(node: JsonNode | null, name: string): readonly JsonNode[] {
  const value = memberOf(node, name);
  return value?.kind === 'list' ? value.items : NO_ITEMS;
}

const NO_ITEMS: readonly JsonNode[] = [];

class TreeReader {
  readonly #bytes: Buffer;
  #at = 0;
  #values = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  read(): JsonNode | null {
    this.#passSpace();
    const root = this.#value(0);
    this.#passSpace();
    return this.#at === this.#bytes.length ? root : null;
  }

  #passSpace(): void {
    const bytes = this.#bytes;
    for (let at = this.#at; ; at++) {
      const byte = bytes[at];
      if (byte === SPACE || byte === 0x0a || byte === 0x0d || byte === 0x09) continue;
      this.#at = at;
      return;
    }
  }

  #value(depth: number): JsonNode | null {
    if (depth > DEPTH_MAX || ++this.#values > VALUES_MAX) return null;
    switch (this.#bytes[this.#at]) {
      case QUOTE:
        return this.#text();
      case OPEN_BRACE:
        return this.#object(depth);
      case OPEN_BRACKET:
        return this.#list(depth);
      default:
        return this.#scalar();
    }
  }

  #text(): JsonText | null {
    const bytes = this.#bytes;
    const from = this.#at + 1;
    let isEscaped = false;
    for (let at = from; at < bytes.length; at++) {
      const byte = bytes[at] ?? 0;
      if (byte === QUOTE) {
        this.#at = at + 1;
        return { kind: 'text', from, to: at, isEscaped };
      }
      if (byte === BACKSLASH) {
        isEscaped = true;
        at++;
      } else if (byte < SPACE) return null;
    }
    return null;
  }

  #scalar(): JsonScalar | null {
    const bytes = this.#bytes;
    const from = this.#at;
    let at = from;
    while (at < bytes.length && isOfScalar(bytes[at] ?? 0)) at++;
    this.#at = at;
    return at === from ? null : { kind: 'scalar', from, to: at };
  }

  #object(depth: number): JsonObject | null {
    const members: JsonMember[] = [];
    this.#at++;
    this.#passSpace();
    if (this.#bytes[this.#at] === CLOSE_BRACE) {
      this.#at++;
      return { kind: 'object', members };
    }
    for (;;) {
      this.#passSpace();
      const nameAt = this.#bytes[this.#at] === QUOTE ? this.#text() : null;
      const name = nameAt === null ? null : decodedText(this.#bytes, nameAt);
      this.#passSpace();
      if (nameAt === null || name === null || this.#bytes[this.#at++] !== COLON) return null;
      this.#passSpace();
      const value = this.#value(depth + 1);
      if (value === null) return null;
      members.push({ name, nameAt, value });
      const next = this.#next(CLOSE_BRACE);
      if (next === null) return null;
      if (!next) return { kind: 'object', members };
    }
  }

  #list(depth: number): JsonList | null {
    const items: JsonNode[] = [];
    this.#at++;
    this.#passSpace();
    if (this.#bytes[this.#at] === CLOSE_BRACKET) {
      this.#at++;
      return { kind: 'list', items };
    }
    for (;;) {
      this.#passSpace();
      const item = this.#value(depth + 1);
      if (item === null) return null;
      if (item.kind === 'scalar') this.#values--;
      else items.push(item);
      const next = this.#next(CLOSE_BRACKET);
      if (next === null) return null;
      if (!next) return { kind: 'list', items };
    }
  }

  /** @returns whether another one follows; null where neither a comma nor the end stands */
  #next(close: number): boolean | null {
    this.#passSpace();
    const byte = this.#bytes[this.#at++];
    if (byte === COMMA) return true;
    return byte === close ? false : null;
  }
}

function isOfScalar(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x2d ||
    byte === 0x2b ||
    byte === 0x2e ||
    byte === 0x45
  );
}

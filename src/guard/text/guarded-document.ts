import { Buffer } from 'node:buffer';
import type { RunKind } from '../guard.ts';
import { DocumentTexts, type TextAt } from './document-texts.ts';
import { type JsonNode, jsonTree, memberOf, textMember } from './json-tree.ts';

/** A text of a document, whole: what a guard reads and changes. */
export interface DocumentRun {
  readonly kind: RunKind;
  readonly original: string;
  text: string;
}

/** What stands where. */
interface Placed {
  readonly at: TextAt['at'];
  readonly run: DocumentRun | null;
  /** Its text is JSON itself. */
  readonly within: GuardedDocument | null;
  readonly isBare: boolean;
}

/** Members that name what was said before. */
const EARLIER: readonly string[] = ['previous_response_id', 'conversation'];

/** Null says nothing, and neither does a number. */
function isSaid(node: JsonNode | null): boolean {
  return node !== null && node.kind !== 'scalar';
}

/** JSON within JSON within JSON: whoever writes more of it writes it to be read slowly. */
const WITHIN_MAX = 4;

/** One JSON document, and its texts: those that are changed are written anew, and no other byte. */
export class GuardedDocument {
  readonly #bytes: Buffer;
  readonly #placed: Placed[] = [];
  readonly runs: DocumentRun[] = [];
  readonly unscannedBytes: number;
  readonly scannedBytes: number;
  /** Of its root; null where it says none. */
  readonly model: string | null;
  /** It goes on with what its provider has kept (platform.openai.com/docs/guides/conversation-state). */
  readonly goesOn: boolean;

  private constructor(bytes: Buffer, root: JsonNode, read: DocumentTexts, depth: number) {
    this.model = textMember(bytes, root, 'model') || null;
    this.goesOn = EARLIER.some((name) => isSaid(memberOf(root, name)));
    this.#bytes = bytes;
    this.unscannedBytes = read.unscannedBytes;
    let scanned = 0;
    for (const text of read.texts) {
      scanned += text.at.to - text.at.from;
      this.#place(text, depth);
    }
    this.scannedBytes = scanned;
  }

  /**
   * @param kind what a text is that nothing says more of
   * @returns null where it is no JSON that can be read
   */
  static of(bytes: Buffer, kind: RunKind): GuardedDocument | null {
    const root = jsonTree(bytes);
    return root === null ? null : GuardedDocument.#read(bytes, root, kind, 'wire', 0);
  }

  static #read(
    bytes: Buffer,
    root: JsonNode,
    kind: RunKind,
    place: 'wire' | 'free',
    depth: number,
  ): GuardedDocument | null {
    const read = new DocumentTexts(bytes);
    read.read(root, kind, place);
    return read.isBroken ? null : new GuardedDocument(bytes, root, read, depth);
  }

  #place({ kind, at, text, isSource, isBare }: TextAt, depth: number): void {
    const within = isSource && depth < WITHIN_MAX ? sourceOf(text, kind, depth) : null;
    const run = within === null ? { kind, original: text, text } : null;
    this.#placed.push({ at, run, within, isBare });
    if (run !== null) this.runs.push(run);
    else if (within !== null) this.runs.push(...within.runs);
  }

  /** Of what JSON is within a text: all of it is somebody's. */
  static source(text: string, kind: RunKind, depth: number): GuardedDocument | null {
    const bytes = Buffer.from(text);
    const root = jsonTree(bytes);
    return root === null ? null : GuardedDocument.#read(bytes, root, kind, 'free', depth + 1);
  }

  get isChanged(): boolean {
    return this.runs.some(({ original, text }) => original !== text);
  }

  /** @returns the bytes that it was read from, where nothing was changed */
  written(): Buffer {
    const pieces: Buffer[] = [];
    let from = 0;
    for (const { at, run, within, isBare } of this.#placed) {
      const instead = run === null ? within?.changedText : changedText(run);
      if (instead == null) continue;
      const text = isBare ? JSON.stringify(instead) : quoted(instead);
      pieces.push(this.#bytes.subarray(from, at.from), Buffer.from(text));
      from = at.to;
    }
    if (pieces.length === 0) return this.#bytes;
    pieces.push(this.#bytes.subarray(from));
    return Buffer.concat(pieces);
  }

  private get changedText(): string | null {
    return this.isChanged ? this.written().toString() : null;
  }
}

function sourceOf(text: string, kind: RunKind, depth: number): GuardedDocument | null {
  return GuardedDocument.source(text, kind, depth);
}

function changedText({ original, text }: DocumentRun): string | null {
  return original === text ? null : text;
}

/** As it stands between quotes. */
export function quoted(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/** How a body is made of JSON texts: one (or several, end to end), one for each event, or one for each line. */
export type BodyFormat = 'json' | 'events' | 'lines';

/** What a body is: `page` holds no JSON (a sign-in page, a proxy's error), `packed` cannot be read. */
type Recognised = BodyFormat | 'page' | 'packed';

const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf] as const;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const LESS_THAN = 0x3c;
/** The first byte of gzip's magic number (RFC 1952 §2.3.1), which no text begins with. */
const GZIP = 0x1f;
/** First letters of an event stream's fields, and the colon of its comments: no JSON text begins with one of them. */
const FIELD_STARTS: ReadonlySet<number> = new Set(Buffer.from('deir:'));

/**
 * Recognises a body by its first byte behind white space: relays and small servers send events under every content type,
 * and errors as JSON or as a page under an event stream's. The content type decides only where the bytes do not.
 */
export class FormatProbe {
  readonly #declared: BodyFormat;
  #markBytes = 0;
  /** Null while only white space came, which providers send to keep a connection alive. */
  format: Recognised | null = null;

  /** @param declared by the content type */
  constructor(declared: BodyFormat) {
    this.#declared = declared;
  }

  /** @returns where in the body's next piece its text begins: behind a byte order mark and white space; -1 when it does not */
  push(piece: Buffer): number {
    for (let at = 0; at < piece.length; at++) {
      const byte = piece[at] ?? 0;
      if (byte === BYTE_ORDER_MARK[this.#markBytes]) this.#markBytes++;
      else if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) {
        this.format = this.#recognise(byte);
        return at;
      }
    }
    return -1;
  }

  #recognise(first: number): Recognised {
    if (first === LESS_THAN) return 'page';
    if (first === GZIP) return 'packed';
    if (first === OPEN_BRACE || first === OPEN_BRACKET)
      return this.#declared === 'lines' ? 'lines' : 'json';
    return FIELD_STARTS.has(first) ? 'events' : this.#declared;
  }
}

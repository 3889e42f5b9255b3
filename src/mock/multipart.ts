import { createHash, type Hash } from 'node:crypto';

/** Longest part head kept while looking for its end; RFC 7578 names no limit, SDKs send about 150 bytes. */
const MAX_PART_HEAD_BYTES = 16_384;

/** What an upload held. */
export interface Upload {
  readonly bodyBytes: number;
  readonly bodySha256: string;
  readonly filename: string | null;
  readonly fileBytes: number;
  readonly fileSha256: string;
  /** The short text fields of the form, such as `purpose`. */
  readonly texts: ReadonlyMap<string, string>;
}

/**
 * Reads multipart/form-data (RFC 7578) in the pieces it arrives in: counts and hashes the whole body and the
 * part that has a file name, keeps text fields, holds back at most a delimiter or a part head.
 */
export class UploadReader {
  readonly #delimiter: Buffer;
  readonly #body: Hash = createHash('sha256');
  readonly #file: Hash = createHash('sha256');
  readonly #texts = new Map<string, string>();
  #bodyBytes = 0;
  #fileBytes = 0;
  #filename: string | null = null;
  #held: Buffer;
  #state: 'text' | 'file' | 'head' | 'preamble' | 'lost' = 'preamble';
  #name = '';
  #text = '';

  /** @param contentType the request's `content-type` value, its boundary in it */
  constructor(contentType: string) {
    const boundary = /boundary=(?:"([^"]+)"|([^;\s]+))/iu.exec(contentType);
    const named = boundary?.[1] ?? boundary?.[2];
    this.#delimiter = Buffer.from(`\r\n--${named ?? ''}`);
    if (named === undefined) this.#state = 'lost';
    // The first delimiter has no line end of its own in front of it.
    this.#held = Buffer.from('\r\n');
  }

  push(chunk: Buffer): void {
    this.#bodyBytes += chunk.length;
    this.#body.update(chunk);
    if (this.#state === 'lost') return;
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    while (this.#step()) if (this.#held.length === 0) return;
  }

  end(): Upload {
    return {
      bodyBytes: this.#bodyBytes,
      bodySha256: this.#body.digest('hex'),
      filename: this.#filename,
      fileBytes: this.#fileBytes,
      fileSha256: this.#file.digest('hex'),
      texts: this.#texts,
    };
  }

  /** Takes what is certain from the held bytes; false when more must come first. */
  #step(): boolean {
    return this.#state === 'head' ? this.#readHead() : this.#readContent();
  }

  #readHead(): boolean {
    const end = this.#held.indexOf('\r\n\r\n');
    if (end === -1) {
      if (this.#held.length > MAX_PART_HEAD_BYTES) this.#state = 'lost';
      return false;
    }
    const head = this.#held.subarray(0, end).toString();
    this.#held = this.#held.subarray(end + 4);
    const filename = /filename="([^"]*)"/iu.exec(head)?.[1];
    this.#name = /(?<!file)name="([^"]*)"/iu.exec(head)?.[1] ?? '';
    this.#state = filename === undefined ? 'text' : 'file';
    if (filename !== undefined) this.#filename = filename;
    this.#text = '';
    return true;
  }

  #readContent(): boolean {
    const at = this.#held.indexOf(this.#delimiter);
    const sure = at === -1 ? Math.max(0, this.#held.length - this.#delimiter.length + 1) : at;
    this.#take(this.#held.subarray(0, sure));
    this.#held = this.#held.subarray(sure);
    if (at === -1) return false;
    if (this.#state === 'text') this.#texts.set(this.#name, this.#text);
    this.#held = this.#held.subarray(this.#delimiter.length);
    this.#state = 'head';
    return true;
  }

  #take(content: Buffer): void {
    if (this.#state === 'file') {
      this.#fileBytes += content.length;
      this.#file.update(content);
    } else if (this.#state === 'text' && this.#text.length < MAX_PART_HEAD_BYTES) {
      this.#text += content.toString();
    }
  }
}

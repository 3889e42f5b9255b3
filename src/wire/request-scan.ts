import { FurtherModels } from './further-models.ts';
import type { JsonScanner } from './json-scanner.ts';
import type { PieceSink } from './piece-sink.ts';
import { RequestFacts } from './request-facts.ts';
import { SpendingFields } from './spending-fields.ts';
import { UsageOptionEditor } from './usage-option-editor.ts';

/**
 * One look at a request's content while it comes: what it asks for, and on its way the option by which a stream reports
 * its usage, where the provider has to be asked for that.
 *
 * It holds a scan. Whoever opened it feeds it and releases it, until it gives it to somebody else; then only that one does.
 * What was read can be asked for by everybody and for ever.
 */
export class RequestScan {
  readonly #editor: UsageOptionEditor | null;
  readonly #facts: RequestFacts | null;
  /** Null where nobody has to know them. */
  readonly furtherModels: FurtherModels | null;
  /** A length was declared upstream that has room for the option. */
  #isPromised = false;

  private constructor(
    editor: UsageOptionEditor | null,
    facts: RequestFacts | null,
    furtherModels: FurtherModels | null,
  ) {
    this.#editor = editor;
    this.#facts = facts;
    this.furtherModels = furtherModels;
  }

  /**
   * @param asks the option is put in where it is missing
   * @param readsModels every model that is named has to be known
   * @param readsSpending what its price depends on is read
   */
  static open(
    scanner: JsonScanner,
    asks: boolean,
    readsModels: boolean,
    readsSpending = false,
  ): RequestScan {
    const spending = readsSpending ? new SpendingFields() : null;
    const editor = asks ? (UsageOptionEditor.open(scanner, true, spending) ?? null) : null;
    const facts = editor?.facts ?? RequestFacts.open(scanner, spending) ?? null;
    return new RequestScan(editor, facts, readsModels ? new FurtherModels() : null);
  }

  /** What was read so far; null when no scan was free: then nothing is known, and nothing is put in. */
  get facts(): RequestFacts | null {
    return this.#facts;
  }

  /** The provider is asked for an event that the client did not ask for; final once the content is over. */
  get asksUnseen(): boolean {
    return this.#editor?.edited === true && !this.#editor.clientAskedForUsage;
  }

  /**
   * Reads the next piece, and passes it on.
   * @returns false when the upload takes no more for now
   */
  read(piece: Buffer, upload: PieceSink): boolean {
    this.furtherModels?.push(piece);
    if (this.#editor !== null) return this.#editor.edit(piece, upload);
    this.#facts?.push(piece);
    return upload.push(piece);
  }

  /**
   * The length to declare upstream for a content that comes in several pieces, once the first one was read.
   * @param declaredBytes what the client declared
   */
  lengthFor(declaredBytes: number): number {
    this.#isPromised = true;
    return this.#editor?.lengthFor(declaredBytes) ?? declaredBytes;
  }

  /** The content is over: what is left of the length that was declared upstream is filled. */
  end(upload: PieceSink): void {
    if (this.#isPromised) this.#editor?.end(upload);
  }

  /** Gives the scan back; a second call does nothing. */
  release(): void {
    this.#facts?.release();
  }
}

/** How long a line may wait for others, in milliseconds: a message to the main thread costs more than a line. */
const BATCH_MS = 10;

/** A batch this long goes at once, in characters. */
const BATCH_LIMIT_CHARACTERS = 65_536;

/** Gathers a worker's log lines into few messages. */
export class LineBatch {
  readonly #send: (lines: string) => void;
  #text = '';
  #timer: NodeJS.Timeout | null = null;

  constructor(send: (lines: string) => void) {
    this.#send = send;
  }

  /** @param line without its newline */
  add(line: string): void {
    this.#text += `${line}\n`;
    if (this.#text.length >= BATCH_LIMIT_CHARACTERS) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), BATCH_MS);
  }

  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#text === '') return;
    const text = this.#text;
    this.#text = '';
    this.#send(text);
  }
}

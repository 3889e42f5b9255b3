/** How long a record may wait for others, in milliseconds: a message to the main thread costs more than a record. */
const BATCH_MS = 10;

/** A batch of so many goes at once. */
const BATCH_RECORDS = 512;

/** Gathers what a worker has to tell of stored state into few messages. */
export class RecordBatch {
  readonly #send: (records: Uint8Array<ArrayBuffer>) => void;
  #records: Uint8Array[] = [];
  #timer: NodeJS.Timeout | null = null;

  /** @param send takes whole records, and owns their buffer */
  constructor(send: (records: Uint8Array<ArrayBuffer>) => void) {
    this.#send = send;
  }

  add(record: Uint8Array): void {
    this.#records.push(record);
    if (this.#records.length >= BATCH_RECORDS) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), BATCH_MS);
  }

  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#records.length === 0) return;
    const bytes = this.#records.reduce((sum, { length }) => sum + length, 0);
    const all = new Uint8Array(bytes);
    let at = 0;
    for (const record of this.#records) {
      all.set(record, at);
      at += record.length;
    }
    this.#records = [];
    this.#send(all);
  }
}

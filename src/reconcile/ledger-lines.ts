import { DayReader } from '../ledger/day-file.ts';
import { dayText, LedgerFiles } from '../ledger/ledger-files.ts';

/** Facts that are read at a time. */
const LINES_AT_ONCE = 1_000;

/** Our facts of some days, from the ledger, beside whoever writes it. */
export class LedgerLines {
  readonly #files: LedgerFiles;

  /**
   * @param dataDir the configuration's `data_dir`
   * @throws Error with one line that says what to do
   */
  constructor(dataDir: string | null) {
    if (dataDir === null)
      throw new Error('There is no ledger: set data_dir in the configuration, or AI_DATA_DIR.');
    this.#files = new LedgerFiles(dataDir);
    if (!this.#files.exists)
      throw new Error(
        `There is no ledger in ${dataDir} yet. A gateway with this data_dir makes it.`,
      );
  }

  /** Of these days, those of which it has no facts: none were told, or they were let go since. */
  missing(days: Iterable<string>): readonly string[] {
    const kept = new Set(this.#files.days().map(dayText));
    return [...days].filter((day) => !kept.has(day)).sort();
  }

  /** @param days UTC, `2026-11-29` */
  *of(days: ReadonlySet<string>): Generator<string> {
    for (const day of this.#files.days()) {
      if (!days.has(dayText(day))) continue;
      const reader = new DayReader(this.#files.day(day));
      try {
        for (let seq = 0; ; ) {
          const rows = reader.after(seq, LINES_AT_ONCE);
          for (const { line } of rows) yield line;
          if (rows.length < LINES_AT_ONCE) break;
          seq = rows.at(-1)?.seq ?? seq;
        }
      } finally {
        reader.close();
      }
    }
  }
}

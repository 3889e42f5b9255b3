import { DIMENSIONS } from './fact-kind.ts';
import type { DayNumber } from './ledger-files.ts';
import { QUARTERS_A_DAY, SUMS, VIEWS } from './ledger-schema.ts';
import type { SqliteLedger } from './ledger-store.ts';

/** Quarters of an hour of which the sums are copied in one step: the thread takes facts between two. */
const QUARTERS_A_STEP = 4;

const COLUMNS = SUMS.map((name) => `theirs.${name}`).join(', ');
const GROUP_COLUMNS = DIMENSIONS.join(', ');
const SAME_GROUP = DIMENSIONS.map((name) => `mine.${name} = its.${name}`).join(' AND ');

interface Going {
  readonly day: DayNumber;
  /** Its hours and itself are still to be added up. */
  isSummed: boolean;
  /** Quarters whose sums are still to be copied. */
  next: number;
  readonly end: number;
}

/**
 * Takes the files of days that are over away, and keeps their sums. A step at a time; what a crash repeats is written over.
 * Until its last step a day counts by its own file, from then on by its sums in `kept.db`.
 */
export class Retention {
  readonly #ledger: SqliteLedger;
  readonly #days: number;
  #going: Going | null = null;

  /** @param days that files stay, today's beside them; 0 = for ever */
  constructor(ledger: SqliteLedger, days: number) {
    this.#ledger = ledger;
    this.#days = days;
  }

  /**
   * Does a little of it.
   * @param mayGo whether nobody else still needs a day's facts
   * @returns false when there is nothing to do
   */
  step(today: DayNumber, mayGo: (day: DayNumber) => boolean): boolean {
    this.#going ??= this.#begin(today, mayGo);
    const going = this.#going;
    if (going === null) return false;
    if (!going.isSummed) {
      if (!this.#ledger.sumUpDay(going.day)) this.#going = this.#leave(going.day);
    } else if (going.next < going.end) {
      const upTo = Math.min(going.end, going.next + QUARTERS_A_STEP);
      this.#copyQuarters(going.day, going.next, upTo);
      going.next = upTo;
    } else {
      this.#finish(going.day);
      this.#going = null;
    }
    return true;
  }

  #begin(today: DayNumber, mayGo: (day: DayNumber) => boolean): Going | null {
    const { kept, files } = this.#ledger;
    const begun = kept.prepare('SELECT file FROM folding').all();
    const isBegun = new Set(begun.map(({ file }) => Number(file)));
    const isOver = (day: DayNumber): boolean => this.#days > 0 && day < today - this.#days;
    const day = files.days().find((one) => isBegun.has(one) || (isOver(one) && mayGo(one)));
    if (day === undefined) return null;
    const isCopied = kept.prepare('SELECT file FROM folded WHERE file = ?').first(day) !== null;
    // A crash came between its last step and its file's end.
    return { day, isSummed: isCopied, next: 0, end: 0 };
  }

  /** It is added up: facts of that day that still come stand in today's file. */
  #leave(day: DayNumber): Going {
    const { kept, files } = this.#ledger;
    kept.prepare('INSERT INTO folding (file) VALUES (?) ON CONFLICT DO NOTHING').run(day);
    this.#ledger.leave(day);
    kept.prepare('ATTACH ? AS day').run(files.day(day));
    kept.exec(
      `INSERT INTO main.groups (${GROUP_COLUMNS}) SELECT ${GROUP_COLUMNS} FROM day.groups WHERE true ON CONFLICT DO NOTHING`,
    );
    const range = kept
      .prepare('SELECT min(quarter) AS first, max(quarter) AS last FROM day.rollup_quarter')
      .first();
    const last = range?.['last'] ?? null;
    return last === null
      ? { day, isSummed: true, next: 0, end: 0 }
      : { day, isSummed: true, next: Number(range?.['first']), end: Number(last) + 1 };
  }

  #copyQuarters(day: DayNumber, from: number, to: number): void {
    this.#ledger.kept
      .prepare(
        `INSERT OR REPLACE INTO main.rollup_quarter SELECT theirs.quarter, mine.id, ?, ${COLUMNS} FROM day.rollup_quarter AS theirs
         JOIN day.groups AS its ON its.id = theirs.grp JOIN main.groups AS mine ON ${SAME_GROUP}
         WHERE theirs.quarter >= ? AND theirs.quarter < ?`,
      )
      .run(day, from, to);
  }

  #finish(day: DayNumber): void {
    const { kept, files } = this.#ledger;
    const isAttached = kept
      .prepare('PRAGMA database_list')
      .all()
      .some(({ name }) => name === 'day');
    if (isAttached) {
      kept.transaction(() => {
        kept
          .prepare(
            `INSERT OR REPLACE INTO main.sums SELECT view, span, theirs.quarter, mine.id, ?, ${COLUMNS} FROM day.sums AS theirs
             JOIN day.groups AS its ON its.id = theirs.grp JOIN main.groups AS mine ON ${SAME_GROUP}
             WHERE view >= 0 AND view < ${VIEWS.length} AND span = ${QUARTERS_A_DAY}`,
          )
          .run(day);
        kept
          .prepare(
            `INSERT OR REPLACE INTO main.total_quarter SELECT theirs.quarter, ?, ${COLUMNS} FROM day.total_quarter AS theirs`,
          )
          .run(day);
        kept.prepare('INSERT INTO folded (file) VALUES (?) ON CONFLICT DO NOTHING').run(day);
      });
      kept.exec('DETACH day');
    }
    files.unlinkDay(day);
    kept.prepare('DELETE FROM folding WHERE file = ?').run(day);
  }
}

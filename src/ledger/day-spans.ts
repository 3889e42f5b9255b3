import { quarterOf } from './ledger-files.ts';
import { QUARTERS_A_DAY, QUARTERS_AN_HOUR, SUMS, VIEWS, WHOLE_VIEW } from './ledger-schema.ts';
import type { SqlFile } from './sqlite.ts';

/** What is added up of facts: an hour or a day, in quarters of an hour. */
type Span = typeof QUARTERS_AN_HOUR | typeof QUARTERS_A_DAY;

/** How long facts of an hour that is over are waited for, in quarters: late ones open it again, at the price of its sums. */
const GRACE_QUARTERS = 1;

const SUMMED = SUMS.map((name) => `sum(${name})`).join(', ');

/**
 * The sums of a day's hours, and its own, by each view that questions are asked by. They are worked out when a span is over,
 * so that a fact costs one row of sums and not twenty.
 */
export class DaySpans {
  readonly #file: SqlFile;
  /** First quarters of spans that are added up. */
  readonly #closed: Readonly<Record<Span, Set<number>>> = {
    [QUARTERS_AN_HOUR]: new Set(),
    [QUARTERS_A_DAY]: new Set(),
  };

  constructor(file: SqlFile) {
    this.#file = file;
    for (const { span, quarter } of file.prepare('SELECT span, quarter FROM closed').all())
      this.#closed[Number(span) as Span].add(Number(quarter));
  }

  /** Facts of a quarter have come: what it is a part of is added up anew. Within their transaction. */
  reopen(quarter: number): void {
    for (const span of [QUARTERS_AN_HOUR, QUARTERS_A_DAY] as const) {
      const first = quarter - (quarter % span);
      if (!this.#closed[span].delete(first)) continue;
      this.#file.prepare('DELETE FROM closed WHERE span = ? AND quarter = ?').run(span, first);
    }
  }

  /**
   * Adds up the next span that is over.
   * @returns false when there is none
   */
  closeNext(nowMs: number): boolean {
    const over = quarterOf(nowMs) - GRACE_QUARTERS;
    const hours = this.#begun(QUARTERS_AN_HOUR);
    const hour = hours.find((first) => !this.#closed[QUARTERS_AN_HOUR].has(first));
    if (hour !== undefined && hour + QUARTERS_AN_HOUR <= over) {
      this.#close(QUARTERS_AN_HOUR, hour);
      return true;
    }
    const day = this.#begun(QUARTERS_A_DAY).find(
      (first) => !this.#closed[QUARTERS_A_DAY].has(first),
    );
    const isWhole =
      day !== undefined &&
      day + QUARTERS_A_DAY <= over &&
      (hour === undefined || dayOfQuarter(hour) > dayOfQuarter(day));
    if (isWhole) this.#close(QUARTERS_A_DAY, day);
    return isWhole;
  }

  /** The spans that have facts, by their first quarters, the oldest first. */
  #begun(span: Span): readonly number[] {
    return this.#file
      .prepare('SELECT DISTINCT quarter - quarter % ? AS first FROM total_quarter ORDER BY 1')
      .all(span)
      .map(({ first }) => Number(first));
  }

  #close(span: Span, first: number): void {
    this.#file.transaction(() => {
      for (const [view, dimensions] of VIEWS.entries()) {
        this.#file
          .prepare('DELETE FROM sums WHERE view = ? AND span = ? AND quarter = ?')
          .run(view, span, first);
        if (span === QUARTERS_AN_HOUR && view === WHOLE_VIEW) this.#addQuarters(first);
        else this.#addSums(span, first, view, dimensions);
      }
      this.#file.prepare('INSERT INTO closed VALUES (?, ?)').run(span, first);
    });
    this.#closed[span].add(first);
  }

  #addQuarters(hour: number): void {
    this.#file
      .prepare(
        `INSERT INTO sums SELECT ${WHOLE_VIEW}, ${QUARTERS_AN_HOUR}, ?, grp, ${SUMMED}
         FROM rollup_quarter WHERE quarter >= ? AND quarter < ? GROUP BY grp`,
      )
      .run(hour, hour, hour + QUARTERS_AN_HOUR);
  }

  /** A day out of its hours; a view of an hour out of the hour's whole. */
  #addSums(span: Span, first: number, view: number, dimensions: readonly string[]): void {
    const from = span === QUARTERS_A_DAY ? view : WHOLE_VIEW;
    // A group is all of its dimensions: numbers are sorted in a third of the time of texts.
    const by = view === WHOLE_VIEW ? 'grp' : dimensions.join(', ');
    this.#file
      .prepare(
        `INSERT INTO sums SELECT ?, ?, ?, min(grp), ${SUMMED} FROM sums JOIN groups ON groups.id = grp
         WHERE view = ? AND span = ? AND quarter >= ? AND quarter < ? GROUP BY ${by}`,
      )
      .run(view, span, first, from, QUARTERS_AN_HOUR, first, first + span);
  }
}

function dayOfQuarter(quarter: number): number {
  return Math.floor(quarter / QUARTERS_A_DAY);
}

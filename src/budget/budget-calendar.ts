/**
 * The windows of budgets: calendar days and months of one time zone. A day on which clocks change has 23 or 25 hours there, and
 * is one window all the same.
 *
 * A window is named by its date as a whole number (20261128, 202611) and not by its beginning: a zone that is changed moves a
 * window's edge and begins no second one of the same day.
 */

import type { BudgetWindow } from './budget-settings.ts';

/** The windows of an instant. Times are Unix times in milliseconds. */
export interface Windows {
  readonly day: number;
  readonly month: number;
  readonly dayEndsMs: number;
  readonly monthEndsMs: number;
}

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

/** Whether a name is one of the IANA time zone database (RFC 6557), as this runtime has it. */
export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

export function labelText(label: number): string {
  const digits = String(label);
  const [year, month, day] = [digits.slice(0, 4), digits.slice(4, 6), digits.slice(6)];
  return day === '' ? `${year}-${month}` : `${year}-${month}-${day}`;
}

/** @returns 0 for what is no label */
export function labelOf(text: string): number {
  return /^\d{4}-\d\d(?:-\d\d)?$/.test(text) ? Number(text.replaceAll('-', '')) : 0;
}

/** Which window it is of; labels of days are longer. */
export function windowOf(label: number): BudgetWindow {
  return label > 9_999_99 ? 'day' : 'month';
}

/** One zone's calendar. What was worked out for a day is kept until it is over. */
export class BudgetCalendar {
  readonly timeZone: string;
  readonly #format: Intl.DateTimeFormat;
  #from = 0;
  #windows: Windows = { day: 0, month: 0, dayEndsMs: 0, monthEndsMs: 0 };

  /** @throws RangeError for a zone that is none */
  constructor(timeZone: string) {
    this.timeZone = timeZone;
    this.#format = new Intl.DateTimeFormat('en-CA-u-ca-iso8601-nu-latn', {
      timeZone,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
    });
  }

  at(nowMs: number): Windows {
    if (nowMs < this.#from || nowMs >= this.#windows.dayEndsMs) {
      this.#windows = this.#worked(nowMs);
      this.#from = nowMs;
    }
    return this.#windows;
  }

  #worked(nowMs: number): Windows {
    const day = this.#day(nowMs);
    const month = Math.floor(day / 100);
    return {
      day,
      month,
      dayEndsMs: this.#firstOf(nowMs, (label) => label > day),
      monthEndsMs: this.#firstOf(nowMs, (label) => Math.floor(label / 100) > month),
    };
  }

  /** The first minute behind `fromMs` of which something holds, which holds from then on. Zones change at whole minutes. */
  #firstOf(fromMs: number, holds: (day: number) => boolean): number {
    let before = Math.floor(fromMs / MINUTE_MS);
    let behind = before;
    do behind += DAY_MS / MINUTE_MS;
    while (!holds(this.#day(behind * MINUTE_MS)));
    while (behind - before > 1) {
      const middle = Math.floor((before + behind) / 2);
      if (holds(this.#day(middle * MINUTE_MS))) behind = middle;
      else before = middle;
    }
    return behind * MINUTE_MS;
  }

  #day(ms: number): number {
    let label = 0;
    const parts = this.#format.formatToParts(ms);
    const value = (type: string): number =>
      Number(parts.find((part) => part.type === type)?.value ?? 0);
    label = value('year') * 10_000 + value('month') * 100 + value('day');
    return label;
  }
}

/** Days as people in a zone count them. They have 23, 24 or 25 hours, or none at all where a zone has skipped one. */

const DAY_MS = 86_400_000;

export class TimeZone {
  readonly name: string;
  readonly #format: Intl.DateTimeFormat;

  /** @throws Error with one line that says what to do, when there is no such zone */
  constructor(name: string) {
    try {
      this.#format = new Intl.DateTimeFormat('en-CA', {
        timeZone: name,
        calendar: 'iso8601',
        numberingSystem: 'latn',
        year: 'numeric',
        month: '2-digit',
        day: '2-digit',
        hour: '2-digit',
        minute: '2-digit',
        second: '2-digit',
        hourCycle: 'h23',
      });
    } catch {
      throw new Error(
        `There is no time zone "${name.slice(0, 64)}". Name one of the IANA data base: "UTC", "Europe/Berlin", "Asia/Kathmandu".`,
      );
    }
    this.name = name;
  }

  /** The day of an instant there: `2026-11-28`. */
  dayOf(ms: number): string {
    return this.#wallClock(ms).slice(0, 'yyyy-mm-dd'.length);
  }

  /** How far the clocks there are ahead of UTC at an instant, in milliseconds. */
  offsetMs(ms: number): number {
    return Date.parse(`${this.#wallClock(ms)}Z`) - Math.floor(ms / 1_000) * 1_000;
  }

  /** The instant at which the day of `ms` began there. */
  dayStartMs(ms: number): number {
    const midnight = Date.parse(`${this.dayOf(ms)}T00:00:00Z`);
    // The offset at midnight may be another one than now's; where midnight was skipped the day begins behind it.
    const early = midnight - this.offsetMs(midnight - DAY_MS);
    const late = midnight - this.offsetMs(ms);
    const start = midnight - this.offsetMs(Math.min(early, late));
    return this.dayOf(start) === this.dayOf(ms) ? start : Math.max(early, late);
  }

  #wallClock(ms: number): string {
    const part = new Map(this.#format.formatToParts(ms).map(({ type, value }) => [type, value]));
    const year = (part.get('year') ?? '').padStart(4, '0');
    return `${year}-${part.get('month')}-${part.get('day')}T${part.get('hour')}:${part.get('minute')}:${part.get('second')}`;
  }
}

import type { TimeZone } from './time-zone.ts';
import { QUARTER_MS, type Span } from './usage-report.ts';

/** In what time is cut. Days, months and hours are those of a zone. */
export type Step = 'quarter' | 'hour' | 'day' | 'month';

const HOUR_MS = 3_600_000;
/** Behind a day's beginning, whether it has 23, 24 or 25 hours, and within the next one. */
const NEXT_DAY_MS = 25.5 * HOUR_MS;
const NOON_MS = 12 * HOUR_MS;

/**
 * When steps begin, the first one with the span's first quarter of an hour, the others where the zone's clocks say so.
 * @param max there may be no more
 * @returns null when there are more
 */
export function stepsOf(
  zone: TimeZone,
  step: Step,
  { fromMs, toMs }: Span,
  max = Number.POSITIVE_INFINITY,
): readonly number[] | null {
  const starts: number[] = [];
  let at = quarterStart(fromMs);
  while (at < toMs) {
    if (starts.length === max) return null;
    starts.push(at);
    // Offsets of zones were once no whole quarters.
    at = Math.max(at + QUARTER_MS, quarterStart(nextOf(zone, step, at)));
  }
  return starts;
}

function nextOf(zone: TimeZone, step: Step, at: number): number {
  switch (step) {
    case 'quarter':
      return at + QUARTER_MS;
    case 'hour':
      return at + HOUR_MS - modulo(at + zone.offsetMs(at), HOUR_MS);
    case 'day':
      return zone.dayStartMs(zone.dayStartMs(at) + NEXT_DAY_MS);
    case 'month': {
      const [year = 0, month = 0] = zone.dayOf(at).split('-').map(Number);
      // `month` counts from 1 on: it is the next one, counted from 0 on.
      const noon = Date.UTC(year, month, 1) + NOON_MS;
      return zone.dayStartMs(noon - zone.offsetMs(noon));
    }
  }
}

function quarterStart(ms: number): number {
  return Math.floor(ms / QUARTER_MS) * QUARTER_MS;
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}

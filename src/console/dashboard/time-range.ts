/** Which span of time a view shows, and in whose days it counts. */

import type { Address } from './address.ts';

export const RANGES = {
  '1h': 'Last hour',
  '24h': 'Last 24 hours',
  '7d': 'Last 7 days',
  '30d': 'Last 30 days',
  today: 'Today',
  month: 'This month',
  'last-month': 'Last month',
  '12m': 'Last 12 months',
  own: 'From … to …',
} as const;

export type RangeName = keyof typeof RANGES;

export const STEPS = { quarter: '15 minutes', hour: 'Hour', day: 'Day', month: 'Month' } as const;
export type Step = keyof typeof STEPS;

export interface Span {
  readonly name: RangeName;
  /** ISO 8601, as the API takes it. */
  readonly since: string;
  /** Null: until now. */
  readonly until: string | null;
  /** What suits its length. */
  readonly step: Step;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** What a wall clock in the zone shows at an instant, as if it were UTC. */
function wallOf(ms: number, zone: string): number {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  }).formatToParts(ms);
  const part = (type: string): number =>
    Number(parts.find((found) => found.type === type)?.value ?? 0);
  return Date.UTC(
    part('year'),
    part('month') - 1,
    part('day'),
    part('hour'),
    part('minute'),
    part('second'),
  );
}

/** @returns the instant at which the zone's wall clock shows this; where it never does, the one after the gap */
export function instantOf(wallMs: number, zone: string): number {
  let ms = wallMs;
  // Twice: the first look may be on the other side of a change of the clock.
  for (let look = 0; look < 2; look++) ms += wallMs - wallOf(ms, zone);
  return ms;
}

/** @returns midnight of a day of the zone, so many days and months from the one that holds `ms` */
function midnight(ms: number, zone: string, days: number, months: number | null): number {
  const wall = new Date(wallOf(ms, zone));
  const year = wall.getUTCFullYear();
  const month = wall.getUTCMonth();
  const begin =
    months === null
      ? Date.UTC(year, month, wall.getUTCDate() + days)
      : Date.UTC(year, month + months, 1);
  return instantOf(begin, zone);
}

/** @returns the zone's wall clock for an input of kind `datetime-local` */
export function localText(iso: string, zone: string): string {
  return new Date(wallOf(Date.parse(iso), zone)).toISOString().slice(0, 16);
}

/** @returns the instant that such an input says; null: none */
export function instantText(local: string, zone: string): string | null {
  const wall = Date.parse(`${local}Z`);
  return Number.isNaN(wall) ? null : new Date(instantOf(wall, zone)).toISOString();
}

function suiting(ms: number): Step {
  if (ms <= 6 * HOUR_MS) return 'quarter';
  if (ms <= 3 * DAY_MS) return 'hour';
  return ms <= 100 * DAY_MS ? 'day' : 'month';
}

/** @param fallback what is shown where the address says nothing */
export function spanOf(
  { query }: Address,
  zone: string,
  fallback: RangeName,
  now = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS,
): Span {
  const named = query['range'] ?? '';
  const name = Object.hasOwn(RANGES, named) ? (named as RangeName) : fallback;
  const iso = (ms: number): string => new Date(ms).toISOString();
  const open = (since: number): Span => ({
    name,
    since: iso(since),
    until: null,
    step: suiting(now - since),
  });
  const quarter = Math.floor(now / 900_000) * 900_000;
  switch (name) {
    case '1h':
      return open(quarter - HOUR_MS);
    case '24h':
      return open(Math.floor(now / HOUR_MS) * HOUR_MS - 23 * HOUR_MS);
    case '7d':
      return { ...open(midnight(now, zone, -6, null)), step: 'day' };
    case '30d':
      return open(midnight(now, zone, -29, null));
    case 'today':
      return { ...open(midnight(now, zone, 0, null)), step: 'hour' };
    case 'month':
      return { ...open(midnight(now, zone, 0, 0)), step: 'day' };
    case 'last-month':
      return {
        name,
        since: iso(midnight(now, zone, 0, -1)),
        until: iso(midnight(now, zone, 0, 0)),
        step: 'day',
      };
    case '12m':
      return { ...open(midnight(now, zone, 0, -11)), step: 'month' };
    default: {
      const until = Date.parse(query['until'] ?? '') || now;
      const since = Date.parse(query['since'] ?? '') || until - DAY_MS;
      return { name: 'own', since: iso(since), until: iso(until), step: suiting(until - since) };
    }
  }
}

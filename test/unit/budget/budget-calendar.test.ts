import { describe, expect, test } from 'vitest';
import {
  BudgetCalendar,
  isTimeZone,
  labelOf,
  labelText,
  windowOf,
} from '../../../src/budget/budget-calendar.ts';

const HOUR_MS = 3_600_000;

/** For how many hours an instant's day is the same one, looked at from a minute behind its beginning. */
function hoursOfDay(calendar: BudgetCalendar, at: string): number {
  const began = Date.parse(at);
  const { day, dayEndsMs } = calendar.at(began);
  expect(calendar.at(began - 60_000).day).toBeLessThan(day);
  expect(calendar.at(dayEndsMs - 1).day).toBe(day);
  expect(calendar.at(dayEndsMs).day).toBeGreaterThan(day);
  return (dayEndsMs - began) / HOUR_MS;
}

describe('BudgetCalendar', () => {
  test('G7: in Berlin the day on which summer begins has 23 hours, that on which it ends 25, and any other 24', () => {
    const berlin = new BudgetCalendar('Europe/Berlin');
    expect(hoursOfDay(berlin, '2026-03-29T00:00:00+01:00')).toBe(23);
    expect(hoursOfDay(berlin, '2026-10-25T00:00:00+02:00')).toBe(25);
    expect(hoursOfDay(berlin, '2026-10-26T00:00:00+01:00')).toBe(24);
    expect(hoursOfDay(new BudgetCalendar('UTC'), '2026-03-29T00:00:00Z')).toBe(24);
  });

  test('G7: a month ends where the calendar’s does, in its own zone', () => {
    const berlin = new BudgetCalendar('Europe/Berlin');
    for (let month = 1; month <= 12; month++) {
      const label = 202_600 + month;
      const { month: own, monthEndsMs } = berlin.at(Date.UTC(2026, month - 1, 15));
      expect(own).toBe(label);
      const next = berlin.at(monthEndsMs);
      expect([next.month, next.day % 100]).toEqual([month === 12 ? 202_701 : label + 1, 1]);
      expect(berlin.at(monthEndsMs - 1).month).toBe(label);
    }
    // What is still October in New York is November in Berlin.
    const edge = Date.parse('2026-10-31T23:30:00Z');
    expect(berlin.at(edge).month).toBe(202_611);
    expect(new BudgetCalendar('America/New_York').at(edge).day).toBe(20_261_031);
  });

  test('a midnight that clocks skip, and a date that a zone never had, are windows all the same', () => {
    // Beirut's clocks go from 0:00 to 1:00.
    const { day, dayEndsMs } = new BudgetCalendar('Asia/Beirut').at(
      Date.parse('2026-03-28T12:00:00Z'),
    );
    expect(day).toBe(20_260_328);
    expect(dayEndsMs).toBe(Date.parse('2026-03-28T22:00:00Z'));
    // Samoa went from the 29th to the 31st of December 2011.
    const samoa = new BudgetCalendar('Pacific/Apia');
    const before = samoa.at(Date.parse('2011-12-30T09:00:00Z'));
    expect(before.day).toBe(20_111_229);
    expect(samoa.at(before.dayEndsMs).day).toBe(20_111_231);
  });

  test('a clock that steps back is in the earlier window again', () => {
    const calendar = new BudgetCalendar('UTC');
    expect(calendar.at(Date.parse('2026-11-28T00:00:01Z')).day).toBe(20_261_128);
    expect(calendar.at(Date.parse('2026-11-27T23:59:59Z')).day).toBe(20_261_127);
  });

  test('labels are read as they are written, and only zones are zones', () => {
    for (const label of [20_261_128, 202_611]) expect(labelOf(labelText(label))).toBe(label);
    expect([windowOf(20_261_128), windowOf(202_611)]).toEqual(['day', 'month']);
    expect(labelOf('today')).toBe(0);
    expect(['UTC', 'Europe/Berlin', 'Mars/Olympus', ''].map(isTimeZone)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});

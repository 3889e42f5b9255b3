import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressOf } from '../../../../src/console/dashboard/address.ts';
import {
  instantOf,
  instantText,
  localText,
  spanOf,
} from '../../../../src/console/dashboard/time-range.ts';

const at = (iso: string): number => Date.parse(iso);
const span = (query: string, zone: string, now: string) =>
  spanOf(addressOf(`#/spend?${query}`), zone, '7d', at(now));

describe('a span of time', () => {
  test.each([
    ['UTC', '2026-11-23T00:00:00.000Z'],
    ['Asia/Kathmandu', '2026-11-22T18:15:00.000Z'],
    ['Pacific/Honolulu', '2026-11-23T10:00:00.000Z'],
  ])('of seven days begins at midnight of %s', (zone, since) => {
    const told = span('range=7d', zone, '2026-11-29T16:00:00Z');
    expect(told).toMatchObject({ since, until: null, step: 'day' });
  });

  test('is of whole days though a clock was changed among them', () => {
    // Berlin went to winter time on the 25th of October 2026.
    const told = span('range=30d', 'Europe/Berlin', '2026-11-10T12:00:00Z');
    expect(told.since).toBe('2026-10-11T22:00:00.000Z');
  });

  test('of the last month ends where this one begins', () => {
    expect(span('range=last-month', 'Europe/Berlin', '2026-11-10T12:00:00Z')).toMatchObject({
      since: '2026-09-30T22:00:00.000Z',
      until: '2026-10-31T23:00:00.000Z',
    });
  });

  test('that an address does not know is the usual one', () => {
    expect(span('range=constructor', 'UTC', '2026-11-29T16:00:00Z').name).toBe('7d');
  });

  test('of two instants is what the address says', () => {
    const query = 'range=own&since=2026-11-01T00:00:00.000Z&until=2026-11-01T03:00:00.000Z';
    expect(span(query, 'UTC', '2026-11-29T16:00:00Z')).toEqual({
      name: 'own',
      since: '2026-11-01T00:00:00.000Z',
      until: '2026-11-01T03:00:00.000Z',
      step: 'quarter',
    });
  });
});

describe('the wall clock of a zone', () => {
  test('leads back to the instant, but for the hour that is there twice', () => {
    const zones = fc.constantFrom(
      'UTC',
      'Asia/Kathmandu',
      'Pacific/Honolulu',
      'Australia/Lord_Howe',
      'America/New_York',
    );
    const minutes = fc.integer({
      min: at('2020-01-01T00:00Z') / 60_000,
      max: at('2030-01-01T00:00Z') / 60_000,
    });
    fc.assert(
      fc.property(zones, minutes, (zone, minute) => {
        const local = localText(new Date(minute * 60_000).toISOString(), zone);
        const back = instantText(local, zone) ?? '';
        expect(localText(back, zone)).toBe(local);
      }),
    );
  });

  test('that never shows a time leads behind the gap', () => {
    const ms = instantOf(Date.UTC(2026, 2, 29, 2, 30), 'Europe/Berlin');
    expect(new Date(ms).toISOString()).toBe('2026-03-29T01:30:00.000Z');
  });

  test('of no time at all is none', () => {
    expect(instantText('', 'UTC')).toBeNull();
  });
});

import { describe, expect, test } from 'vitest';
import { BY, usageArguments } from '../../../src/command/usage.ts';
import { VIEWS } from '../../../src/ledger/ledger-schema.ts';

const NOW = Date.parse('2026-11-28T10:20:00Z');

describe('the arguments of sluice usage', () => {
  test.each([
    [['--by', 'moon'], '--by: found "moon", expected key, tenant'],
    [['--since', 'yesterday'], '--since: found "yesterday", expected minutes'],
    [['--since', '2026-13-01'], '--since: found "2026-13-01", expected minutes'],
    [['--zone', 'Middle/Earth'], 'There is no time zone "Middle/Earth"'],
    [['--json', '--csv'], '--json and --csv exclude each other'],
    [['--until', '2020-01-01'], '--until has to be behind --since'],
  ] as const)('%j is told what is expected', (argv, said) => {
    expect(() => usageArguments(argv, NOW)).toThrow(said);
  });

  test.each([
    [[], '2026-11-27T10:20:00.000Z'],
    [['--since', '30m'], '2026-11-28T09:50:00.000Z'],
    [['--since', '2w'], '2026-11-14T10:20:00.000Z'],
    [['--since', '2026-11-01', '--zone', 'Asia/Kathmandu'], '2026-10-31T18:15:00.000Z'],
    [['--since', '2026-11-01', '--zone', 'Pacific/Kiritimati'], '2026-10-31T10:00:00.000Z'],
    [['--by', 'day'], '2026-11-22T00:00:00.000Z'],
    [['--by', 'day', '--since', '24h', '--zone', 'Europe/Berlin'], '2026-11-26T23:00:00.000Z'],
  ] as const)('%j begins at %s', (argv, from) => {
    expect(new Date(usageArguments(argv, NOW).fromMs).toISOString()).toBe(from);
  });
});

test('what usage can be asked by is added up ahead, and what the files say by a number stays that', () => {
  for (const dimensions of Object.values(BY)) expect(VIEWS).toContainEqual(dimensions);
  expect(VIEWS.map((view) => view.join(' ')).slice(0, 8)).toEqual([
    'tenant key class provider model route status',
    'tenant key class',
    'tenant',
    'class',
    'provider model',
    'provider',
    'route',
    'provider status',
  ]);
});

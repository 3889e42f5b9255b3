import { describe, expect, test } from 'vitest';
import type { Node } from '../../../../src/console/dashboard/told.ts';
import { isOfFleet, whoseNumbers } from '../../../../src/console/dashboard/whose-numbers.ts';

const NODE: Node = {
  name: 'gw-1',
  version: '1.0.0',
  started: '2026-11-29T00:00:00.000Z',
  ledger: 'node',
  zone: 'UTC',
  fleet: false,
  demo: false,
};

describe('what the dashboard says of its numbers', () => {
  test('is the fleet’s where a data base has them, by its name, and not one node’s', () => {
    for (const [ledger, name] of [
      ['postgres', 'Postgres'],
      ['clickhouse', 'ClickHouse'],
    ] as const) {
      const said = whoseNumbers({ ...NODE, ledger });
      expect(said).toContain('All gateways of the fleet');
      expect(said).toContain(name);
      expect(said).not.toContain('gw-1');
      expect(isOfFleet({ ...NODE, ledger })).toBe(true);
    }
  });

  test('is this node’s by name, and alone where there are others', () => {
    expect(whoseNumbers(NODE)).toBe('What this node, gw-1, has served.');
    expect(whoseNumbers({ ...NODE, fleet: true })).toContain('gw-1, has served alone');
    expect(isOfFleet(NODE)).toBe(false);
    expect(isOfFleet({ ...NODE, fleet: true })).toBe(true);
  });
});

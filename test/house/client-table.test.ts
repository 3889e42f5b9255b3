import { describe, expect, test } from 'vitest';
import { clientTable } from '../sdk/client-table.ts';
import { textOf } from '../support/source-tree.ts';

describe('table of clients in docs/clients.md', () => {
  test('it has the clients that test:sdk runs, with the pinned versions', () => {
    const table = clientTable();
    const lines = textOf('docs/clients.md').split('\n');
    const at = lines.indexOf(table[0] ?? '');
    const end = lines.findIndex((line, index) => index > at && !line.startsWith('|'));
    expect(lines.slice(at, end)).toEqual(table);
  });
});

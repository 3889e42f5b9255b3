import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { printConfig } from '../../../src/config/config-print.ts';

function load(text: string) {
  const path = join(mkdtempSync(join(tmpdir(), 'sluice-config-')), 'config.toml');
  writeFileSync(path, text);
  return loadConfig({ env: {}, path });
}

describe('ledger_url', () => {
  test('is a Postgres or an HTTP address, and never told', () => {
    expect(() => load('data_dir = "/x"\nledger_url = "mysql://me:hunter2@db/x"\n')).toThrow(
      /ledger_url: found (?!.*hunter2).*expected postgres:/,
    );
  });

  test('without a ledger is refused', () => {
    const url = 'ledger_url = "postgres://me:hunter2@db/x"\n';
    expect(() => load(url)).toThrow(/ledger_url: .*expected data_dir, and ledger = true/);
    expect(() => load(`data_dir = "/x"\nledger = false\n${url}`)).toThrow(/ledger_url/);
  });

  test('is printed without its user and password', () => {
    const { config } = load(
      'data_dir = "/x"\nledger_url = "postgres://me:hunter2@db.internal/x"\n',
    );
    const printed = printConfig(config);
    expect(printed).toContain('ledger_url = "postgres://db.internal/x"');
    expect(printed).not.toContain('hunter2');
    expect(config.ledgerUrl?.reveal()).toBe('postgres://me:hunter2@db.internal/x');
  });
});

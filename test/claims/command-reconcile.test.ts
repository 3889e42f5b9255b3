import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DayFile } from '../../src/ledger/day-file.ts';
import { FactReader } from '../../src/ledger/fact-reader.ts';
import { dayOf, LedgerFiles } from '../../src/ledger/ledger-files.ts';
import { factLine } from '../support/fact-lines.ts';
import { sluice } from '../support/gateway.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-reconcile-'));
const report = (name: string): string =>
  new URL(`../reconcile/${name}.json`, import.meta.url).pathname;

const GPT = { model: 'gpt-4o-2024-08-06', cost_usd: '1' };
const MINI = { model: 'gpt-5-mini-2025-08-07', service_tier: 'flex', cost_usd: '0.5' };
const FACTS = [
  { ...GPT, input_tokens: 400, cache_read_tokens: 400, output_tokens: 20 },
  { ...GPT, input_tokens: 600, output_tokens: 12, usage_source: 'estimated' },
  { ...MINI, input_tokens: 60, output_tokens: 6 },
  { ...MINI, input_tokens: 30, output_tokens: 3, cost_usd: null },
  { ...MINI, usage_source: 'none', upstream_status: 500, final: false },
  {
    ...GPT,
    time: '2026-11-27T01:00:00.000Z',
    input_tokens: 300,
    cache_read_tokens: 100,
    output_tokens: 80,
  },
].map((fact, at) => factLine({ request_id: `req_${at}`, ...fact }));

function run(argv: readonly string[], lines: readonly string[] = FACTS) {
  const facts = join(folder, 'facts.log');
  writeFileSync(facts, `${lines.join('\n')}\n`);
  return sluice(['reconcile', ...argv, '--facts', facts, '--facts', facts]);
}

describe('sluice reconcile', () => {
  test('names where the books part and the likely cause, by day, model and tier', () => {
    const argv = ['--provider', 'openai', '--file', report('openai-usage')];
    const { status, stdout } = run([...argv, '--file', report('openai-costs')]);
    expect(status).toBe(1);
    const golden = new URL('../reconcile/openai.golden.txt', import.meta.url);
    expect(stdout).toBe(readFileSync(golden, 'utf8'));
  });

  test('prints one object for a program, exact', () => {
    const argv = ['--provider', 'openai', '--file', report('openai-usage'), '--json'];
    const { status, stdout } = run(argv);
    expect([status, JSON.parse(stdout)]).toMatchObject([
      1,
      {
        compared: 4,
        report_goes_on: false,
        partings: [
          { day: '2026-11-26', model: GPT.model, output_tokens: { ours: 32, theirs: 50 } },
          { model: MINI.model, tier: 'flex', requests: { ours: 2, theirs: 3 } },
          { model: 'o3-2025-04-16' },
          { day: '2026-11-27', requests: { ours: 1, theirs: 3 } },
        ],
      },
    ]);
  });

  test('reads the ledger where no facts are given, and says which days it has none of', () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'sluice-reconcile-'));
    mkdirSync(join(dataDir, 'ledger'));
    const files = new LedgerFiles(dataDir);
    writeFileSync(files.kept, '');
    const reader = new FactReader();
    const day = new DayFile(files.day(dayOf(Date.parse('2026-11-26T00:00:00Z'))));
    day.add(FACTS.slice(0, 5).flatMap((line) => reader.read(line) ?? []));
    day.close();
    const argv = ['reconcile', '--provider', 'openai', '--file', report('openai-usage')];
    const { status, stdout } = sluice(argv, { env: { AI_DATA_DIR: dataDir } });
    expect([status, stdout.split('\n').slice(0, 2)]).toEqual([
      1,
      ['openai: 5 facts, 2 days, 4 sums compared, 4 part', 'the ledger has no facts of 2026-11-27'],
    ]);
    expect(sluice(argv).stderr).toContain('There is no ledger: set data_dir');
  });

  test('says that nothing parts, and exits with 0', () => {
    const sonnet = {
      provider: 'anthropic',
      dialect: 'anthropic',
      model: 'claude-sonnet-4-5-20250929',
      input_tokens: 100,
      cache_read_tokens: 50,
      cache_write_tokens: 50,
      output_tokens: 40,
    };
    const haiku = {
      ...sonnet,
      model: 'claude-haiku-4-5-20251001',
      service_tier: 'batch',
      input_tokens: 5,
      cache_read_tokens: 0,
      cache_write_tokens: 0,
      output_tokens: 6,
    };
    const lines = [sonnet, haiku].map((fact, at) => factLine({ request_id: `r${at}`, ...fact }));
    const { status, stdout } = run(
      ['--provider', 'anthropic', '--file', report('anthropic-usage')],
      lines,
    );
    expect([status, stdout]).toEqual([
      0,
      'anthropic: 2 facts (2 more were there twice), 2 days, 2 sums compared, 0 part\n',
    ]);
  });

  test.each([
    [['--provider', 'groq', '--file', 'x'], '--provider openai or --provider anthropic'],
    [['--provider', 'openai'], 'needs --file'],
    [['--provider', 'openai', '--file', report('anthropic-usage')], 'start_time'],
    [['--provider', 'openai', '--file', '/nowhere.json'], '/nowhere.json'],
    [['--provider', 'openai', '--fil', 'x'], '--fil'],
  ])('%j ends with one line that says what is wrong', (argv, says) => {
    const { status, stderr } = run(argv);
    expect(status).toBe(1);
    expect(stderr.trim().split('\n')).toEqual([expect.stringContaining(says)]);
  });
});

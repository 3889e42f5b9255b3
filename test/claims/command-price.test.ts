import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sluice } from '../support/gateway.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-price-'));
const CONFIG = `
[routes.chat]
targets = ["openai/gpt-4o", "vllm/mine"]
fallbacks = ["claude/claude-opus-4-5"]
[provider_authorities]
vllm = "http://127.0.0.1:8000"
[prices]
"vllm/mine" = { input = "0.20", output = "0.60" }
`;

function written(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

const told = (...argv: readonly string[]) => {
  const { status, stdout, stderr } = sluice([...argv, '--config', written('config.toml', CONFIG)]);
  return { status, lines: stdout.trimEnd().split('\n'), stderr };
};

describe('sluice price', () => {
  test('C7: prints each product and their sum', () => {
    const asked = ['--in', '300_000', '--cached', '200000', '--cache-write', '50000'];
    const { status, lines } = told(
      'price',
      'openai/gpt-5.6',
      ...asked,
      '--out',
      '100',
      '--at',
      '2026-11-20',
    );
    expect([status, lines]).toEqual([
      0,
      [
        'openai/gpt-5.6, 2026-11-20T00:00Z',
        '  input             50,000 x 8 USD/M   = 0.4',
        '  cache_read       200,000 x 0.8 USD/M = 0.16',
        '  cache_write       50,000 x 10 USD/M  = 0.5',
        '  output               100 x 30 USD/M  = 0.003',
        '  total            1.063 USD (priced, prices of 2026-10-21)',
      ],
    ]);
  });

  test('prices each target of a route, by the configuration where that has a table', () => {
    const { status, lines } = told('price', 'chat', '--in', '1000000', '--out', '1000000');
    expect(status).toBe(0);
    expect(
      lines.filter((line) => /^\S|total/.test(line)).map((line) => line.replace(/, \d{4}.*Z$/, '')),
    ).toEqual([
      'openai/gpt-4o',
      '  total            12.5 USD (priced, prices of 2026-10-21)',
      'vllm/mine',
      expect.stringMatching(/^ {2}total {12}0\.8 USD \(priced, prices of config-[0-9a-f]{8}\)$/),
      'anthropic/claude-opus-4-5',
      '  total            30 USD (priced, prices of 2026-10-21)',
    ]);
  });

  test('a service tier, fees and a plain name count', () => {
    const { lines } = told(
      'price',
      'gpt-5.6',
      '--in',
      '1000',
      '--out',
      '0',
      '--tier',
      'flex',
      '--use',
      'web_search=3',
    );
    expect(lines[0]).toMatch(/^azure\/gpt-5\.6, .*, tier flex$/);
    expect(lines).toContain('  unpriced: tier_unpriced');
    expect(lines).toContain('  web_search           3 x 0.01 USD = 0.03');
    expect(lines).toContain('  total            0.032 USD (priced, prices of 2026-10-21)');
  });

  test('--explain prints the row, where it is from and what the model can do', () => {
    const { status, lines } = told('price', 'anthropic/claude-opus-5-5', '--explain');
    expect(status).toBe(0);
    expect(lines).toContain(
      '  from https://platform.claude.com/docs/en/about-claude/pricing, 2026-10-21; verified',
    );
    expect(lines.find((line) => line.startsWith('    fast:'))).toContain(
      'input 8, output 40, cache_read 0.4',
    );
    expect(lines).toContain('  in us tokens cost 1.1 times as much');
    expect(lines).toContain('  context 1,000,000, output at most 128,000');
  });

  test.each([
    [['openai/gpt-99', '--in', '1'], 1, '  unpriced: unknown_model'],
    [
      ['no-such-model', '--in', '1'],
      1,
      'no-such-model is no route, no provider/model, and no name in the price book',
    ],
    [
      ['anthropic/claude-opus-4-5', '--in', '1', '--tier', 'priority'],
      1,
      '  unpriced: tier_unpriced',
    ],
    [['openai/gpt-4o', '--in', '1', '--cached', '2'], 1, '  unpriced: inconsistent_tokens'],
  ])('%j ends with %i and says %s', (argv, code, says) => {
    const { status, lines } = told('price', ...argv);
    expect([status, lines.at(-1)]).toEqual([code, says]);
  });

  test.each([
    [[], 'price takes one model'],
    [['openai/gpt-4o'], 'price takes --in N and --out N'],
    [['openai/gpt-4o', '--in', '-1'], '--in'],
    [['openai/gpt-4o', '--in', '1.5'], '--in is "1.5"; expected a whole number of tokens'],
    [['openai/gpt-4o', '--in', '1', '--use', 'x'], '--use is "x"'],
    [['openai/gpt-4o', '--in', '1', '--at', 'today'], '--at is "today"'],
  ])('%j is told in one line', (argv, says) => {
    const { status, stderr } = told('price', ...argv);
    expect(status).toBe(1);
    expect(stderr.trim().split('\n')).toEqual([expect.stringContaining(says)]);
  });
});

describe('sluice prices check', () => {
  test('counts the book by provider, and tells what facts could not be priced', () => {
    const fact = {
      event: 'ai.usage',
      provider: 'openai',
      model: 'gpt-99',
      cost_status: 'unpriced',
    };
    const lost = {
      ...fact,
      unpriced_reason: 'unknown_model',
      input_tokens: 7,
      output_tokens: null,
    };
    const lines = [lost, lost, { ...fact, cost_status: 'priced' }, { event: 'access' }];
    const file = written(
      'facts.log',
      `${lines.map((line) => JSON.stringify(line)).join('\n')}\nnoise\n`,
    );
    const { status, lines: said } = told('prices', 'check', '--facts', file);
    expect(status).toBe(0);
    expect(said[0]).toMatch(/^price book of 2026-10-21: \d{3} rows$/);
    expect(said.find((line) => line.startsWith('  anthropic'))).toMatch(
      /22 rows: two sources agree on 17,/,
    );
    expect(said).toContain('configuration: 1 tables in [prices], 0 of them free');
    expect(said.slice(-2)).toEqual([
      'facts: 3, unpriced 2',
      '  openai/gpt-99: unknown_model: 2 requests, 14 input and 0 output tokens',
    ]);
  });

  test('C4: a price that contradicts itself stops it with file, key, found and expected', () => {
    const prices = written(
      'own.jsonl',
      '{"version":"1"}\n{"provider":"openai","model":"x","input":"1","tiers":[{"over":5}]}\n',
    );
    const bad = `prices_file = ${JSON.stringify(prices)}
[prices]
"openai/gpt-4o" = { input = "-1" }
"opnai/gpt-4o" = { input = "1" }
"openai/*" = { input = "1" }
"openai/gpt-4*" = { free = true }
"openai/x" = { free = true, output = "1" }
`;
    const { status, stderr } = sluice(['check', '--config', written('bad.toml', bad)]);
    const file = join(folder, 'bad.toml');
    expect([status, stderr.trim().split('\n')]).toEqual([
      1,
      [
        `sluice: ${prices}: line 2, openai.x.tiers.0.input: found a tier without it, expected input, as each tier has it`,
        `sluice: ${file}: prices.openai/gpt-4o.input: found "-1", expected USD per million tokens as a decimal text like "0.40", not negative, at most six decimals`,
        `sluice: ${file}: prices.opnai/gpt-4o: found the name "opnai/gpt-4o", expected provider/model, of a provider of this configuration (nearest: openai)`,
        `sluice: ${file}: prices.openai/*: found prices for every model, expected free = true, which is all that a wildcard can say`,
        `sluice: ${file}: prices.openai/gpt-4*: found the name "openai/gpt-4*", expected provider/model, or provider/* with free = true`,
        `sluice: ${file}: prices.openai/x.output: found output beside free = true, expected one of them`,
      ],
    ]);
  });

  test('what is checked prints as prices that read back as the same', () => {
    const text = `[prices]
"openai/gpt-4o" = { input = "0.20", output = "0.6", per_request = "0.001", web_search = "0.01", tiers = [{ over = 5, input = "1", output = "2" }], service_tiers = { flex = { input = "0.1" } }, geo = { us = "1.1" }, from = "2026-12-01", off_peak = { peak = ["01:00-04:30"], days = [1, 2], input = "0.05" } }
"ollama/*" = { free = true }
`;
    const first = sluice(['check', '--config', written('one.toml', text)]).stdout;
    const printed = first.slice(first.indexOf('[prices]'));
    const second = sluice(['check', '--config', written('two.toml', printed)]).stdout;
    expect(printed).toContain('off_peak');
    expect(second.slice(second.indexOf('[prices]'))).toBe(printed);
  });
});

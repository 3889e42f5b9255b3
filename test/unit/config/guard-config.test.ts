import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from '../../../src/config/config.ts';
import { printConfig } from '../../../src/config/config-print.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-guard-config-'));
const path = join(folder, 'config.toml');
const module = join(folder, 'mine.ts');
writeFileSync(module, 'export default { request() {} };');

function load(text: string) {
  writeFileSync(path, text);
  return loadConfig({ path, env: {} });
}

/** Without the file's name. */
function problem(text: string): string {
  try {
    load(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.replaceAll(`${path}: `, '');
    throw error;
  }
  throw new Error('It was accepted.');
}

const ALL = `data_dir = ${JSON.stringify(folder)}
[guards.mine]
module = ${JSON.stringify(module)}
on_error = "pass"
[guards.names]
kind = "presidio"
url = "http://presidio:3000/analyze"
api_key = "key-of-presidio"
entities = ["PERSON"]
[guards.moderation]
url = "https://api.openai.com/v1/moderations"
api_key = "key-of-openai"
[guards.log]
kind = "logger"
[guards.audit]
kind = "logger"
path = "/var/log/said.ndjson"
max_file_mb = 1
retention_days = 0
`;

describe('[guards.NAME]', () => {
  it('says what guards are made of, and what is not said is as documented', () => {
    const { config } = load(ALL);
    const made = (name: string) => config.guards.get(name);
    expect(made('mine')).toMatchObject({
      onError: 'pass',
      made: {
        kind: 'module',
        path: module,
        version: expect.stringMatching(/^[0-9a-f]{64}$/),
        budgetMs: 50,
        threads: 1,
        memoryMb: 64,
        network: false,
      },
    });
    expect(made('names')).toMatchObject({
      action: 'redact',
      onError: 'block',
      made: { kind: 'presidio', language: 'en', minScore: 0.4, timeoutMs: 1_000, maxInFlight: 8 },
    });
    expect(made('moderation')).toMatchObject({ action: 'block', made: { kind: 'moderation' } });
    expect(made('log')).toMatchObject({
      action: 'flag',
      onError: 'pass',
      made: {
        kind: 'logger',
        path: join(folder, 'exchange-log', 'log.ndjson'),
        maxBytes: 64 * 1_048_576,
        retentionDays: 7,
      },
    });
    expect(made('audit')?.made).toMatchObject({
      path: '/var/log/said.ndjson',
      maxBytes: 1_048_576,
    });
  });

  it('is printed so that it reads back as itself, but for its keys, which nothing prints', () => {
    const { config } = load(ALL);
    const printed = printConfig(config);
    expect(printed).not.toMatch(/key-of/);
    expect(JSON.stringify([...config.guards])).not.toMatch(/key-of/);
    const again = load(printed.replaceAll('api_key = "***"', 'api_key = "key-of-both"')).config;
    expect([...again.guards.keys()].sort()).toEqual([...config.guards.keys()].sort());
    for (const [name, guard] of config.guards)
      expect(JSON.stringify(again.guards.get(name))).toBe(JSON.stringify(guard));
  });

  it('is another one when what its module says changes, and its file is looked at', () => {
    const version = (): unknown =>
      Reflect.get(load(ALL).config.guards.get('mine')?.made ?? {}, 'version');
    const before = version();
    expect(version()).toBe(before);
    expect([...load(ALL).files.keys()]).toContain(module);
    writeFileSync(module, 'export default { response() {} };');
    expect(version()).not.toBe(before);
  });

  it.each([
    [
      '[guards.mine]\nmodule = "/no/such.ts"\n',
      'guards.mine.module: found /no/such.ts (no such file), expected a module that can be read',
    ],
    [
      `[guards.mine]\nmodule = ${JSON.stringify(path)}\n`,
      `guards.mine.module: found "${path}", expected a module: .ts, .mts, .js or .mjs`,
    ],
    [
      '[guards.mine]\nkind = "module"\n',
      'guards.mine: found a table, expected module = …: a guard of kind "module" needs it',
    ],
    [
      '[guards.presidio]\nurl = "ftp://presidio"\n',
      'guards.presidio.url: found "ftp://presidio", expected http:// or https://, a host and a path, without user and password',
    ],
    [
      '[guards.presidio]\nurl = "http://presidio"\naction = "mask"\n',
      'guards.presidio.action: found "mask", expected "redact", "block", "flag"',
    ],
    [
      '[guards.pii]\nbudget_ms = 50\n',
      'guards.pii.budget_ms: found 50, expected no such line: a guard of kind "pii" has detect',
    ],
    [
      '[guards.logger]\nretention_days = -1\npath = "/x"\n',
      'guards.logger.retention_days: found -1, expected days, 0 = for ever: a whole number from 0 to 3660',
    ],
  ])('%j stops the load', (text, said) => {
    expect(problem(text)).toBe(said);
  });

  it('wants a place for a log', () => {
    expect(problem('[guards.logger]\n')).toContain(
      'expected the path of a file, or a data_dir for it to be in',
    );
  });

  it('tells no password of a URL that it refuses', () => {
    expect(problem('[guards.presidio]\nurl = "http://user:hunter2@presidio/"\n')).not.toContain(
      'hunter2',
    );
  });
});

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from '../../../src/config/config.ts';
import type { Config } from '../../../src/config/config-document.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-source-'));
const path = join(folder, 'config.toml');

function load(text: string, env: Record<string, string> = {}): Config {
  writeFileSync(path, text);
  return loadConfig({ path, env }).config;
}

function refusal(text: string, env: Record<string, string> = {}): ConfigError {
  try {
    load(text, env);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('It was accepted.');
}

describe('variables', () => {
  it.each([
    ['AI_WORKER', 'AI_WORKERS'],
    ['AI_Listen', 'AI_LISTEN'],
    ['AI_POOL_KEYS', 'AI_POOL_KEY_<PROVIDER>'],
    ['AI_SIGNING_KEYS', '[signing_keys]'],
  ])('%s is no key, and the problem points at %s', (name, nearest) => {
    const { problems } = refusal('', { [name]: '1' });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({ file: 'environment', key: name });
    expect(problems[0]?.expected).toContain(nearest);
  });

  it('what an orchestrator sets for a service called ai is not ours', () => {
    const links = {
      AI_PORT: 'tcp://10.0.0.1:80',
      AI_PORT_80_TCP_ADDR: '10.0.0.1',
      AI_SERVICE_HOST: 'x',
    };
    expect(load('', links)).toEqual(load(''));
    expect(refusal('', { AI_PORT: '8080' }).problems).toHaveLength(1);
  });

  it('AI_CONFIG names the file only where no path is given', () => {
    writeFileSync(path, 'max_in_flight = 7\n');
    const loaded = loadConfig({ env: { AI_CONFIG: path } });
    expect([loaded.config.maxInFlight, loaded.source]).toEqual([7, path]);
    const absent = join(folder, 'absent.toml');
    expect(() => loadConfig({ path: absent, env: { AI_CONFIG: path } })).toThrow(/no such file/);
  });
});

describe('references', () => {
  it('what a reference brought is not looked at again', () => {
    const env = { A: '${B}', B: 'b' };
    expect(load('[pool_keys]\nopenai = "${A}"\n', env).poolKeys.get('openai')?.[0]?.reveal()).toBe(
      '${B}',
    );
  });

  it('a number or a truth value may come by reference', () => {
    const config = load('workers = "${N}"\naccess_log = "${B}"\n', { N: '3', B: 'true' });
    expect([config.workers, config.accessLog]).toEqual([3, true]);
  });

  it('a value that came by reference is never quoted', () => {
    const error = refusal('log_level = "${LEVEL}"\n', { LEVEL: 'hunter2' });
    expect(error.message).toContain('${LEVEL}');
    expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
  });
});

it('a misspelt long key is named in full', () => {
  const { problems } = refusal('client_stall_timeout_second = 1\n');
  expect(problems[0]).toMatchObject({ file: path, key: 'client_stall_timeout_second' });
  expect(problems[0]?.expected).toContain('client_stall_timeout_secs');
});

describe('credentials in the wrong place', () => {
  const KEY = 'sk-proj-abcdefghijklmnop';
  it.each([
    ['swapped with the name', `[pool_keys]\n"${KEY}" = "openai"\n`],
    ['as a top-level key', `"${KEY}" = 1\n`],
    ['as the value of an unknown key', `openai_key = "${KEY}"\n`],
    ['as an authority', `[provider_authorities]\nopenai = "${KEY}"\n`],
    ['in the URL of NATS', `nats_url = "nats://me:${KEY}@host"\n`],
    ['without quotes', `[pool_keys]\nopenai = ${KEY}\n`],
  ])('a key %s is in no message', (_place, text) => {
    const error = refusal(text);
    expect(error.problems.length).toBeGreaterThan(0);
    expect(inspect(error, { depth: 9 })).not.toContain(KEY);
    expect(JSON.stringify(error.problems)).not.toContain(KEY);
  });
});

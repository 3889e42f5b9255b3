import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { printConfig } from '../../../src/config/config-print.ts';

function load(text: string, env: Readonly<Record<string, string>> = {}) {
  const path = join(mkdtempSync(join(tmpdir(), 'sluice-config-')), 'config.toml');
  writeFileSync(path, text);
  return loadConfig({ env, path }).config;
}

describe('redis_url', () => {
  test.each([
    'http://me:hunter2@redis',
    'redis:hunter2',
    'rediss://',
  ])('%s is no Redis, and is not told', (url) => {
    expect(() => load(`redis_url = "${url}"\n`)).toThrow(
      /redis_url: found (?!.*hunter2).*expected redis:/,
    );
  });

  test('is printed without its user and password', () => {
    const config = load('redis_url = "rediss://me:${PASSWORD}@redis.internal:6380/2"\n', {
      PASSWORD: 'hunter2',
    });
    const printed = printConfig(config);
    expect(printed).toContain('redis_url = "rediss://redis.internal:6380/2"');
    expect(printed).not.toContain('hunter2');
    expect(config.redisUrl?.reveal()).toBe('rediss://me:hunter2@redis.internal:6380/2');
  });

  test('is none where nobody says it', () => {
    expect(load('').redisUrl).toBeNull();
  });
});

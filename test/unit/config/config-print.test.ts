import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { type Config, configFromDocument } from '../../../src/config/config-document.ts';
import { printConfig } from '../../../src/config/config-print.ts';
import { KEYS } from '../../../src/config/config-schema.ts';
import { inFlightCapacity } from '../../../src/config/in-flight-capacity.ts';
import { publicKeyOf } from '../../../src/keys/minting.ts';

const path = join(mkdtempSync(join(tmpdir(), 'sluice-print-')), 'config.toml');

function load(text: string): ReturnType<typeof loadConfig> {
  writeFileSync(path, text);
  return loadConfig({ path, env: {} });
}

const revealed = (config: Config) =>
  [...config.poolKeys].map(([name, keys]) => [name, keys.map((key) => key.reveal())]);

const { document: DEFAULTS } = load('');
const timeMs = fc.integer({ min: 0, max: 2_147_483_000 });
const rps = fc.nat({ max: 1_000_000 });
const filePath = fc.stringMatching(/^\/[ "#$'=\\\]a-zäß漢-]{1,40}$/);
// With what begins it, no key can also be a word of the configuration.
const poolKey = fc
  .stringMatching(/^[!-~]{7,40}$/)
  .filter((key) => !key.includes('${'))
  .map((key) => `%${key}`);
const authority = fc.constantFrom(
  'h:1',
  'http://[::1]:8000',
  'https://h.internal',
  'https://h:8443',
);

const documents = fc.record({
  listen: fc.record({
    host: fc.constantFrom('::1', '127.0.0.1', 'a-b.c'),
    port: fc.integer({ min: 0, max: 9000 }),
  }),
  workers: fc.integer({ min: 1, max: 1024 }),
  connectTimeoutMs: timeMs,
  idleTimeoutMs: timeMs,
  transport: fc.constantFrom('h1' as const, 'undici' as const),
  noProxy: fc.constantFrom([], ['a.test', '10.0.0.0/8']),
  proxyUrl: fc.constantFrom(null, 'none', 'http://proxy.test:3128'),
  providerEgress: fc.constantFrom(
    [],
    [['groq', { proxyUrl: 'http://own.test:1', http2: true, idleTimeoutMs: 1_500 }] as const],
  ),
  shutdownGraceMs: timeMs,
  rateLimitRps: rps,
  maxRequestBodyBytes: fc.maxSafeNat(),
  accessLog: fc.boolean(),
  logLevel: fc.constantFrom('debug' as const, 'info' as const, 'warn' as const, 'error' as const),
  snapshotPath: fc.option(filePath),
  dataDir: fc.option(filePath),
  foreignState: fc.constantFrom('refuse' as const, 'allow' as const),
  managedEndpoints: fc.array(fc.stringMatching(/^(\/[a-z0-9_~-]{1,9}){1,3}$/), { maxLength: 4 }),
  managedPrefixes: fc.array(fc.stringMatching(/^(\/[a-z0-9_~-]{1,9}){1,3}(\/\{name\})?$/), {
    maxLength: 4,
  }),
  corsOrigins: fc.constantFrom([], ['*'], ['https://a.b', 'http://localhost:3000']),
  natsUrl: fc.constantFrom(null, 'nats://h:4222', 'tls://a,nats://[::1]:4222'),
  providers: fc
    .constantFrom('constructor', 'openai', 'my-vllm')
    .chain((name) =>
      fc.record({
        name: fc.constant(name),
        authority,
        dialect: fc.constantFrom('openai' as const, 'anthropic' as const),
      }),
    )
    .map((row) => [row]),
  poolKeys: fc
    .array(poolKey, { minLength: 1, maxLength: 3 })
    .map((keys) => [['groq', keys] as const]),
  signingKeys: fc
    .tuple(
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      fc.uint8Array({ minLength: 32, maxLength: 32 }).map(publicKeyOf),
    )
    .map((row) => [row]),
});

it('a printed configuration reads back equal once keys stand for masks', () => {
  fc.assert(
    fc.property(documents, (changes) => {
      const config = configFromDocument({ ...DEFAULTS, ...changes });
      const printed = printConfig(config);
      const keys = revealed(config).flatMap(([, list]) => list ?? []);
      for (const key of keys.flat()) expect(printed).not.toContain(key);
      const substitutes = keys.flat();
      const text = printed.replace(/"\*\*\*"/g, () => JSON.stringify(substitutes.shift()));
      const again = load(text).config;
      // Each provider's way out is what the rest amounts to.
      expect({ ...again, egress: null }).toEqual({ ...config, egress: null });
      expect(revealed(again)).toEqual(revealed(config));
    }),
    { numRuns: 200 },
  );
});

it('every key is printed, and only what differs is marked', () => {
  const text = printConfig(load('max_in_flight = 3\n[pool_keys]\nopenai = "k"\n').config);
  for (const key of KEYS)
    expect(text).toMatch(new RegExp(`^(?:# ${key} is|${key} =|\\[${key}\\])`, 'm'));
  const marked = text.split('\n').filter((line) => line.includes('# default:'));
  expect(marked).toEqual([
    `max_in_flight = 3  # default: ${inFlightCapacity()}`,
    '[pool_keys]  # default: empty',
  ]);
});

it('what is said of a model reads back as it was', () => {
  const text =
    '[models."openai/gpt-4o"]\ncontext_tokens = 128000\ntools = false\ntokens_per_byte = 0.5\n';
  const { config } = load(text);
  expect(load(printConfig(config)).config.routing.models).toEqual(config.routing.models);
  expect(config.routing.models.size).toBe(1);
});

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from '../../../src/config/config.ts';
import { type Config, configFromDocument } from '../../../src/config/config-document.ts';
import { printConfig } from '../../../src/config/config-print.ts';
import { KEYS } from '../../../src/config/config-schema.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-config-'));
const EXAMPLE = new URL('../../../config.example.toml', import.meta.url);
let files = 0;

function file(text: string): string {
  const path = join(folder, `${files++}.toml`);
  writeFileSync(path, text);
  return path;
}

const load = (text: string, env: Record<string, string> = {}): Config =>
  loadConfig({ path: file(text), env }).config;

function problems(text: string, env: Record<string, string> = {}): string {
  try {
    load(text, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error('It was accepted.');
}

describe('the example', () => {
  it('parses to exactly the defaults', () => {
    const example = loadConfig({ path: fileURLToPath(EXAMPLE), env: {} }).config;
    expect(example).toEqual(load(''));
  });

  it('documents every key', () => {
    const text = readFileSync(EXAMPLE, 'utf8');
    for (const key of KEYS)
      expect(text, key).toMatch(new RegExp(`^(?:# )?(?:${key} = |\\[${key}\\])`, 'm'));
  });

  it('has no commented key that would not parse', () => {
    const paths = ['tls_cert_file', 'tls_key_file', 'ca_file', 'nats_creds_file', 'prices_file'];
    const text = readFileSync(EXAMPLE, 'utf8')
      .split('\n')
      .filter((line) => !paths.some((key) => line.startsWith(`# ${key} =`)))
      .filter((line) => !line.includes('file:/run'))
      .map((line) => line.replace(/^# (\w+ = ["[].*)$/, '$1'))
      .join('\n');
    const config = load(text, { OPENAI_API_KEY: 'sk-x' });
    expect(config.natsUrl).toBe('nats://nats.internal:4222');
    expect(config.signingKeys.get(7)).toHaveLength(32);
    expect(config.providers).toEqual([
      {
        name: 'vllm',
        authority: 'http://vllm.internal:8000',
        dialect: 'openai',
        authScheme: 'bearer',
        streamUsage: 'ask',
        wires: ['openai-chat'],
      },
      { name: 'ollama', wires: ['ollama'] },
    ]);
  });
});

describe('where values come from', () => {
  it('a variable wins over the file, and the file over the default', () => {
    const text = 'max_in_flight = 5\nidle_timeout_secs = 0.25\n';
    expect(load(text).maxInFlight).toBe(5);
    expect(load(text).idleTimeoutMs).toBe(250);
    expect(load(text, { AI_MAX_IN_FLIGHT: '9' }).maxInFlight).toBe(9);
    expect(load('').workers).toBe(availableParallelism());
    expect(load('', { AI_ACCESS_LOG: 'true' }).accessLog).toBe(true);
  });

  it('values may be references to the environment and to files', () => {
    const secret = join(folder, 'secret');
    writeFileSync(secret, 'sk-from-file\n');
    const text = `[pool_keys]\nopenai = ["\${FIRST}", "file:${secret}"]\n`;
    const keys = load(text, { FIRST: 'sk-from-env', AI_POOL_KEY_GROQ: 'gsk-a' }).poolKeys;
    expect(keys.get('openai')?.map((key) => key.reveal())).toEqual(['sk-from-env', 'sk-from-file']);
    expect(keys.get('groq')?.map((key) => key.reveal())).toEqual(['gsk-a']);
  });

  it('sizes may have units', () => {
    expect(load('max_request_body_bytes = "2MiB"').maxRequestBodyBytes).toBe(2 * 1_048_576);
    expect(load('max_request_body_bytes = 0').maxRequestBodyBytes).toBe(0);
  });
});

describe('what is wrong is said', () => {
  const BAD: readonly (readonly [text: string, key: string, said: RegExp])[] = [
    ['listen = 5', 'listen', /host:port/],
    ['listen = "x:99999"', 'listen', /port from 0 to 65535/],
    ['workers = 0', 'workers', /1 to 1024/],
    ['max_inflight = 1', 'max_inflight', /max_in_flight/],
    ['idle_timeout_secs = -1', 'idle_timeout_secs', /seconds/],
    ['max_request_body_bytes = "1 parsec"', 'max_request_body_bytes', /KiB/],
    ['log_level = "loud"', 'log_level', /"debug"/],
    ['tls_cert_file = "/nowhere.pem"', 'tls_cert_file', /tls_key_file/],
    ['[provider_authorities]\nx = "ftp://a"', 'provider_authorities.x', /host:port/],
    ['[provider_authorities]\nv1 = "a:1"', 'provider_authorities.v1', /provider name/],
    ['[provider_dialects]\nnobody = "openai"', 'provider_dialects.nobody', /provider_authorities/],
    ['[provider_stream_usage]\nopenai = "no"', 'provider_stream_usage.openai', /"ask" or "sent"/],
    ['[provider_stream_usage]\nopnai = "ask"', 'provider_stream_usage.opnai', /openai/],
    ['[provider_wires]\nxai = ["openai-responses"]', 'provider_wires.xai', /"openai-chat"/],
    [
      '[provider_wires]\nxai = ["gemini", "ollama"]',
      'provider_wires.xai',
      /one of these two alone/,
    ],
    ['[provider_wires]\nxai = []', 'provider_wires.xai', /"openai-chat"/],
    ['[provider_wires]\nxai = "openai-chat"', 'provider_wires.xai', /\["openai-chat"\]/],
    ['[provider_wires]\nopnai = ["openai-chat"]', 'provider_wires.opnai', /openai/],
    ['[provider_wires]\nanthropic = ["openai-chat"]', 'provider_wires.anthropic', /dialect/],
    ['[pool_keys]\nopnai = "k"', 'pool_keys.opnai', /openai/],
    ['[signing_keys]\n7 = "short"', 'signing_keys.7', /32 bytes in base64/],
    [
      '[pool_keys]\nx = "k"\n[provider_authorities]\nx = "http://h:1"\n[provider_auth_schemes]\nx = "none"',
      'pool_keys.x',
      /another scheme for it/,
    ],
    ['cors_origins = ["https://app.example/"]', 'cors_origins', /as browsers write it/],
    ['cors_origins = ["https://App.example:443"]', 'cors_origins', /as browsers write it/],
    ['managed_prefixes = ["/v1/"]', 'managed_prefixes', /no trailing slash/],
    ['managed_prefixes = ["/../x"]', 'managed_prefixes', /path prefix/],
    ['managed_endpoints = ["/a;b"]', 'managed_endpoints', /path suffix/],
    [`[signing_keys]\n7 = "${'A'.repeat(43)}="`, 'signing_keys.7', /weak/],
    [`[signing_keys]\n7 = "${'_'.repeat(42)}8"`, 'signing_keys.7', /not a point/],
    [
      '[signing_keys]\n007 = "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w="',
      'signing_keys.007',
      /leading zeros/,
    ],
    ['[pool_keys]\nopenai = "${NOT_SET}"', 'pool_keys.openai', /NOT_SET/],
    ['[pool_keys]\nopenai = "file:/nowhere"', 'pool_keys.openai', /readable file/],
    ['this is not toml', 'line 1', /./],
  ];
  it.each(BAD)('%s', (text, key, said) => {
    const message = problems(text);
    expect(message).toContain(folder);
    expect(message).toContain(key);
    expect(message).toMatch(said);
    expect(message).toMatch(/: found .+, expected /);
  });

  it('all at once, and a variable that is no key as well', () => {
    const message = problems('listen = 5\nworkers = "x"\n', { AI_MAX_INFLIGHT: '3' });
    expect(message.split('\n')).toHaveLength(3);
    expect(message).toContain('AI_MAX_INFLIGHT');
  });
});

describe('secrets', () => {
  it('are in no print of a configuration and in no problem', () => {
    const secret = 'sk-verysecretverysecret';
    const text = `[pool_keys]\nopenai = "${secret}"\n`;
    const config = load(text);
    const printed = [
      printConfig(config),
      JSON.stringify(config),
      inspect(config, { depth: 9 }),
      String(config.poolKeys),
    ];
    const complaint = problems(
      `workers = "x"\n[pool_keys]\nopenai = ["${secret} "]\nnobody = "${secret}"\n`,
    );
    for (const output of [...printed, complaint]) expect(output).not.toContain(secret);
    expect(printConfig(config)).toContain('***');
  });

  it('survive the way to a worker', () => {
    const { document } = loadConfig({ path: file('[pool_keys]\nopenai = "sk-a"\n'), env: {} });
    const config = configFromDocument(structuredClone(document));
    expect(config.poolKeys.get('openai')?.[0]?.reveal()).toBe('sk-a');
  });
});

it('what is printed is a configuration of the same meaning', () => {
  const text =
    'max_in_flight = 3\naccess_log = true\n[provider_authorities]\nlocal = "http://127.0.0.1:1"\n';
  const config = load(text);
  expect(load(printConfig(config))).toEqual(config);
});

describe('what is known of a model', () => {
  it('is read as it is written, and what is not written is not known', () => {
    const { routing } = load('[models."openai/gpt-4o"]\ncontext_tokens = 128000\nimages = false\n');
    expect(routing.models.get('openai/gpt-4o')).toEqual({
      contextTokens: 128_000,
      maxOutputTokens: null,
      images: false,
      tools: null,
      jsonSchema: null,
      audio: null,
      continuesPrefix: null,
      tokensPerByte: null,
    });
  });

  it('is of a provider of this configuration', () => {
    expect(problems('[models."nobody/x"]\n')).toMatch(
      /models\.nobody\/x: found the name "nobody\/x".*provider\/model with a provider/,
    );
    expect(problems('[models]\nplain = { tools = true }\n')).toMatch(/found the name "plain"/);
    expect(load('[models."grok/grok-4"]\n').routing.models.size).toBe(1);
  });

  it('a misspelt key is told with the nearest one of a model', () => {
    expect(problems('[models."openai/x"]\ncontext_token = 1\n')).toMatch(
      /context_token.*context_tokens \(nearest\)/,
    );
    expect(problems('[models."openai/x"]\ncontext_tokens = 0\n')).toMatch(/a whole number from 1/);
  });
});

describe('stream_safety', () => {
  it('is one of three, and says which', () => {
    const route = (safety: string): string =>
      `[routes.chat]\ntargets = ["openai/a"]\nstream_safety = "${safety}"\n`;
    expect(problems(route('again'))).toContain('routes.chat.stream_safety');
    expect(problems(route('again'))).toContain('"relay", "hold", "resume"');
    expect(load(route('resume')).routing.routes.get('chat')?.streamSafety).toBe('resume');
    expect(load(route('hold')).routing.routes.get('chat')?.streamSafety).toBe('hold');
  });
});

describe('what a route says of conversations and money', () => {
  const route = (line: string) => `[routes.chat]\ntargets = ["openai/a"]\n${line}\n`;
  const read = (line: string) => load(route(line)).routing.routes.get('chat');

  it('is auto and no limit where nothing is said', () => {
    expect([read('')?.affinity, read('')?.maxCostPico]).toEqual(['auto', 0]);
  });

  it('is read, fields in lower case and USD as whole pico-dollars', () => {
    expect(read('affinity = "off"')?.affinity).toBe('off');
    expect(read('affinity = "header:X-My-App"')?.affinity).toBe('header:x-my-app');
    expect(read('max_cost_usd = 0.1')?.maxCostPico).toBe(100_000_000_000);
    expect(read('max_cost_usd = 0.000001')?.maxCostPico).toBe(1_000_000);
  });

  it.each([
    'affinity = "on"',
    'affinity = "header:"',
    'affinity = "header:a b"',
    'affinity = 1',
    'max_cost_usd = -1',
    'max_cost_usd = 1001',
    'max_cost_usd = "0.1"',
  ])('%s is refused', (line) => {
    expect(problems(route(line))).toMatch(/routes\.chat\.(?:affinity|max_cost_usd): found/);
  });

  it('is told with the nearest key of a route where it is misspelt', () => {
    expect(problems(route('max_costs_usd = 1'))).toMatch(/max_cost_usd \(nearest\)/);
    expect(problems(route('fallback = ["groq/b"]'))).toMatch(/fallback.* \(nearest\)/);
  });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ConfigError, type ConfigProblem, loadConfig } from '../../../src/config/config.ts';
import type { Config } from '../../../src/config/config-document.ts';
import { printConfig } from '../../../src/config/config-print.ts';
import { selfSigned } from '../../support/tls.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-egress-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const place = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const load = (text: string, env: Record<string, string> = {}): Config =>
  loadConfig({ path: place('config.toml', text), env }).config;
const problemsOf = (text: string, env: Record<string, string> = {}): readonly ConfigProblem[] => {
  try {
    load(text, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('It was accepted.');
};
const pair = selfSigned(['a.test']);
const other = selfSigned(['b.test']);
const cert = place('cert.pem', pair.cert);
const key = place('key.pem', pair.key);
const otherKey = place('other.pem', other.key);

describe("a provider's own table", () => {
  it('takes the place of what is said for all, key by key', () => {
    const { egress } = load(
      `idle_timeout_secs = 5\nca_file = "${cert}"\nmax_provider_connections = 9\n[providers.groq]\n` +
        `idle_timeout_secs = 7\nca_file = "${cert}"\nclient_cert_file = "${cert}"\nclient_key_file = "${key}"\n`,
    );
    expect(egress.get('openai')).toMatchObject({ idleTimeoutMs: 5_000, caFiles: [cert] });
    expect(egress.get('groq')).toMatchObject({
      idleTimeoutMs: 7_000,
      firstByteTimeoutMs: 600_000,
      maxProviderConnections: 9,
      caFiles: [cert, cert],
      clientCertFile: cert,
      clientKeyFile: key,
      transport: 'h1',
    });
  });

  it('takes references, and undici when a proxy or HTTP/2 wants it', () => {
    const { egress } = load(
      '[providers]\ngroq.proxy_url = "${PROXY}"\nxai.http2 = true\nmistral.transport = "undici"\n',
      { PROXY: 'http://u:secret@p.test:1' },
    );
    expect(egress.get('groq')).toMatchObject({ transport: 'undici', proxy: { host: 'p.test' } });
    expect(egress.get('xai')).toMatchObject({ transport: 'undici', http2: true, proxy: null });
    expect(egress.get('mistral')).toMatchObject({ transport: 'undici', http2: false });
    expect(egress.get('openai')).toMatchObject({ transport: 'h1' });
  });

  it.each([
    ['[providers.nobody]\nhttp2 = true', 'providers.nobody', 'the unknown provider "nobody"'],
    ['[providers.groq]\nproxy = "x"', 'providers.groq.proxy', 'an unknown key'],
    ['[providers.groq]\nproxy_url = "socks5://u:hush@p"', 'providers.groq.proxy_url', '***'],
    ['[providers.groq]\nhttp2 = "yes"', 'providers.groq.http2', '"yes"'],
    ['[providers]\ngroq = 5', 'providers.groq', '5'],
    [
      `[providers.groq]\nclient_cert_file = "${cert}"`,
      'providers.groq.client_cert_file',
      `"${cert}"`,
    ],
    [
      `[providers.groq]\nclient_cert_file = "${cert}"\nclient_key_file = "${otherKey}"`,
      'providers.groq.client_key_file',
      `"${otherKey}"`,
    ],
    [`[providers.groq]\nca_file = "${key}"`, 'providers.groq.ca_file', `"${key}"`],
    [
      '[providers.groq]\nca_file = "/nowhere.pem"',
      'providers.groq.ca_file',
      '"/nowhere.pem" (no such file)',
    ],
    [
      '[providers.v]\nhttp2 = true\n[provider_authorities]\nv = "http://v.test:80"',
      'providers.v.http2',
      'true',
    ],
  ])('%s is refused with file, key and found', (text, at, found) => {
    expect(problemsOf(text)).toEqual([
      expect.objectContaining({ file: join(folder, 'config.toml'), key: at, found }),
    ]);
  });

  it('is printed as it reads back, the password of a proxy masked', () => {
    const config = load('[providers.groq]\nproxy_url = "http://u:hush@p.test:1"\nhttp2 = true\n');
    const text = printConfig(config);
    expect(text).toContain('[providers.groq]');
    expect(text).toContain('proxy_url = "http://***@p.test:1"');
    expect(text).not.toContain('hush');
    expect(load(text).egress.get('groq')?.proxy).toMatchObject({ host: 'p.test', port: 1 });
  });
});

describe('the variables of proxies', () => {
  it.each([
    [{ HTTPS_PROXY: 'socks5://u:hush@p.test' }, 'HTTPS_PROXY', 'a SOCKS proxy'],
    [{ http_proxy: 'http://u:hush@p.test/path' }, 'http_proxy', '***'],
  ])('%o stops the start, and shows no password', (env, at, found) => {
    expect(problemsOf('', env)).toEqual([
      expect.objectContaining({ file: 'environment', key: at, found }),
    ]);
  });
});

import { createECDH, createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError, type ConfigProblem, loadConfig } from '../../../src/config/config.ts';
import { PROVIDERS_MAX, providerTable } from '../../../src/providers/providers.ts';

/** Self-signed over the P-256 key whose scalar is 32 bytes of 0x01, so that no private key lies here. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBgjCCASmgAwIBAgIUSprbpVhshw9SohSh/s6ilykK1UkwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLc2x1aWNlLXRlc3QwIBcNMjYxMTIxMDQxMTE0WhgPMjEyNjEw
MjgwNDExMTRaMBYxFDASBgNVBAMMC3NsdWljZS10ZXN0MFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEb/A7lJJBzh2t1DUZ5pYOCoW0GmmgXDKBA6orzhWUyhY8T3U6
Vb8B3FP2wLDH7ueLQMb/fSWpbiKCuYnO9xwUSqNTMFEwHQYDVR0OBBYEFC4GLHlm
XnzSwy5GG3xXwywA9BQwMB8GA1UdIwQYMBaAFC4GLHlmXnzSwy5GG3xXwywA9BQw
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgCF4V3oUIPoFmSG9X
Wd/9eAr4vYotWx4FQBiDbuo1NV8CIGrZ+mBW1DPwlb1CTole9MwfZfccbp0Rq2+g
igl8VKGV
-----END CERTIFICATE-----
`;
const folder = mkdtempSync(join(tmpdir(), 'sluice-checks-'));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function certificateKey(): string {
  const scalar = Buffer.alloc(32, 1);
  const curve = createECDH('prime256v1');
  curve.setPrivateKey(scalar);
  const point = curve.getPublicKey();
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((half) =>
    half.toString('base64url'),
  );
  const jwk = { kty: 'EC', crv: 'P-256', d: scalar.toString('base64url'), x: x ?? '', y: y ?? '' };
  return pem(createPrivateKey({ key: jwk, format: 'jwk' }));
}

function pem(key: ReturnType<typeof createPrivateKey>): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function problemsOf(env: Record<string, string>): readonly ConfigProblem[] {
  try {
    loadConfig({ path: file('empty.toml', ''), env });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

const cert = file('cert.pem', CERTIFICATE);
const key = file('key.pem', certificateKey());
const otherKey = file(
  'other.pem',
  pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
);
const garbage = file('garbage.pem', 'not PEM');

describe('files that keys name', () => {
  it('a certificate with its own key is accepted', () => {
    expect(problemsOf({ AI_TLS_CERT_FILE: cert, AI_TLS_KEY_FILE: key, AI_CA_FILE: cert })).toEqual(
      [],
    );
  });

  it.each([
    [
      'AI_TLS_KEY_FILE',
      'private key of the first',
      { AI_TLS_CERT_FILE: cert, AI_TLS_KEY_FILE: otherKey },
    ],
    ['AI_TLS_KEY_FILE', 'PEM private key', { AI_TLS_CERT_FILE: cert, AI_TLS_KEY_FILE: garbage }],
    ['AI_TLS_CERT_FILE', 'PEM certificates', { AI_TLS_CERT_FILE: garbage, AI_TLS_KEY_FILE: key }],
    ['AI_TLS_CERT_FILE', 'tls_key_file beside it', { AI_TLS_CERT_FILE: cert }],
    ['AI_TLS_KEY_FILE', 'tls_cert_file beside it', { AI_TLS_KEY_FILE: key }],
    ['AI_CA_FILE', 'PEM certificates', { AI_CA_FILE: garbage }],
    ['AI_CA_FILE', 'readable file', { AI_CA_FILE: folder }],
    ['AI_NATS_CREDS_FILE', 'readable file', { AI_NATS_CREDS_FILE: join(folder, 'absent') }],
  ])('%s is refused when it is not: %s', (name, expected, env: Record<string, string>) => {
    const problems = problemsOf(env);
    expect(problems.map(({ file, key }) => [file, key])).toEqual([['environment', name]]);
    expect(problems[0]?.expected).toContain(expected);
  });
});

it.each([
  ['127.0.0.1:9090', 1],
  ['0.0.0.0:9090', 1],
  ['127.0.0.2:9090', 0],
  ['127.0.0.1:0', 0],
])('a client listener on %s collides with metrics %i times', (listen, count) => {
  expect(problemsOf({ AI_LISTEN: listen })).toHaveLength(count);
});

describe('the number of providers', () => {
  const problems = (added: number): readonly ConfigProblem[] => {
    const rows = Array.from({ length: added }, (_, at) => `p${at} = "http://127.0.0.1:1"\n`);
    try {
      loadConfig({ path: file('many.toml', `[provider_authorities]\n${rows.join('')}`), env: {} });
      return [];
    } catch (error) {
      if (error instanceof ConfigError) return error.problems;
      throw error;
    }
  };

  // Metrics have room for so many: one more would have been counted as something else.
  it('is bounded, the built-in ones included', () => {
    const builtIn = providerTable([]).length;
    expect(problems(PROVIDERS_MAX - builtIn)).toEqual([]);
    expect(problems(PROVIDERS_MAX - builtIn + 1)).toMatchObject([
      { key: 'provider_authorities', found: `${PROVIDERS_MAX + 1} providers` },
    ]);
  });
});

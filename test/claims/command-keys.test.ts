import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sluice as run } from '../support/gateway.ts';
import { keepSecret } from '../support/secrets.ts';

const cwd = mkdtempSync(join(tmpdir(), 'sluice-keys-'));

const sluice = (
  argv: readonly string[],
  how: { readonly env?: Record<string, string>; readonly input?: string } = {},
) => run(argv, { ...how, cwd });

/** Makes a key, pastes what keygen printed into a config, and mints with it. */
function issued(kid: number, ...claims: readonly string[]) {
  const made = sluice(['keygen', '--kid', String(kid)]);
  const config = join(cwd, `${kid}.toml`);
  writeFileSync(config, made.stdout);
  const minted = sluice(['mint', '--secret', `signing-${kid}.secret`, ...claims]);
  return { made, config, minted, token: keepSecret(minted.stdout.trim()) };
}

describe('sluice keygen', () => {
  it('writes the secret to a file of its own, and prints the configuration without it', () => {
    const { status, stdout, stderr } = sluice(['keygen', '--kid', '1']);
    const secret = readFileSync(join(cwd, 'signing-1.secret'), 'utf8');
    expect(status).toBe(0);
    expect(statSync(join(cwd, 'signing-1.secret')).mode & 0o777).toBe(0o600);
    expect(secret).toMatch(/^1:[A-Za-z0-9+/]{43}=\n$/);
    expect(stdout).toMatch(/^\[signing_keys\]\n1 = "[A-Za-z0-9+/]{43}="\n$/);
    expect(stdout + stderr).not.toContain(secret.slice(2, 20));
    expect(stderr).toContain('signing-1.secret');
  });

  it('never overwrites a secret', () => {
    sluice(['keygen', '--kid', '2']);
    const before = readFileSync(join(cwd, 'signing-2.secret'), 'utf8');
    const { status, stdout, stderr } = sluice(['keygen', '--kid', '2']);
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/exists/);
    expect(readFileSync(join(cwd, 'signing-2.secret'), 'utf8')).toBe(before);
  });

  it.each([
    [[]],
    [['--kid', '01']],
    [['--kid', '-1']],
    [['--kid', '4294967296']],
  ])('says in one line what is wrong with %j', (argv) => {
    const { status, stderr } = sluice(['keygen', ...argv]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^sluice: .*--kid.*\n$/);
  });
});

describe('sluice mint', () => {
  it('prints the key alone, and the same one every time', () => {
    const { minted, token } = issued(3, '--tenant', '42', '--vpc', '99');
    expect(minted.status).toBe(0);
    expect(minted.stdout).toMatch(/^bai_v1\.3\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{86}\n$/);
    const secret = readFileSync(join(cwd, 'signing-3.secret'), 'utf8');
    const env = { SLUICE_SIGNING_SECRET: secret };
    expect(sluice(['mint', '--tenant', '42', '--vpc', '99'], { env }).stdout.trim()).toBe(token);
    expect(minted.stderr).toContain('OPENAI_BASE_URL');
  });

  it.each([
    [['--vpc', '1'], /--tenant/],
    [['--tenant', '1'], /--vpc/],
    [['--tenant', '18446744073709551616', '--vpc', '1'], /--tenant/],
    [['--tenant', '1', '--vpc', '1', '--class', 'agent'], /--class needs --key/],
    [
      ['--tenant', '1', '--vpc', '1', '--key', '1', '--class', 'Agent'],
      /developer, application, agent/,
    ],
    [['--tenant', '1', '--vpc', '1'], /sluice keygen/],
    [['--tenant', '1', '--vpc', '1', '--secret', 'nowhere'], /nowhere \(ENOENT\)/],
    [['--tenant', '1', '--vpc', '1', '--secret', '3.toml'], /3\.toml holds no signing secret/],
  ])('says in one line what is wrong with %j', (argv, said) => {
    const { status, stdout, stderr } = sluice(['mint', ...argv]);
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(said);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});

describe('a secret in the wrong place', () => {
  it('is not repeated', () => {
    sluice(['keygen', '--kid', '9']);
    const secret = readFileSync(join(cwd, 'signing-9.secret'), 'utf8').trim();
    keepSecret(secret.slice(2));
    const claims = ['--tenant', '1', '--vpc', '1'];
    for (const argv of [['--secret', secret], ['--secret', `${secret}/x`], [secret]]) {
      const minted = run(['mint', ...claims, ...argv], { cwd });
      expect([minted.status, minted.stdout]).toEqual([1, '']);
      expect(minted.stderr).not.toContain(secret.slice(2, 20));
    }
    expect(run(['keygen', secret], { cwd }).stderr).not.toContain(secret.slice(2, 20));
  });
});

describe('sluice inspect', () => {
  it('says what a key holds, and that the configuration verifies it', () => {
    const { config, token } = issued(
      4,
      '--tenant',
      '18446744073709551615',
      '--vpc',
      '7',
      '--key',
      '5',
    );
    const { status, stdout } = sluice(['inspect', token, '--config', config]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^version +bai_v2$/m);
    expect(stdout).toMatch(/^kid +4$/m);
    expect(stdout).toMatch(/^tenant +18446744073709551615$/m);
    expect(stdout).toMatch(/^vpc +7$/m);
    expect(stdout).toMatch(/^key +5$/m);
    expect(stdout).toMatch(/^verifies +yes$/m);
    expect(stdout).not.toContain(token.slice(-40));
    const piped = sluice(['inspect', '-', '--config', config], { input: `${token}\n` });
    expect(piped.stdout).toBe(stdout);
  });

  it('says of which class a key is', () => {
    const own = issued(7, '--tenant', '1', '--vpc', '1', '--key', '2', '--class', 'agent');
    expect(own.token).toMatch(/^bai_v3\.7\.[A-Za-z0-9_-]{43}\.[A-Za-z0-9_-]{86}$/);
    const { status, stdout } = sluice(['inspect', own.token, '--config', own.config]);
    expect([status, /^class +(.*)$/m.exec(stdout)?.[1]]).toEqual([0, 'agent']);
    const none = issued(8, '--tenant', '1', '--vpc', '1');
    const said = sluice(['inspect', none.token, '--config', none.config]).stdout;
    expect(/^class +(.*)$/m.exec(said)?.[1]).toBe('application (bai_v1 says none)');
  });

  it('says why a key does not verify', () => {
    const { config, token } = issued(5, '--tenant', '1', '--vpc', '1');
    const other = issued(6, '--tenant', '1', '--vpc', '1');
    const verdict = (text: string, file = config) => {
      const { status, stdout } = sluice(['inspect', text, '--config', file]);
      return `${status} ${/^verifies +(.*)$/m.exec(stdout)?.[1]}`;
    };
    expect(verdict(other.token)).toMatch(/^1 no: kid 6 is not in \[signing_keys\], which has 5$/);
    expect(verdict(other.token.replace('.6.', '.5.'))).toMatch(/^1 no: it was not signed/);
    expect(verdict(token.slice(0, -3))).toMatch(/^1 no: malformed: its signature has 83/);
    expect(verdict(token.replace('.5.', '.05.'))).toMatch(/^1 no: malformed: its kid/);
    expect(verdict('sk-proj-1')).toMatch(/^1 no: malformed: it does not begin with/);
    expect(verdict(`${token.slice(0, -1)}h`)).toMatch(/^1 no: malformed: it is not canonical/);
  });
});

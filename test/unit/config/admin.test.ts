import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { adminTokenTable } from '../../../src/command/admin-token.ts';
import { loadConfig } from '../../../src/config/config.ts';
import { printConfig } from '../../../src/config/config-print.ts';
import { adminTokenHash, newAdminToken } from '../../../src/console/admin-token.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-admin-'));

function load(text: string, env = {}) {
  const path = join(folder, 'config.toml');
  writeFileSync(path, text);
  return loadConfig({ env, path });
}

const HASH = 'ab'.repeat(32);
const TOKEN = `[admin.tokens.alice]\nhash = "sha256:${HASH}"\nrole = "operator"\n`;
const OIDC = `issuer = "https://id.example/realms/ai"\nclient_id = "sluice"\n`;
const ROLES = `[admin.oidc.roles]\n"ai-admins" = "owner"\n`;
const ORIGIN = `[admin]\norigin = "https://sluice.example"\n`;

describe('[admin]', () => {
  test('is off where nobody is named', () => {
    expect(load('').config.admin).toBeNull();
    expect(load('[admin]\norigin = "https://sluice.example"\n').config.admin).toBeNull();
  });

  test('takes what the command prints, whatever the name, and the hash of that very token', () => {
    const token = newAdminToken();
    const { config } = load(
      `${adminTokenTable('a.b@c', token, 'owner', ['7'])}${adminTokenTable('bob', token, 'viewer', [])}`,
    );
    const hash = adminTokenHash(token).toString('hex');
    expect(config.admin?.tokens).toEqual([
      { name: 'a.b@c', hash, role: 'owner', tenants: ['7'] },
      { name: 'bob', hash, role: 'viewer', tenants: null },
    ]);
    expect(printConfig(config)).not.toContain(token);
  });

  test.each([
    [
      '[admin.tokens.alice]\nhash = "sha256:AB"\nrole = "owner"\n',
      /admin\.tokens\.alice\.hash: .*64/,
    ],
    [`[admin.tokens.alice]\nhash = "sha256:${HASH}"\nrole = "root"\n`, /role: found "root"/],
    [`${TOKEN}tenants = []\n`, /tenants: .*at least one tenant/],
    [`${TOKEN}tenants = ["-1"]\n`, /tenants/],
    [`${TOKEN}rolle = "owner"\n`, /found an unknown key, expected role \(nearest\)/],
    [`[admin.tokens."a b"]\nhash = "sha256:${HASH}"\nrole = "owner"\n`, /letters, digits/],
    [`[admin]\ntoken = 1\n`, /expected tokens \(nearest\)/],
    [`[admin]\norigin = "https://sluice.example/"\n${TOKEN}`, /admin\.origin: .*no path/],
    [`[admin.oidc]\n${OIDC}${ROLES}`, /admin\.origin: .*sends people back/],
    [`${ORIGIN}[admin.oidc]\n${OIDC}`, /roles/],
    [
      `${ORIGIN}[admin.oidc]\nissuer = "http://id.example"\nclient_id = "x"\n${ROLES}`,
      /admin\.oidc\.issuer: .*only of this machine/,
    ],
    ['admin = 7\n', /admin: found 7, expected a table like \[admin\]/],
  ])('that says %j is refused with its key', (text, problem) => {
    expect(() => load(text)).toThrow(problem);
  });

  test('is printed as it reads back, without the secret that it has by reference', () => {
    const text = `${ORIGIN}${TOKEN}[admin.oidc]\n${OIDC}client_secret = "\${OIDC_SECRET}"\n${ROLES}`;
    const { config } = load(text, { OIDC_SECRET: 'hunter2-hunter2' });
    expect(config.admin?.oidc?.clientSecret?.reveal()).toBe('hunter2-hunter2');
    const printed = printConfig(config);
    expect(printed).not.toContain('hunter2');
    const again = load(printed).config.admin;
    expect({ ...again, oidc: null }).toEqual({ ...config.admin, oidc: null });
    expect(again?.oidc?.roles).toEqual(new Map([['ai-admins', 'owner']]));
  });

  test('quotes no secret in a problem', () => {
    const text = `${ORIGIN}[admin.oidc]\n${OIDC}client_secret = ["hunter2-hunter2"]\n${ROLES}`;
    expect(() => load(text)).toThrow(/client_secret: found (?!.*hunter2)/);
  });
});

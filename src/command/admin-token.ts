import { parseArgs } from 'node:util';
import { adminTokenHash, newAdminToken } from '../console/admin-token.ts';
import { ROLES, type Role } from '../console/operation.ts';
import { readId } from '../keys/signing-secret.ts';

const U64_MAX = 2n ** 64n - 1n;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;

/** Text of `sluice admin-token --help`. */
export const ADMIN_TOKEN_HELP = `sluice admin-token NAME [--role ROLE] [--tenant N]...

Makes a token for the admin API and the dashboard. It is printed this one time; the table behind it goes into config.toml, and
holds nothing that somebody could sign in with.

  NAME          who it is for: every change that is made with it is written down under this name
  --role ROLE   viewer (the default) sees, operator also changes keys, tenants and routes, owner everything
  --tenant N    holds it to what is this tenant's; can be said several times`;

/**
 * `sluice admin-token`: stdout gets the token, an empty line and the table.
 * @returns the exit code
 * @throws Error with one line that says what to do
 */
export function adminToken(argv: readonly string[]): number {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: { role: { type: 'string' }, tenant: { type: 'string', multiple: true } },
    allowPositionals: true,
  });
  const [name, ...further] = positionals;
  if (name === undefined || further.length > 0 || !NAME.test(name))
    throw new Error(
      'admin-token takes one NAME of letters, digits and ._@-, 64 characters at most.',
    );
  const role = roleOf(values.role ?? 'viewer');
  const tenants = (values.tenant ?? []).map((id) => String(readId('--tenant', id, U64_MAX)));
  const token = newAdminToken();
  process.stdout.write(`${token}\n\n${adminTokenTable(name, token, role, tenants)}`);
  process.stderr.write(`
The first line is the token: give it to ${name}, it is not kept anywhere. The table goes into config.toml; a running gateway
takes it within seconds. The dashboard is at the address of metrics_listen.
`);
  return 0;
}

/** The table that lets this token in, as TOML. @param tenants none: all of them */
export function adminTokenTable(
  name: string,
  token: string,
  role: Role,
  tenants: readonly string[],
): string {
  const key = /^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name);
  const held = tenants.length === 0 ? '' : `tenants = ${JSON.stringify(tenants)}\n`;
  const hash = adminTokenHash(token).toString('hex');
  return `[admin.tokens.${key}]\nhash = "sha256:${hash}"\nrole = "${role}"\n${held}`;
}

function roleOf(text: string): Role {
  const role = ROLES.find((known) => known === text);
  if (role === undefined) throw new Error(`--role takes one of ${ROLES.join(', ')}.`);
  return role;
}

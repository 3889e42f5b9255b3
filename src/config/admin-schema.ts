/** The `[admin]` table: the file's alone, nothing that is made at run time can say who may do what. */

import { z } from 'zod';
import type { AdminSettings } from '../console/admin-settings.ts';
import { ROLES, type Role } from '../console/operation.ts';

/** People and programs with a token of their own. Each is compared with what a caller shows. */
const TOKENS_MAX = 256;
/** Tenants of one token. */
const TENANTS_MAX = 1_000;
/** Groups that give a role. */
const GROUPS_MAX = 256;

function table(like: string) {
  return {
    error: (issue: { readonly code: string }) =>
      issue.code === 'invalid_type' ? `a table like ${like}` : undefined,
  };
}

function words(max: number) {
  const error = `a text of 1 to ${max} characters`;
  return z.string({ error }).min(1, { error }).max(max, { error });
}

function role() {
  return z.enum(ROLES, { error: ROLES.map((name) => `"${name}"`).join(', ') });
}

function hash() {
  const error =
    '"sha256:" and 64 digits of lower case hex, as "sluice admin-token NAME" prints them';
  return z
    .string({ error })
    .regex(/^sha256:[0-9a-f]{64}$/, { error })
    .transform((text) => text.slice('sha256:'.length));
}

function tenants() {
  const error = 'a list of tenant ids, like ["7", "8"]';
  const id = z.union([z.int({ error }).min(0, { error }), z.string({ error })], { error });
  return z
    .array(
      id.transform(String).refine((text) => /^(?:0|[1-9]\d{0,19})$/.test(text), { error }),
      { error },
    )
    .min(1, { error: 'at least one tenant; without this line the token sees all' })
    .max(TENANTS_MAX, { error: `at most ${TENANTS_MAX} tenants` })
    .nullable()
    .prefault(null);
}

const TOKEN = z.strictObject(
  { hash: hash(), role: role(), tenants: tenants() },
  table('[admin.tokens.NAME]'),
);

/** Written into audit lines and shown: nothing that a line could be broken with. */
const TOKEN_NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;

function tokens() {
  return z
    .record(z.string(), TOKEN, { error: 'a table like [admin.tokens.NAME]' })
    .prefault({})
    .superRefine((rows, context) => {
      const names = Object.keys(rows);
      if (names.length > TOKENS_MAX)
        context.addIssue({ code: 'custom', message: `at most ${TOKENS_MAX} tokens` });
      for (const name of names) {
        if (TOKEN_NAME.test(name)) continue;
        const message = 'a name of letters, digits and ._@-, 64 characters at most';
        context.addIssue({ code: 'custom', path: [name], message });
      }
    })
    .transform((rows) => Object.entries(rows).map(([name, row]) => ({ name, ...row })));
}

/** As a browser says it of itself (`Origin`): compared whole. */
function origin() {
  const error = 'an origin as browsers write it: "https://sluice.example", no path';
  return z
    .string({ error })
    .refine((text) => /^https?:/.test(text) && URL.parse(text)?.origin === text, { error })
    .nullable()
    .prefault(null);
}

const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Who signs in is told by what comes from there: over TLS, or from this machine. */
function issuer() {
  const error = 'the https:// URL of an OpenID provider; http:// only of this machine';
  return z.string({ error }).refine(
    (text) => {
      const url = URL.parse(text);
      if (url === null || url.search !== '' || url.hash !== '' || url.username !== '') return false;
      return url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.has(url.hostname));
    },
    { error },
  );
}

const OIDC_TABLE = z.strictObject(
  {
    issuer: issuer(),
    client_id: words(256),
    client_secret: words(1_024).nullable().prefault(null),
    scopes: words(512).prefault('openid'),
    roles_claim: words(128).prefault('groups'),
    roles: z
      .record(z.string(), role(), { error: 'a table like { "ai-admins" = "owner" }' })
      .refine((rows) => Object.keys(rows).length > 0, { error: 'at least one group' })
      .refine((rows) => Object.keys(rows).length <= GROUPS_MAX, {
        error: `at most ${GROUPS_MAX} groups`,
      })
      .transform((rows): ReadonlyMap<string, Role> => new Map(Object.entries(rows))),
    tenants_claim: words(128).nullable().prefault(null),
  },
  table('[admin.oidc]'),
);

const OIDC = OIDC_TABLE.nullable()
  .prefault(null)
  .transform((said) => {
    if (said === null) return null;
    return {
      issuer: said.issuer,
      clientId: said.client_id,
      clientSecret: said.client_secret,
      scopes: said.scopes,
      rolesClaim: said.roles_claim,
      roles: said.roles,
      tenantsClaim: said.tenants_claim,
    };
  });

const ADMIN_TABLE = z.strictObject(
  { origin: origin(), tokens: tokens(), oidc: OIDC },
  table('[admin]'),
);

/** The keys of `[admin]`, of its tokens' tables, and of `[admin.oidc]`. */
export const ADMIN_KEYS: readonly string[] = Object.keys(ADMIN_TABLE.shape);
export const ADMIN_TOKEN_KEYS: readonly string[] = Object.keys(TOKEN.shape);
export const OIDC_KEYS: readonly string[] = Object.keys(OIDC_TABLE.shape);

/** Null where it names nobody: the admin API and its dashboard are off. */
export const ADMIN = z
  .preprocess(
    (value) => (value instanceof Map ? Object.fromEntries(value) : value),
    ADMIN_TABLE.prefault({}),
  )
  .transform((said, context): AdminSettings<string> | null => {
    if (said.tokens.length === 0 && said.oidc === null) return null;
    if (said.oidc !== null && said.origin === null)
      context.addIssue({
        code: 'custom',
        path: ['origin'],
        message: 'the origin of the dashboard, to which the OpenID provider sends people back',
      });
    return said;
  });

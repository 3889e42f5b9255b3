/** What `[admin]` says: who may see and change things, and how they show who they are. */

import type { Role } from './operation.ts';

/** One table `[admin.tokens.NAME]`. */
export interface AdminToken {
  readonly name: string;
  /** SHA-256 of the token, lower case hex: the token itself is nowhere. */
  readonly hash: string;
  readonly role: Role;
  /** Those whose usage is told, as decimal ids; null: all. */
  readonly tenants: readonly string[] | null;
}

/** `[admin.oidc]`, its secret in the form that the rest of the configuration has it in. */
export interface OidcSettings<ClientSecret> {
  readonly issuer: string;
  readonly clientId: string;
  /** Null: a public client, which has PKCE alone. */
  readonly clientSecret: ClientSecret | null;
  readonly scopes: string;
  /** The claim of the ID token that says what somebody is: a text, or a list of them. */
  readonly rolesClaim: string;
  /** What that claim may hold, and the role that it gives; whoever holds several has the highest. */
  readonly roles: ReadonlyMap<string, Role>;
  /** A claim with the ids of tenants that somebody is held to; null: nobody is. */
  readonly tenantsClaim: string | null;
}

export interface AdminSettings<ClientSecret> {
  /** As browsers reach the dashboard: `https://sluice.example`; null: as the request says. */
  readonly origin: string | null;
  readonly tokens: readonly AdminToken[];
  readonly oidc: OidcSettings<ClientSecret> | null;
}

/**
 * Sign-in by an OpenID provider: code with PKCE, state, nonce, and an ID token whose signature is checked. Nothing of the
 * provider's is kept from one sign-in to the next, its keys least of all: one that was rotated out opens nothing any more.
 */

import { createHash, randomBytes } from 'node:crypto';
import * as client from 'openid-client';
import type { OidcSettings } from './admin-settings.ts';
import { Problem } from './problem.ts';
import { readByOf, type Via } from './sessions.ts';

/** Sign-ins that have begun and not ended; the oldest makes room. */
export const PENDING_MAX = 256;

/** How long somebody may take at the provider, in milliseconds. */
export const PENDING_MS = 10 * 60_000;

/** How long each answer of the provider may take, in seconds. */
const PROVIDER_SECONDS = 10;

/** By how much the provider's clock may part from ours, in seconds. */
const SKEW_SECONDS = 10;

/** What binds the way back to the browser that set out. */
export const OIDC_COOKIE = 'sluice_oidc';
export const OIDC_COOKIE_SECONDS = PENDING_MS / 1_000;

const CALLBACK = '/oidc/callback';

/** Of one who signs in. */
const GROUPS_MAX = 1_000;

interface Pending {
  /** The hash of the browser's cookie. */
  readonly browser: string;
  readonly verifier: string;
  readonly nonce: string;
  readonly endsMs: number;
}

/** Where to send somebody, and what their browser keeps meanwhile. */
export interface SetOut {
  readonly location: string;
  readonly cookie: string;
}

export type OidcVia = Extract<Via, { readonly kind: 'oidc' }>;

export class OidcSignIn {
  readonly #now: () => number;
  readonly #pending = new Map<string, Pending>();

  /** @param now milliseconds that only rise */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * @param origin of the dashboard, as the provider knows it
   * @throws Problem `unavailable` when the provider does not answer
   */
  async begin(settings: OidcSettings<{ reveal(): string }>, origin: string): Promise<SetOut> {
    const provider = await discovered(settings);
    const verifier = client.randomPKCECodeVerifier();
    const state = client.randomState();
    const nonce = client.randomNonce();
    const cookie = randomBytes(32).toString('base64url');
    for (const [oldest, { endsMs }] of this.#pending) {
      if (this.#pending.size < PENDING_MAX && endsMs > this.#now()) break;
      this.#pending.delete(oldest);
    }
    const endsMs = this.#now() + PENDING_MS;
    this.#pending.set(state, { browser: hashOf(cookie), verifier, nonce, endsMs });
    const location = client.buildAuthorizationUrl(provider, {
      redirect_uri: `${origin}${CALLBACK}`,
      scope: settings.scopes,
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      response_type: 'code',
      state,
      nonce,
    });
    return { location: location.href, cookie };
  }

  /**
   * @param query what the provider sent the browser back with
   * @param cookie what the browser has kept; null: nothing
   * @throws Problem 401 whatever was wrong with it, 503 when the provider does not answer
   */
  async end(
    settings: OidcSettings<{ reveal(): string }>,
    origin: string,
    query: string,
    cookie: string | null,
  ): Promise<OidcVia> {
    const state = new URLSearchParams(query).get('state') ?? '';
    const pending = this.#pending.get(state);
    // Once, whatever comes of it.
    this.#pending.delete(state);
    const isOwn = pending !== undefined && cookie !== null && hashOf(cookie) === pending.browser;
    if (!isOwn || pending.endsMs < this.#now())
      throw new Problem('no_credentials', 'This sign-in has not begun here, or took too long.');
    const provider = await discovered(settings);
    let claims: Readonly<Record<string, unknown>> | undefined;
    try {
      const tokens = await client.authorizationCodeGrant(
        provider,
        new URL(`${origin}${CALLBACK}?${query}`),
        {
          expectedState: state,
          expectedNonce: pending.nonce,
          pkceCodeVerifier: pending.verifier,
          idTokenExpected: true,
        },
      );
      claims = tokens.claims();
    } catch (error) {
      throw new Problem(
        'no_credentials',
        `The OpenID provider’s answer was refused: ${kindOf(error)}.`,
      );
    }
    if (claims === undefined) throw new Problem('no_credentials');
    return viaOf(settings, claims);
  }
}

async function discovered(
  settings: OidcSettings<{ reveal(): string }>,
): Promise<client.Configuration> {
  const { issuer, clientId, clientSecret } = settings;
  const isPlain = issuer.startsWith('http:');
  try {
    return await client.discovery(
      new URL(issuer),
      clientId,
      { [client.clockTolerance]: SKEW_SECONDS },
      clientSecret === null ? client.None() : client.ClientSecretBasic(clientSecret.reveal()),
      {
        timeout: PROVIDER_SECONDS,
        execute: [
          // Its signature is looked at although it came straight from the provider.
          client.enableNonRepudiationChecks,
          ...(isPlain ? [client.allowInsecureRequests] : []),
        ],
      },
    );
  } catch (error) {
    const detail = `The OpenID provider does not answer as one: ${kindOf(error)}.`;
    throw new Problem('unavailable', detail, { retryAfter: 5 });
  }
}

/** What the library says it was, a word or a code: its longer texts quote what was sent. */
function kindOf(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown };
  const said = typeof code === 'string' ? code : String(name);
  return /^[A-Za-z0-9_]{1,64}$/.test(said) ? said : 'unknown';
}

function viaOf(
  settings: OidcSettings<unknown>,
  claims: Readonly<Record<string, unknown>>,
): OidcVia {
  const { issuer, rolesClaim, tenantsClaim } = settings;
  return {
    kind: 'oidc',
    issuer,
    readBy: readByOf(settings),
    name: `oidc:${nameOf(claims)}`,
    groups: textsOf(claims[rolesClaim]),
    tenants: tenantsClaim === null ? null : tenantsOf(textsOf(claims[tenantsClaim])),
  };
}

/**
 * For audit lines: what people know each other by, and behind it what the provider does, which alone nobody chooses for
 * themselves.
 */
function nameOf({ preferred_username, email, sub }: Readonly<Record<string, unknown>>): string {
  const [name = ''] = [preferred_username, email].filter(isPlain);
  const own = isPlain(sub) ? sub : createHash('sha256').update(String(sub)).digest('hex');
  return name === '' || name === own ? own : `${name}/${own}`;
}

function isPlain(claim: unknown): claim is string {
  return typeof claim === 'string' && /^[\x21-\x7e]{1,90}$/.test(claim);
}

function textsOf(claim: unknown): readonly string[] {
  const list = Array.isArray(claim) ? claim : [claim];
  return list
    .filter((one): one is string | number => typeof one === 'string' || typeof one === 'number')
    .slice(0, GROUPS_MAX)
    .map(String);
}

/** `*` is for all of them; whoever has nothing there has no tenant. */
function tenantsOf(said: readonly string[]): readonly string[] | null {
  return said.includes('*') ? null : said.filter((id) => /^(?:0|[1-9]\d{0,19})$/.test(id));
}

function hashOf(cookie: string): string {
  return createHash('sha256').update(cookie).digest('hex');
}

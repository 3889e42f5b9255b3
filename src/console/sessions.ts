/**
 * Who is signed in with a browser. In the thread's memory alone: a restart signs everybody out, and no copy of a cookie opens
 * anything, since only hashes are kept.
 */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { AdminSettings, OidcSettings } from './admin-settings.ts';
import { type Caller, ROLES } from './operation.ts';

/** Sessions at the same time; the one that was used longest ago makes room. */
export const SESSIONS_MAX = 1_024;

/** A session ends when it was not used for so long, and at the latest so long after it began; milliseconds. */
export const SESSION_IDLE_MS = 60 * 60_000;
export const SESSION_MAX_MS = 12 * 60 * 60_000;

const ID_BYTES = 32;
/** What an id looks like: nothing else is hashed. */
const ID = /^[A-Za-z0-9_-]{43}$/;

/** How somebody showed who they are. */
export type Via =
  /** By a token, whose row in the configuration says what they may, as long as it is there. */
  | { readonly kind: 'token'; readonly name: string; readonly hash: string }
  /** By an OpenID provider: what it said of them then, and what that gives as the configuration is now. */
  | {
      readonly kind: 'oidc';
      readonly issuer: string;
      readonly name: string;
      /** By which claims of which client what follows was read: by other ones it would be something else. */
      readonly readBy: string;
      readonly groups: readonly string[];
      /** Those they are held to; null: all. */
      readonly tenants: readonly string[] | null;
    };

export interface Session {
  /** The hash of its id, hex: what names it inside. */
  readonly key: string;
  /** What the page sends with each write, to show that it is ours. */
  readonly csrf: string;
  readonly via: Via;
  readonly startedMs: number;
  usedMs: number;
}

export class Sessions {
  readonly #now: () => number;
  /** The one that was used longest ago first. */
  readonly #byKey = new Map<string, Session>();

  /** @param now milliseconds that only rise */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** @returns the id, which goes into the cookie and nowhere else */
  begin(via: Via): { readonly id: string; readonly session: Session } {
    const id = randomBytes(ID_BYTES).toString('base64url');
    const csrf = randomBytes(ID_BYTES).toString('base64url');
    const nowMs = this.#now();
    const session: Session = { key: keyOf(id), csrf, via, startedMs: nowMs, usedMs: nowMs };
    for (const oldest of this.#byKey.keys()) {
      if (this.#byKey.size < SESSIONS_MAX) break;
      this.#byKey.delete(oldest);
    }
    this.#byKey.set(session.key, session);
    return { id, session };
  }

  /** @returns null where there is none, or it has ended */
  use(id: string): Session | null {
    if (!ID.test(id)) return null;
    const key = keyOf(id);
    const session = this.#byKey.get(key);
    if (session === undefined) return null;
    const nowMs = this.#now();
    this.#byKey.delete(key);
    if (nowMs - session.usedMs > SESSION_IDLE_MS) return null;
    if (nowMs - session.startedMs > SESSION_MAX_MS) return null;
    session.usedMs = nowMs;
    this.#byKey.set(key, session);
    return session;
  }

  end(key: string): void {
    this.#byKey.delete(key);
  }
}

/** What a session's owner may do by this configuration; null: nothing any more. */
export function callerOf(
  { via }: Pick<Session, 'via'>,
  admin: AdminSettings<unknown>,
): Caller | null {
  if (via.kind === 'oidc') return oidcCaller(via, admin.oidc);
  const row = admin.tokens.find(({ name, hash }) => name === via.name && hash === via.hash);
  return row === undefined ? null : tokenCaller(row);
}

/** Of several roles the highest counts. */
function oidcCaller(
  { issuer, name, readBy, groups, tenants }: Extract<Via, { readonly kind: 'oidc' }>,
  oidc: AdminSettings<unknown>['oidc'],
): Caller | null {
  if (oidc === null || oidc.issuer !== issuer || readBy !== readByOf(oidc)) return null;
  const given = groups.map((group) => oidc.roles.get(group));
  const role = ROLES.findLast((known) => given.includes(known));
  if (role === undefined) return null;
  return { name, role, tenants: tenants === null ? null : new Set(tenants) };
}

/** What a sign-in reads the ID token by. */
export function readByOf({
  clientId,
  rolesClaim,
  tenantsClaim,
}: Pick<OidcSettings<unknown>, 'clientId' | 'rolesClaim' | 'tenantsClaim'>): string {
  return JSON.stringify([clientId, rolesClaim, tenantsClaim]);
}

export function tokenCaller({
  name,
  role,
  tenants,
}: AdminSettings<unknown>['tokens'][number]): Caller {
  return { name, role, tenants: tenants === null ? null : new Set(tenants) };
}

/** Whether two texts are the same, in a time that says nothing of where they part. */
export function isSameText(left: string, right: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
}

function keyOf(id: string): string {
  return createHash('sha256').update(id).digest('hex');
}

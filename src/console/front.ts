/** Who calls: looked at before anything else of a call is. */

import { timingSafeEqual } from 'node:crypto';
import type { Log } from '../outlet/log.ts';
import type { AdminSettings, AdminToken } from './admin-settings.ts';
import { adminTokenHash, isAdminToken } from './admin-token.ts';
import type { CallFields } from './call-fields.ts';
import type { Caller } from './operation.ts';
import { Problem } from './problem.ts';
import { callerOf, isSameText, type Session, type Sessions, tokenCaller } from './sessions.ts';
import type { WrongCredentials } from './wrong-credentials.ts';

export const SESSION_COOKIE = 'sluice_session';
export const CSRF_FIELD = 'x-sluice-csrf';

/** How a caller came in. */
export interface Entrance {
  readonly peer: string;
  readonly fields: CallFields;
  /** Null: by a bearer token, or not at all. */
  readonly session: Session | null;
  /** What names the session or token inside. */
  readonly owner: string;
}

/** Nobody in particular: who may sign in, and nothing else. */
const NO_TENANTS: ReadonlySet<string> = new Set();

export class Front {
  readonly #sessions: Sessions;
  readonly #wrong: WrongCredentials;
  readonly #log: Log;
  readonly #admin: () => AdminSettings<unknown>;
  readonly #entrances = new WeakMap<Caller, Entrance>();

  /** @param admin as the running configuration has it */
  constructor(
    sessions: Sessions,
    wrong: WrongCredentials,
    log: Log,
    admin: () => AdminSettings<unknown>,
  ) {
    this.#sessions = sessions;
    this.#wrong = wrong;
    this.#log = log;
    this.#admin = admin;
  }

  /** @throws Problem 401 or 429; nothing in it says what was wrong with a credential */
  identify(fields: CallFields, peer: string): Caller {
    const authorization = fields.only('authorization');
    if (authorization !== null) {
      const token = /^Bearer ([\x21-\x7e]+)$/i.exec(authorization)?.[1] ?? '';
      const row = this.tokenRow(token, peer);
      const entrance = { peer, fields, session: null, owner: `token ${row.name} ${row.hash}` };
      return this.#enter(tokenCaller(row), entrance);
    }
    const id = fields.cookie(SESSION_COOKIE);
    const session = id === null ? null : this.#sessions.use(id);
    const caller = session === null ? null : callerOf(session, this.#admin());
    if (session === null || caller === null) {
      if (session !== null) this.#sessions.end(session.key);
      throw new Problem('no_credentials');
    }
    // Another object for each call: it stands for the call, too.
    return this.#enter({ ...caller }, { peer, fields, session, owner: `session ${session.key}` });
  }

  /** Who has shown nothing yet. */
  stranger(fields: CallFields, peer: string): Caller {
    const nobody: Caller = { name: 'nobody', role: 'viewer', tenants: NO_TENANTS };
    return this.#enter(nobody, { peer, fields, session: null, owner: 'nobody' });
  }

  entranceOf(caller: Caller): Entrance {
    const entrance = this.#entrances.get(caller);
    if (entrance === undefined) throw new Error('a caller that nobody has let in');
    return entrance;
  }

  /**
   * The row of a token, found in the same time whatever the token.
   * @throws Problem 401 where there is none, 429 where this peer was wrong too often: then the token was not looked at
   */
  tokenRow(token: string, peer: string): AdminToken {
    const hash = isAdminToken(token) ? adminTokenHash(token) : null;
    const waitSeconds = this.#wrong.wait(peer, hash);
    if (waitSeconds > 0)
      throw new Problem('too_many', 'Too many wrong credentials came from this address.', {
        retryAfter: waitSeconds,
      });
    const row = hash === null ? null : matching(this.#admin().tokens, hash);
    if (row === null) {
      const isLast = this.#wrong.wasWrong(peer, hash);
      this.#log.write('warn', 'admin_credential_refused', { peer, slowed_down: isLast });
      throw new Problem('no_credentials');
    }
    this.#wrong.wasRight(peer, hash);
    return row;
  }

  /**
   * Whether a session's write comes from a page of ours: it knows what only our page was told, and the browser says so too.
   * @throws Problem 403
   */
  provePage(caller: Caller): void {
    const { session, fields } = this.entranceOf(caller);
    // A token is sent by nobody who does not mean it.
    if (session === null) return;
    const csrf = fields.only(CSRF_FIELD);
    if (csrf === null || !isSameText(csrf, session.csrf) || !this.isOwnPage(fields, false))
      throw new Problem('foreign_page');
  }

  /** @param isSilentFine what is no browser says neither */
  isOwnPage(fields: CallFields, isSilentFine: boolean): boolean {
    const site = fields.only('sec-fetch-site');
    const origin = fields.only('origin');
    if (site === null && origin === null) return isSilentFine;
    if (site !== null && site !== 'same-origin') return false;
    return origin === null || this.#isOwnOrigin(origin, fields);
  }

  #isOwnOrigin(origin: string, fields: CallFields): boolean {
    const configured = this.#admin().origin;
    if (configured !== null) return origin === configured;
    const host = fields.only('host');
    return host !== null && URL.parse(origin)?.host === host.toLowerCase();
  }

  #enter(caller: Caller, entrance: Entrance): Caller {
    this.#entrances.set(caller, entrance);
    return caller;
  }
}

/** Every row is compared, whichever it is. */
function matching(tokens: readonly AdminToken[], hash: Buffer): AdminToken | null {
  let found: AdminToken | null = null;
  for (const row of tokens) {
    if (timingSafeEqual(Buffer.from(row.hash, 'hex'), hash)) found = row;
  }
  return found;
}

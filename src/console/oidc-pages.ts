/** The two addresses of a sign-in by an OpenID provider: where it begins, and where it comes back to. */

import type { CallFields } from './call-fields.ts';
import type { AskedCall, ToldAnswer } from './console-messages.ts';
import type { ConsoleRoom } from './console-room.ts';
import type { OidcSignIn } from './oidc.ts';
import { beginSession, signedIn } from './operations/sign-in.ts';
import { Problem } from './problem.ts';
import { problemAnswer, SAFE_FIELDS } from './problem-answer.ts';
import { split } from './router.ts';
import { callerOf } from './sessions.ts';
import { OIDC_START } from './static-files.ts';
import type { WrongCredentials } from './wrong-credentials.ts';

const OIDC_CALLBACK = '/oidc/callback';

export function isOidcPath(path: string): boolean {
  return path === OIDC_START || path === OIDC_CALLBACK;
}

interface Loaded {
  readonly signIn: OidcSignIn;
  readonly module: typeof import('./oidc.ts');
}

export class OidcPages {
  readonly #room: ConsoleRoom;
  readonly #wrong: WrongCredentials;
  /** Loaded with the first sign-in: a console without OIDC never does. */
  #signIn: Promise<Loaded> | null = null;

  constructor(room: ConsoleRoom, wrong: WrongCredentials) {
    this.#room = room;
    this.#wrong = wrong;
  }

  async answer(asked: AskedCall, fields: CallFields): Promise<ToldAnswer> {
    const { admin } = this.#room.config;
    const [path, query] = split(asked.target);
    const { oidc = null, origin = null } = admin ?? {};
    if (admin === null || oidc === null || origin === null)
      return problemAnswer(new Problem('not_found'));
    if (asked.method !== 'GET')
      return problemAnswer(new Problem('method_not_allowed'), ['allow', 'GET']);
    // Each costs questions to the provider.
    const waitSeconds = this.#wrong.wait(asked.peer);
    if (waitSeconds > 0)
      return problemAnswer(new Problem('too_many', '', { retryAfter: waitSeconds }));
    const { signIn, module } = await this.#loaded();
    const flags = `HttpOnly; Path=/oidc${origin.startsWith('https:') ? '; Secure' : ''}`;
    if (path === OIDC_START) {
      const { location, cookie } = await signIn.begin(oidc, origin);
      // Lax: the way back comes from another site, and has to bring it.
      const age = `Max-Age=${module.OIDC_COOKIE_SECONDS}; SameSite=Lax`;
      return sentOn(location, [`${module.OIDC_COOKIE}=${cookie}; ${age}; ${flags}`]);
    }
    const gone = `${module.OIDC_COOKIE}=; Max-Age=0; SameSite=Lax; ${flags}`;
    const via = await signIn
      .end(oidc, origin, query, fields.cookie(module.OIDC_COOKIE))
      .catch((error: unknown) => {
        if (error instanceof Problem && error.code === 'no_credentials') this.#refused(asked.peer);
        throw error;
      });
    const caller = callerOf({ via }, admin);
    if (caller === null) {
      this.#room.audit.write({
        ...signedIn(via.name, 'viewer', 'by OpenID: no role'),
        status: 403,
      });
      throw new Problem(
        'not_allowed',
        `${via.name} has no role here: no group of theirs gives one.`,
      );
    }
    this.#room.audit.write(signedIn(via.name, caller.role, 'by OpenID'));
    return sentOn('/', [beginSession(this.#room, via, origin.startsWith('https:')), gone]);
  }

  #refused(peer: string): void {
    const isLast = this.#wrong.wasWrong(peer);
    this.#room.log.write('warn', 'admin_credential_refused', { peer, slowed_down: isLast });
  }

  #loaded(): Promise<Loaded> {
    this.#signIn ??= import('./oidc.ts').then((module) => ({
      signIn: new module.OidcSignIn(),
      module,
    }));
    return this.#signIn;
  }
}

function sentOn(location: string, cookies: readonly string[]): ToldAnswer {
  const set = cookies.flatMap((cookie) => ['set-cookie', cookie]);
  const fields = ['location', location, 'cache-control', 'no-store', ...SAFE_FIELDS, ...set];
  return { status: 303, fields, body: null };
}

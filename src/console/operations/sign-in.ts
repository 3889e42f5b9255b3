import { z } from 'zod';
import type { ConsoleRoom } from '../console-room.ts';
import { type Front, SESSION_COOKIE } from '../front.ts';
import { type Caller, type Operation, operation } from '../operation.ts';
import { Problem } from '../problem.ts';
import { SESSION_MAX_MS, type Via } from '../sessions.ts';
import { NO_PATH, NO_QUERY, SESSION } from '../shapes.ts';

const SIGN_IN = z.strictObject({ token: z.string().min(1).max(256) });

/** Sessions of browsers. */
export function sessionOperations(room: ConsoleRoom, front: Front): readonly Operation[] {
  return [
    operation({
      id: 'signIn',
      method: 'POST',
      path: '/session',
      summary: 'Exchanges an admin token for a cookie, as browsers need it.',
      tag: 'session',
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: SIGN_IN,
      answers: { 204: { says: 'Signed in: the cookie is set' } },
      problems: ['foreign_page'],
      writes: true,
      run: ({ caller, body: { token } }) => {
        const { fields, peer } = front.entranceOf(caller);
        // Nobody is to be signed in by a page that is not ours.
        if (!front.isOwnPage(fields, true)) throw new Problem('foreign_page');
        const { name, hash, role } = front.tokenRow(token, peer);
        room.audit.write(signedIn(name, role, 'by token'));
        return {
          status: 204,
          fields: [
            [
              'set-cookie',
              beginSession(room, { kind: 'token', name, hash }, isSecure(room, fields)),
            ],
          ],
        };
      },
    }),
    operation({
      id: 'session',
      method: 'GET',
      path: '/session',
      summary: 'Who this is, and what a page sends along with its writes.',
      tag: 'session',
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'The caller', schema: SESSION } },
      problems: [],
      writes: false,
      run: ({ caller }) => ({ status: 200, body: sessionOf(front, caller) }),
    }),
    operation({
      id: 'signOut',
      method: 'DELETE',
      path: '/session',
      summary: 'Ends the session, and its live screens.',
      tag: 'session',
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: null,
      answers: { 204: { says: 'Signed out' } },
      problems: ['foreign_page'],
      writes: true,
      run: ({ caller }) => {
        const { session, owner, fields } = front.entranceOf(caller);
        // A bearer token has none.
        if (session === null) return { status: 204 };
        room.sessions.end(session.key);
        room.live.over(owner);
        const gone = cookie('', 0, isSecure(room, fields));
        return { status: 204, fields: [['set-cookie', gone]] };
      },
    }),
  ];
}

/** @returns the cookie that says so */
export function beginSession({ sessions }: ConsoleRoom, via: Via, secure: boolean): string {
  return cookie(sessions.begin(via).id, SESSION_MAX_MS / 1_000, secure);
}

/** What the audit says of it. @param how for the reason */
export function signedIn(author: string, role: Caller['role'], how: string) {
  const none = { before: null, after: null };
  return {
    author,
    role,
    operation: 'signIn',
    place: '/session',
    reason: how,
    status: 204,
    ...none,
  };
}

function cookie(value: string, seconds: number, secure: boolean): string {
  const flags = `HttpOnly; SameSite=Strict; Path=/; Max-Age=${seconds}${secure ? '; Secure' : ''}`;
  return `${SESSION_COOKIE}=${value}; ${flags}`;
}

/** Whether browsers reach this over TLS; whoever lies about it keeps their own cookie from coming back. */
function isSecure({ config }: ConsoleRoom, fields: { only(name: string): string | null }): boolean {
  const origin = config.admin?.origin ?? null;
  if (origin !== null) return origin.startsWith('https:');
  return fields.only('x-forwarded-proto') === 'https';
}

function sessionOf(front: Front, caller: Caller): z.output<typeof SESSION> {
  const { session } = front.entranceOf(caller);
  return {
    name: caller.name,
    role: caller.role,
    tenants: caller.tenants === null ? null : [...caller.tenants],
    via: session?.via.kind ?? 'token',
    csrf: session?.csrf ?? null,
  };
}

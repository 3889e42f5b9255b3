import type { z } from 'zod';
import { changeKey, createKey, KeyTaken, NoSigningSecret } from '../../overlay/key-entries.ts';
import type { KeySettings } from '../../policy/policy-settings.ts';
import type { Denials } from '../denials.ts';
import type { GatewayView } from '../gateway-view.ts';
import { etagOf, type Known, type KnownEntries, originOf, revisionOf } from '../known-entries.ts';
import { holds, listAnswer } from '../lists.ts';
import { type Answer, type Caller, type Operation, operation } from '../operation.ts';
import { Problem } from '../problem.ts';
import {
  DENY_WISH,
  EXPIRE_WISH,
  ID_PATH,
  KEY,
  KEY_CHANGE,
  KEY_WISH,
  KEYS_PAGE,
  KEYS_QUERY,
  MINTED_KEY,
  NO_PATH,
  NO_QUERY,
  REASON_WISH,
} from '../shapes.ts';
import { instantText } from '../usage-wish.ts';

type Key = z.output<typeof KEY>;

const U64_MAX = 2n ** 64n - 1n;

/** Virtual keys that are written down: told, minted, changed, ended, cut off. */
export function keyOperations(
  view: GatewayView,
  entries: KnownEntries,
  denials: Denials,
): readonly Operation[] {
  const shown = (known: Known, id: string): Key => keyShown(view, known, denials, id);
  const answered = async (id: string, before: Known | null, status = 200): Promise<Answer> => {
    const known = await entries.now();
    const after = shown(known, id);
    const was = before === null || !isWritten(before, id) ? undefined : shown(before, id);
    return {
      status,
      body: after,
      etag: etagOf(known, 'keys', id),
      audited: { before: was, after },
    };
  };
  const told = { tag: 'keys', queryShape: NO_QUERY } as const;
  const changed = { 200: { says: 'The key as it is now, and its revision as ETag.', schema: KEY } };
  return [
    operation({
      ...told,
      id: 'keys',
      method: 'GET',
      path: '/keys',
      summary: 'Keys that are written down, by name or id.',
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: KEYS_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'A page of keys.', schema: KEYS_PAGE, types: ['text/csv'] } },
      problems: ['malformed', 'unavailable'],
      writes: false,
      run: async ({ caller, query }) => {
        const known = await entries.now();
        const rows = [...known.loaded.config.policy.keys]
          .filter(
            ([id, key]) =>
              maySee(caller, key) &&
              (query.tenant === undefined || key.tenant === query.tenant) &&
              holds(query.q, id, key.name),
          )
          .map(([id]) => shown(known, id));
        return listAnswer(KEY, rows, query);
      },
    }),
    operation({
      ...told,
      id: 'key',
      method: 'GET',
      path: '/keys/{id}',
      summary: 'One key.',
      role: 'viewer',
      pathShape: ID_PATH,
      bodyShape: null,
      answers: { 200: { says: 'The key, and its revision as ETag.', schema: KEY } },
      problems: ['not_found', 'unavailable'],
      writes: false,
      run: async ({ caller, path: { id } }) => {
        const known = await entries.now();
        const key = known.loaded.config.policy.keys.get(id);
        if (key === undefined || !maySee(caller, key)) throw noKey(id);
        return { status: 200, body: shown(known, id), etag: etagOf(known, 'keys', id) };
      },
    }),
    operation({
      ...told,
      id: 'mintKey',
      method: 'POST',
      path: '/keys',
      summary: 'Mints a key. It is shown this one time, and kept nowhere.',
      role: 'owner',
      pathShape: NO_PATH,
      bodyShape: KEY_WISH,
      answers: { 201: { says: 'The key.', schema: MINTED_KEY } },
      problems: ['conflict', 'locked', 'invalid', 'unavailable'],
      writes: true,
      run: async ({ caller, body }) => {
        if (caller.tenants !== null && !caller.tenants.has(body.tenant))
          throw new Problem('not_allowed', 'The key would be of a tenant that is not yours.');
        const made = await entries.writing(async (_, source) =>
          createKey(source, {
            name: body.name,
            tenantId: idOf(body.tenant, 'tenant'),
            vpcId: idOf(body.vpc, 'vpc'),
            keyClass: body.class,
            policy: body.policy ?? null,
            expiresMs: body.expires === undefined ? null : Date.parse(body.expires),
            keyId: null,
            secretFile: null,
            author: caller.name,
            reason: body.reason,
          }).catch((error: unknown) => {
            if (error instanceof NoSigningSecret || error instanceof KeyTaken)
              throw new Problem('conflict', error.message);
            throw error;
          }),
        );
        const known = await entries.now();
        const key = shown(known, made.id);
        return {
          status: 201,
          body: { key, secret: made.token },
          etag: etagOf(known, 'keys', made.id),
          location: `/admin/v1/keys/${made.id}`,
          audited: { after: key },
        };
      },
    }),
    operation({
      ...told,
      id: 'changeKey',
      method: 'PUT',
      path: '/keys/{id}',
      summary: 'Says of a key what is to hold; null takes back what was said at run time.',
      role: 'operator',
      pathShape: ID_PATH,
      bodyShape: KEY_CHANGE,
      answers: changed,
      problems: ['not_found', 'conflict', 'locked', 'changed_meanwhile', 'invalid', 'unavailable'],
      writes: true,
      run: async ({ caller, path: { id }, body, ifMatch }) => {
        const before = await entries.now();
        checkMay(caller, before, id);
        const { reason, ...said } = body;
        const members = Object.entries(said).filter(
          (member): member is [string, string | null] => member[1] !== undefined,
        );
        const wish = { id, author: caller.name, reason };
        await entries.writing((store, source) =>
          changeKey(source, store, wish, Object.fromEntries(members), revisionOf(ifMatch)),
        );
        return await answered(id, before);
      },
    }),
    operation({
      ...told,
      id: 'expireKey',
      method: 'POST',
      path: '/keys/{id}/expire',
      summary: 'Ends a key, now or in a while: also one that is not written down.',
      role: 'operator',
      pathShape: ID_PATH,
      bodyShape: EXPIRE_WISH,
      answers: changed,
      problems: ['not_found', 'conflict', 'locked', 'changed_meanwhile', 'invalid', 'unavailable'],
      writes: true,
      run: async ({ caller, path: { id }, body }) => {
        const before = await entries.now();
        checkMay(caller, before, id);
        const endMs = view.now() + (body.in_seconds ?? 0) * 1_000;
        const wish = { id, author: caller.name, reason: body.reason };
        await entries.writing((store, source) =>
          changeKey(source, store, wish, { expires: instantText(endMs) }),
        );
        return await answered(id, before);
      },
    }),
    operation({
      ...told,
      id: 'denyKey',
      method: 'PUT',
      path: '/keys/{id}/denial',
      summary: 'Cuts a key off on every gateway of the fleet, at once.',
      role: 'operator',
      pathShape: ID_PATH,
      bodyShape: DENY_WISH,
      answers: changed,
      problems: ['not_found', 'conflict', 'unavailable'],
      writes: true,
      run: async ({ caller, path: { id }, body }) => {
        const known = await entries.now();
        checkMay(caller, known, id);
        const denied = await denials.deny('key', id, body.reason, body.seconds ?? 0);
        const key: Key = { ...shown(known, id), denied, state: 'denied' };
        return {
          status: 200,
          body: key,
          etag: etagOf(known, 'keys', id),
          audited: { after: denied },
        };
      },
    }),
    operation({
      ...told,
      id: 'allowKey',
      method: 'DELETE',
      path: '/keys/{id}/denial',
      summary: 'Lets a key in again.',
      role: 'operator',
      pathShape: ID_PATH,
      bodyShape: REASON_WISH,
      answers: changed,
      problems: ['not_found', 'conflict', 'unavailable'],
      writes: true,
      run: async ({ caller, path: { id } }) => {
        const known = await entries.now();
        checkMay(caller, known, id);
        const before = denials.of('key', id);
        await denials.allow('key', id);
        const { state, ...key } = shown(known, id);
        const now: Key = { ...key, denied: null, state: state === 'denied' ? 'active' : state };
        return { status: 200, body: now, etag: etagOf(known, 'keys', id), audited: { before } };
      },
    }),
  ];
}

function keyShown(
  view: GatewayView,
  { loaded, ...known }: Known,
  denials: Denials,
  id: string,
): Key {
  const key = loaded.config.policy.keys.get(id);
  const denied = denials.of('key', id);
  const expiresMs = key?.expiresMs ?? null;
  const isOver = expiresMs !== null && expiresMs <= view.now();
  return {
    id,
    name: key?.name ?? null,
    tenant: key?.tenant ?? null,
    class: key?.keyClass ?? null,
    policy: key?.policy ?? null,
    expires: expiresMs === null ? null : instantText(expiresMs),
    state: denied !== null ? 'denied' : isOver ? 'expired' : 'active',
    denied,
    origin: originOf({ loaded, ...known }, 'keys', id),
  };
}

function isWritten({ loaded }: Known, id: string): boolean {
  return loaded.config.policy.keys.has(id);
}

function maySee({ tenants }: Caller, { tenant }: KeySettings): boolean {
  return tenants === null || (tenant !== null && tenants.has(tenant));
}

/** Whoever sees everything may name a key that nobody has written down. */
function checkMay(caller: Caller, { loaded }: Known, id: string): void {
  idOf(id, 'id');
  const key = loaded.config.policy.keys.get(id);
  if (caller.tenants !== null && (key === undefined || !maySee(caller, key))) throw noKey(id);
}

function noKey(id: string): Problem {
  return new Problem('not_found', `No [keys.${id}] is written down.`);
}

function idOf(text: string, key: string): bigint {
  const id = BigInt(text);
  if (id <= U64_MAX) return id;
  throw new Problem('malformed', '', {
    parts: [{ key, found: text, expected: `a decimal number up to ${U64_MAX}` }],
  });
}

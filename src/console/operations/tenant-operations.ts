import type { z } from 'zod';
import type { Denials } from '../denials.ts';
import { etagOf, type Known, type KnownEntries, originOf } from '../known-entries.ts';
import { holds, listAnswer } from '../lists.ts';
import { type Caller, type Operation, operation } from '../operation.ts';
import { Problem } from '../problem.ts';
import {
  DENY_WISH,
  ENTRY_WISH,
  ID_PATH,
  LIST_QUERY,
  NO_PATH,
  NO_QUERY,
  REASON_WISH,
  TENANT,
  TENANTS_PAGE,
} from '../shapes.ts';

type Tenant = z.output<typeof TENANT>;

const U64_MAX = 2n ** 64n - 1n;

/** Tenants that are written down: told, changed, cut off. */
export function tenantOperations(entries: KnownEntries, denials: Denials): readonly Operation[] {
  const shown = ({ loaded, ...known }: Known, id: string): Tenant => {
    const said = loaded.config.policy.tenants.get(id);
    return {
      id,
      name: said?.name ?? null,
      policy: said?.policy ?? null,
      denied: denials.of('tenant', id),
      origin: originOf({ loaded, ...known }, 'tenants', id),
    };
  };
  const base = { tag: 'tenants', pathShape: ID_PATH, queryShape: NO_QUERY } as const;
  const changed = {
    200: { says: 'The tenant as it is now, and its revision as ETag.', schema: TENANT },
  };
  return [
    operation({
      ...base,
      id: 'tenants',
      method: 'GET',
      path: '/tenants',
      summary: 'Tenants that are written down, by name or id.',
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: LIST_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'A page of tenants.', schema: TENANTS_PAGE, types: ['text/csv'] } },
      problems: ['malformed', 'unavailable'],
      writes: false,
      run: async ({ caller, query }) => {
        const known = await entries.now();
        const rows = [...known.loaded.config.policy.tenants]
          .filter(([id, { name }]) => maySee(caller, id) && holds(query.q, id, name))
          .map(([id]) => shown(known, id));
        return listAnswer(TENANT, rows, query);
      },
    }),
    operation({
      ...base,
      id: 'tenant',
      method: 'GET',
      path: '/tenants/{id}',
      summary: 'One tenant.',
      role: 'viewer',
      bodyShape: null,
      answers: { 200: { says: 'The tenant, and its revision as ETag.', schema: TENANT } },
      problems: ['not_found', 'unavailable'],
      writes: false,
      run: async ({ caller, path: { id } }) => {
        const known = await entries.now();
        if (!maySee(caller, id) || !known.loaded.config.policy.tenants.has(id)) throw noTenant(id);
        return { status: 200, body: shown(known, id), etag: etagOf(known, 'tenants', id) };
      },
    }),
    operation({
      ...base,
      id: 'putTenant',
      method: 'PUT',
      path: '/tenants/{id}',
      summary: 'Says of a tenant what is to hold: a name, and a policy over all its keys.',
      role: 'operator',
      bodyShape: ENTRY_WISH,
      answers: changed,
      problems: ['not_found', 'conflict', 'locked', 'changed_meanwhile', 'invalid', 'unavailable'],
      writes: true,
      run: async ({ caller, path: { id }, body, ifMatch }) => {
        checkMay(caller, id);
        const before = await entries.now();
        const expiresMs = body.expires === undefined ? null : Date.parse(body.expires);
        const wish = { caller, table: 'tenants', name: id, ifMatch, reason: body.reason } as const;
        await entries.put(wish, body.value, expiresMs);
        const known = await entries.now();
        const after = shown(known, id);
        const audited = { before: shown(before, id), after };
        return { status: 200, body: after, etag: etagOf(known, 'tenants', id), audited };
      },
    }),
    operation({
      ...base,
      id: 'deleteTenant',
      method: 'DELETE',
      path: '/tenants/{id}',
      summary: 'Takes away what was said at run time: the file counts alone again.',
      role: 'operator',
      bodyShape: REASON_WISH,
      answers: { 204: { says: 'It is gone.' } },
      problems: [
        'not_found',
        'conflict',
        'changed_meanwhile',
        'precondition_required',
        'invalid',
        'unavailable',
      ],
      writes: true,
      run: async ({ caller, path: { id }, body: { reason }, ifMatch }) => {
        checkMay(caller, id);
        const before = shown(await entries.now(), id);
        await entries.delete({ caller, table: 'tenants', name: id, ifMatch, reason });
        return { status: 204, audited: { before } };
      },
    }),
    operation({
      ...base,
      id: 'denyTenant',
      method: 'PUT',
      path: '/tenants/{id}/denial',
      summary: 'Cuts a tenant off on every gateway of the fleet, at once.',
      role: 'operator',
      bodyShape: DENY_WISH,
      answers: changed,
      problems: ['not_found', 'conflict', 'unavailable'],
      writes: true,
      run: async ({ caller, path: { id }, body }) => {
        checkMay(caller, id);
        const known = await entries.now();
        const denied = await denials.deny('tenant', id, body.reason, body.seconds ?? 0);
        const tenant: Tenant = { ...shown(known, id), denied };
        const etag = etagOf(known, 'tenants', id);
        return { status: 200, body: tenant, etag, audited: { after: denied } };
      },
    }),
    operation({
      ...base,
      id: 'allowTenant',
      method: 'DELETE',
      path: '/tenants/{id}/denial',
      summary: 'Lets a tenant in again.',
      role: 'operator',
      bodyShape: REASON_WISH,
      answers: changed,
      problems: ['not_found', 'conflict', 'unavailable'],
      writes: true,
      run: async ({ caller, path: { id } }) => {
        checkMay(caller, id);
        const known = await entries.now();
        const before = denials.of('tenant', id);
        await denials.allow('tenant', id);
        const tenant: Tenant = { ...shown(known, id), denied: null };
        const etag = etagOf(known, 'tenants', id);
        return { status: 200, body: tenant, etag, audited: { before } };
      },
    }),
  ];
}

function maySee({ tenants }: Caller, id: string): boolean {
  return tenants === null || tenants.has(id);
}

function checkMay(caller: Caller, id: string): void {
  if (!maySee(caller, id) || BigInt(id) > U64_MAX) throw noTenant(id);
}

function noTenant(id: string): Problem {
  return new Problem('not_found', `No [tenants.${id}] is written down.`);
}

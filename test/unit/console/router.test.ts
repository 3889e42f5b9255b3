import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { AdminSettings } from '../../../src/console/admin-settings.ts';
import { adminTokenHash, newAdminToken } from '../../../src/console/admin-token.ts';
import { Audit } from '../../../src/console/audit.ts';
import { CallFields } from '../../../src/console/call-fields.ts';
import { Front } from '../../../src/console/front.ts';
import { type Call, type Operation, operation } from '../../../src/console/operation.ts';
import { Problem } from '../../../src/console/problem.ts';
import { Router } from '../../../src/console/router.ts';
import { Sessions } from '../../../src/console/sessions.ts';
import { NAME_PATH, NO_PATH, NO_QUERY } from '../../../src/console/shapes.ts';
import { WrongCredentials } from '../../../src/console/wrong-credentials.ts';

const TOKENS = { viewer: newAdminToken(), owner: newAdminToken(), held: newAdminToken() };

const SETTINGS: AdminSettings<unknown> = {
  origin: null,
  oidc: null,
  tokens: (['viewer', 'owner', 'held'] as const).map((name) => ({
    name,
    hash: adminTokenHash(TOKENS[name]).toString('hex'),
    role: name === 'held' ? 'owner' : name,
    tenants: name === 'held' ? ['7'] : null,
  })),
};

const QUERY = z.object({ limit: z.coerce.number().int().max(9).default(3) });
const BODY = z.strictObject({ value: z.int(), reason: z.string().default('') });

function scene() {
  const calls: Call<unknown, unknown, unknown>[] = [];
  const lines: Readonly<Record<string, unknown>>[] = [];
  const failures: string[] = [];
  const log = {
    write: (_: string, event: string, fields = {}) => void lines.push({ event, ...fields }),
  };
  const row = {
    tag: 'test',
    summary: '',
    answers: {},
    problems: [],
    queryShape: NO_QUERY,
  } as const;
  const read = { ...row, method: 'GET', role: 'viewer', bodyShape: null, writes: false } as const;
  const operations: readonly Operation[] = [
    operation({
      ...read,
      id: 'thing',
      path: '/things/{name}',
      pathShape: NAME_PATH,
      queryShape: QUERY,
      run: (call) => {
        calls.push(call);
        return { status: 200, body: { a: 1 }, etag: '7' };
      },
    }),
    operation({
      ...read,
      id: 'best',
      path: '/things/best',
      pathShape: NO_PATH,
      isNodeWide: true,
      run: () => ({ status: 200, type: 'text/csv', body: 'a,b\r\n' }),
    }),
    operation({
      ...row,
      id: 'put',
      method: 'PUT',
      path: '/things/{name}',
      role: 'owner',
      pathShape: NAME_PATH,
      bodyShape: BODY,
      writes: true,
      run: (call) => {
        calls.push(call);
        if (call.body.value === 1) throw new Problem('conflict', 'It is held.');
        if (call.body.value === 2) throw new Error('postgres://me:hunter2@db');
        return { status: 200, body: {}, audited: { before: 'old', after: 'new' } };
      },
    }),
  ];
  const front = new Front(new Sessions(), new WrongCredentials(), log, () => SETTINGS);
  const audit = new Audit(null, log);
  const router = new Router(operations, front, audit, (id) => failures.push(id));
  const ask = async (
    method: string,
    path: string,
    as: keyof typeof TOKENS = 'owner',
    { body, fields = [] }: { readonly body?: unknown; readonly fields?: readonly string[] } = {},
  ) => {
    const own = ['Authorization', `Bearer ${TOKENS[as]}`, ...fields];
    if (body !== undefined) own.push('Content-Type', 'application/json; charset=utf-8');
    const sent = body === undefined ? null : Buffer.from(JSON.stringify(body));
    const target = `/admin/v1${path}`;
    const peer = '10.0.0.1';
    const asked = { method, target, fields: own, body: sent, peer, isAsking: false };
    const { answer } = await router.route(asked, new CallFields(own));
    const of = (name: string) => {
      const at = answer.fields.indexOf(name);
      return at < 0 ? null : (answer.fields[at + 1] ?? null);
    };
    return { ...answer, of, text: String(answer.body ?? '') };
  };
  return { ask, calls, audit, lines, failures };
}

describe('the router', () => {
  test('gives an operation what its shapes say, and tells its revision in quotes', async () => {
    const { ask, calls } = scene();
    const told = await ask('GET', '/things/a%2Fb%20%C3%A4?limit=5');
    expect([told.status, told.of('etag'), told.text]).toEqual([200, '"7"', '{"a":1}\n']);
    expect(calls[0]).toMatchObject({ path: { name: 'a/b ä' }, query: { limit: 5 }, ifMatch: null });
  });

  test('knows what is written out before what can be anything', async () => {
    const { ask, calls } = scene();
    const told = await ask('GET', '/things/best');
    expect([told.of('content-type'), told.text, calls]).toEqual([
      'text/csv; charset=utf-8',
      'a,b\r\n',
      [],
    ]);
    expect(told.of('content-disposition')).toBe('attachment; filename="best.csv"');
  });

  test('asks for the role first, and for nothing of the call before it', async () => {
    const { ask, calls, audit } = scene();
    expect((await ask('PUT', '/things/x', 'viewer', { body: 'nonsense' })).status).toBe(403);
    expect((await ask('GET', '/things/best', 'held')).status).toBe(403);
    expect((await ask('GET', '/things/x', 'held')).status).toBe(200);
    expect(calls).toHaveLength(1);
    expect(audit.page(null, 9).rows).toMatchObject([
      { author: 'viewer', status: 403, operation: 'put' },
    ]);
  });

  test.each([
    ['"3"', 200, '3'],
    ['W/"3"', 400, null],
    ['3', 400, null],
    ['*', 400, null],
    ['"3", "4"', 400, null],
  ])('takes If-Match: %s as one revision, or not at all', async (text, status, ifMatch) => {
    const { ask, calls } = scene();
    const told = await ask('PUT', '/things/x', 'owner', {
      body: { value: 3 },
      fields: ['If-Match', text],
    });
    expect([told.status, calls[0]?.ifMatch ?? null]).toEqual([status, ifMatch]);
  });

  test('says what is wrong with a body by its place and kind, never by its value', async () => {
    const { ask } = scene();
    const told = await ask('PUT', '/things/x', 'owner', { body: { value: 'hunter2', more: 1 } });
    expect(told.status).toBe(400);
    expect(told.text).toContain('body.value');
    expect(told.text).not.toContain('hunter2');
  });

  test('tells a problem as it is, and nothing of what nobody expected', async () => {
    const { ask, failures, audit } = scene();
    const held = await ask('PUT', '/things/x', 'owner', { body: { value: 1, reason: 'because' } });
    expect(JSON.parse(held.text)).toMatchObject({
      status: 409,
      code: 'conflict',
      detail: 'It is held.',
    });
    const broken = await ask('PUT', '/things/x', 'owner', { body: { value: 2 } });
    expect([broken.status, failures]).toEqual([500, ['put']]);
    expect(broken.text).not.toContain('hunter2');
    expect((await ask('PUT', '/things/x', 'owner', { body: { value: 3 } })).status).toBe(200);
    const rows = audit
      .page(null, 9)
      .rows.map(({ status, reason, before, after }) => [status, reason, before, after]);
    expect(rows).toEqual([
      [200, '', 'old', 'new'],
      [500, '', null, null],
      [409, 'because', null, null],
    ]);
  });

  test('has no word for a credential that is there twice', async () => {
    const { ask } = scene();
    const told = await ask('GET', '/things/x', 'owner', {
      fields: ['authorization', `Bearer ${TOKENS.viewer}`],
    });
    expect(told.status).toBe(401);
  });
});

import { describe, expect, test } from 'vitest';
import type { AdminSettings } from '../../../src/console/admin-settings.ts';
import {
  callerOf,
  SESSION_IDLE_MS,
  SESSION_MAX_MS,
  SESSIONS_MAX,
  Sessions,
  type Via,
} from '../../../src/console/sessions.ts';

const BY_TOKEN: Via = { kind: 'token', name: 'alice', hash: 'aa' };

const BY_OIDC: Via = {
  kind: 'oidc',
  issuer: 'https://id.example',
  name: 'oidc:ada',
  readBy: '["sluice","groups",null]',
  groups: ['viewers', 'admins'],
  tenants: ['7'],
};

const SETTINGS: AdminSettings<string> = {
  origin: null,
  tokens: [{ name: 'alice', hash: 'aa', role: 'operator', tenants: ['7'] }],
  oidc: {
    issuer: 'https://id.example',
    clientId: 'sluice',
    clientSecret: null,
    scopes: 'openid',
    rolesClaim: 'groups',
    roles: new Map([
      ['admins', 'owner'],
      ['viewers', 'viewer'],
    ]),
    tenantsClaim: null,
  },
};

describe('a session', () => {
  test('is known by its id alone, and inside by nothing that opens it', () => {
    const sessions = new Sessions();
    const { id, session } = sessions.begin(BY_TOKEN);
    expect(sessions.use(id)).toBe(session);
    expect(sessions.use(session.key)).toBeNull();
    expect(sessions.use(session.csrf)).toBeNull();
    expect(JSON.stringify(session)).not.toContain(id);
  });

  test('ends when it is not used, and in any case after its longest time', () => {
    let nowMs = 1_000;
    const sessions = new Sessions(() => nowMs);
    const idle = sessions.begin(BY_TOKEN).id;
    const busy = sessions.begin(BY_TOKEN).id;
    for (let spent = 0; spent < SESSION_MAX_MS; spent += SESSION_IDLE_MS) {
      expect(sessions.use(busy)).not.toBeNull();
      nowMs += SESSION_IDLE_MS;
    }
    expect(sessions.use(idle)).toBeNull();
    expect(sessions.use(busy)).not.toBeNull();
    nowMs += 1;
    expect(sessions.use(busy)).toBeNull();
    expect(sessions.use(busy)).toBeNull();
  });

  test('makes room for another one when it was used longest ago', () => {
    const sessions = new Sessions();
    const first = sessions.begin(BY_TOKEN).id;
    const second = sessions.begin(BY_TOKEN).id;
    sessions.use(first);
    for (let more = 2; more <= SESSIONS_MAX; more++) sessions.begin(BY_TOKEN);
    expect(sessions.size).toBe(SESSIONS_MAX);
    expect(sessions.use(second)).toBeNull();
    expect(sessions.use(first)).not.toBeNull();
  });
});

describe('what a session may do', () => {
  test('is what its token may by the configuration of now', () => {
    expect(callerOf({ via: BY_TOKEN }, SETTINGS)).toEqual({
      name: 'alice',
      role: 'operator',
      tenants: new Set(['7']),
    });
    const [row] = SETTINGS.tokens;
    if (row === undefined) throw new Error('no token');
    const tokens = [{ ...row, hash: 'bb' }];
    expect(callerOf({ via: BY_TOKEN }, { ...SETTINGS, tokens })).toBeNull();
    expect(callerOf({ via: BY_TOKEN }, { ...SETTINGS, tokens: [] })).toBeNull();
  });

  test('is the highest of what its groups give by the configuration of now', () => {
    expect(callerOf({ via: BY_OIDC }, SETTINGS)).toEqual({
      name: 'oidc:ada',
      role: 'owner',
      tenants: new Set(['7']),
    });
    const oidc = SETTINGS.oidc;
    if (oidc === null) throw new Error('no oidc');
    const fewer = {
      ...SETTINGS,
      oidc: { ...oidc, roles: new Map([['viewers', 'viewer' as const]]) },
    };
    expect(callerOf({ via: BY_OIDC }, fewer)?.role).toBe('viewer');
    const other = { ...SETTINGS, oidc: { ...oidc, issuer: 'https://other.example' } };
    expect(callerOf({ via: BY_OIDC }, other)).toBeNull();
    expect(callerOf({ via: BY_OIDC }, { ...SETTINGS, oidc: null })).toBeNull();
    // What a claim that now counts would have said of them, nobody has asked.
    for (const said of [
      { tenantsClaim: 'tenants' },
      { rolesClaim: 'roles' },
      { clientId: 'other' },
    ])
      expect(callerOf({ via: BY_OIDC }, { ...SETTINGS, oidc: { ...oidc, ...said } })).toBeNull();
    expect(callerOf({ via: { ...BY_OIDC, groups: ['__proto__'] } }, SETTINGS)).toBeNull();
  });
});

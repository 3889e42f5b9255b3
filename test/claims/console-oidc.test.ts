import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Admin, admin, ConsoleScene } from '../support/console-scene.ts';
import { freePort } from '../support/free-port.ts';
import {
  CLIENT_ID,
  CLIENT_SECRET,
  type Forged,
  ForgingProvider,
  RealProvider,
  Wanderer,
} from '../support/openid-providers.ts';

const breakGlass: Admin = admin('break-glass', 'owner');

/** A gateway that sends people to this issuer. */
async function scene(issuer: string, port: number): Promise<ConsoleScene> {
  return await new ConsoleScene([breakGlass], {
    config: `metrics_listen = "127.0.0.1:${port}"
[admin]
origin = "http://127.0.0.1:${port}"
[admin.oidc]
issuer = "${issuer}"
client_id = "${CLIENT_ID}"
client_secret = "${CLIENT_SECRET}"
[admin.oidc.roles]
"ai-viewers" = "viewer"
"ai-admins" = "owner"
`,
  }).ready();
}

const session = async (at: ConsoleScene, by: Wanderer) =>
  await at.call(null, 'GET', '/session', {
    fields: { cookie: by.cookies(new URL(at.origin).host) },
  });

describe('a sign-in by a real OpenID provider', () => {
  let provider: RealProvider;
  let console: ConsoleScene;
  beforeAll(async () => {
    const port = await freePort();
    provider = await RealProvider.start(`http://127.0.0.1:${port}`);
    console = await scene(provider.issuer, port);
  });
  afterAll(async () => {
    await console.stop();
    provider.close();
  });

  it('gives a session with the highest role that its groups give, and an audit line', async () => {
    provider.signsIn = { name: 'ada', groups: ['ai-viewers', 'ai-admins', 'others'] };
    const ada = new Wanderer();
    const answers = await ada.go(`${console.origin}/oidc/start`);
    const back = answers.find(({ url }) => url.includes('/oidc/callback'));
    expect(back?.status).toBe(303);
    expect(back?.headers.get('location')).toBe('/');
    expect(back?.headers.getSetCookie().join()).toMatch(
      /sluice_session=[\w-]{43}; HttpOnly; SameSite=Strict/,
    );
    expect((await session(console, ada)).json()).toMatchObject({
      name: 'oidc:ada',
      role: 'owner',
      via: 'oidc',
      tenants: null,
    });
    expect(console.gateway.events('admin_audit').at(-1)).toMatchObject({
      author: 'oidc:ada',
      operation: 'signIn',
      status: 204,
    });
  });

  it('of somebody whom no group gives a role is a 403 without a session', async () => {
    provider.signsIn = { name: 'bob', groups: ['others'] };
    const bob = new Wanderer();
    const answers = await bob.go(`${console.origin}/oidc/start`);
    expect(answers.at(-1)?.status).toBe(403);
    expect((await session(console, bob)).status).toBe(401);
  });

  it('that another browser brings back opens nothing, and neither does a second time', async () => {
    provider.signsIn = { name: 'ada', groups: ['ai-admins'] };
    const ada = new Wanderer();
    const answers = await ada.go(`${console.origin}/oidc/start`);
    const callback = answers.find(({ url }) => url.includes('/oidc/callback'))?.url ?? '';
    expect((await fetch(callback, { redirect: 'manual' })).status).toBe(401);
    const begun = await new Wanderer().go(`${console.origin}/oidc/start`);
    const other = begun.find(({ url }) => url.includes('/oidc/callback'))?.url ?? '';
    // The state of somebody else's sign-in, with this browser's cookies.
    expect((await ada.go(other)).at(-1)?.status).toBe(401);
  });

  it('is not needed for whoever has a token', async () => {
    expect((await console.call(breakGlass, 'GET', '/session')).json()).toMatchObject({
      name: 'break-glass',
      role: 'owner',
    });
  });

  it('counts no more once its group is out of the configuration', async () => {
    provider.signsIn = { name: 'ada', groups: ['ai-admins'] };
    const ada = new Wanderer();
    await ada.go(`${console.origin}/oidc/start`);
    expect((await session(console, ada)).status).toBe(200);
    const port = new URL(console.origin).port;
    await console.gateway.reload(`workers = 1
metrics_listen = "127.0.0.1:${port}"
${breakGlass.table}[admin]
origin = "http://127.0.0.1:${port}"
[admin.oidc]
issuer = "${provider.issuer}"
client_id = "${CLIENT_ID}"
client_secret = "${CLIENT_SECRET}"
roles = { "ai-viewers" = "viewer" }
`);
    expect((await session(console, ada)).status).toBe(401);
  });
});

it('a sign-in is for the browser alone that set out for it, and once', async () => {
  const provider = await new ForgingProvider().start();
  const console = await scene(provider.issuer, await freePort());
  const begun = async () => {
    const out = await fetch(`${console.origin}/oidc/start`, { redirect: 'manual' });
    const sent = await fetch(out.headers.get('location') ?? '', { redirect: 'manual' });
    const cookie = out.headers.getSetCookie().join().split(';')[0] ?? '';
    return { cookie, back: sent.headers.get('location') ?? '' };
  };
  const came = async ({ back }: { back: string }, cookie: string) => {
    const { status, headers } = await fetch(back, { redirect: 'manual', headers: { cookie } });
    return [status, headers.getSetCookie().join().includes('sluice_session')];
  };
  const { cookie: another } = await begun();
  // Whoever is sent a link of somebody else's sign-in is not signed in as them.
  expect(await came(await begun(), another)).toEqual([401, false]);
  expect(await came(await begun(), '')).toEqual([401, false]);
  const ada = await begun();
  expect(await came(ada, ada.cookie)).toEqual([303, true]);
  expect(await came(ada, ada.cookie)).toEqual([401, false]);
  await console.stop();
  provider.close();
});

describe('an ID token', () => {
  let provider: ForgingProvider;
  let console: ConsoleScene;
  beforeAll(async () => {
    provider = await new ForgingProvider().start();
    console = await scene(provider.issuer, await freePort());
  });
  afterAll(async () => {
    await console.stop();
    provider.close();
  });

  const now = () => Math.floor(Date.now() / 1_000);
  const another = generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey;
  const signIn = async (forged: Forged) => {
    provider.forged = forged;
    const eve = new Wanderer();
    const answers = await eve.go(`${console.origin}/oidc/start`);
    return { status: (await session(console, eve)).status, back: answers.at(-1) };
  };

  it('that is as it has to be is taken: the attacks below fail for what they are', async () => {
    expect((await signIn({})).status).toBe(200);
    // The provider's clock may be some seconds behind.
    expect((await signIn({ claims: { exp: now() - 5 } })).status).toBe(200);
  });

  it('that calls somebody by the name of another one is told from theirs', async () => {
    expect((await signIn({ claims: { sub: 'eve', preferred_username: 'ada' } })).status).toBe(200);
    const { author } = console.gateway.events('admin_audit').at(-1) ?? {};
    expect(author).toBe('oidc:ada/eve');
  });

  const attacks: readonly (readonly [string, () => Forged])[] = [
    ['is for another audience', () => ({ claims: { aud: 'another' } })],
    ['is for two audiences, and for us by no word', () => ({ claims: { aud: ['x', 'y'] } })],
    ['is of another issuer', () => ({ claims: { iss: 'https://other.example' } })],
    ['expired a second beyond the skew', () => ({ claims: { exp: now() - 11 } })],
    ['is of another sign-in', () => ({ claims: { nonce: 'another' } })],
    ['is signed by nobody', () => ({ alg: 'none' as const })],
    ['is signed by a key that is not the provider’s', () => ({ key: another })],
    ['names a key that the provider has not', () => ({ key: another, kid: 'yesterday' })],
    ['says that it is signed with a shared secret', () => ({ alg: 'HS256' as const })],
  ];
  it.each(attacks)('that %s opens nothing', async (_, forged) => {
    const { status, back } = await signIn(forged());
    expect(status).toBe(401);
    expect(back?.status).toBe(401);
    expect(back?.headers.getSetCookie().join()).not.toContain('sluice_session');
  });

  it('that a rotated-out key has signed opens nothing, from the moment when the provider shows it no more', async () => {
    provider.shown = [
      ['today', provider.key],
      ['yesterday', another],
    ];
    expect((await signIn({ key: another, kid: 'yesterday' })).status).toBe(200);
    provider.shown = [['today', provider.key]];
    const { status, back } = await signIn({ key: another, kid: 'yesterday' });
    expect([status, back?.status]).toEqual([401, 401]);
  });
});

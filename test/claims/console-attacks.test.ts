import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  BODY_MAX_BYTES,
  CALLS_BURST,
  LIVE_MAX,
  STRANGER_BODY_MAX_BYTES,
} from '../../src/console/console-door.ts';
import { WRONG_BURST } from '../../src/console/wrong-credentials.ts';
import { until } from '../support/conditions.ts';
import { type Admin, admin, ConsoleScene } from '../support/console-scene.ts';

const owner = admin('olga', 'owner');
const viewer = admin('vera', 'viewer', ['7']);
const watcher = admin('wanda', 'viewer');

/** Says something on a connection of its own, and listens until it ends or has heard enough. */
async function said(
  scene: ConsoleScene,
  text: string | ((socket: Socket) => void),
  isEnough: (heard: string) => boolean = () => false,
): Promise<string> {
  const socket = connect(scene.gateway.metricsPort, '127.0.0.1');
  let heard = '';
  return await new Promise((resolve) => {
    const end = (): void => {
      socket.destroy();
      resolve(heard);
    };
    socket.on('data', (piece) => {
      heard += piece.toString('latin1');
      if (isEnough(heard)) end();
    });
    socket.on('close', end);
    socket.on('error', end);
    socket.on('connect', () => {
      if (typeof text === 'string') socket.write(text);
      else text(socket);
    });
  });
}

const head = (line: string, fields: Readonly<Record<string, string>> = {}): string =>
  `${line} HTTP/1.1\r\nhost: x\r\n${Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`;
const bearer = ({ token }: Admin) => ({ authorization: `Bearer ${token}` });
const whole = (heard: string): boolean => heard.includes('\r\n\r\n');
const statusOf = (heard: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(heard)?.[1] ?? 0);

describe('bodies', () => {
  let scene: ConsoleScene;
  beforeAll(async () => {
    scene = await new ConsoleScene([owner, viewer]).ready();
  });
  afterAll(async () => await scene.stop());

  it('that are declared too large are a 413, and not read', async () => {
    const fields = {
      ...bearer(owner),
      'content-type': 'application/json',
      'content-length': String(100 * 1_048_576),
    };
    const heard = await said(scene, head('POST /admin/v1/config/reload', fields), whole);
    expect(statusOf(heard)).toBe(413);
  });

  it('that turn out to be 100 MB are a 413 as well, and cost no memory', async () => {
    const before = scene.gateway.rssBytes();
    const fields = {
      ...bearer(owner),
      'content-type': 'application/json',
      'transfer-encoding': 'chunked',
    };
    const piece = Buffer.alloc(65_536, 0x20);
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), piece, Buffer.from('\r\n')]);
    const heard = await said(scene, (socket) => {
      socket.write(head('POST /admin/v1/config/reload', fields));
      let left = 1_600;
      const more = (): void => {
        while (left-- > 0) if (!socket.write(chunk)) return void socket.once('drain', more);
      };
      more();
    });
    expect(statusOf(heard)).toBe(413);
    expect(scene.gateway.rssBytes() - before).toBeLessThan(64 * 1_048_576);
  });

  it('of somebody without a credential are not read beyond what a sign-in needs', async () => {
    const fields = {
      'content-type': 'application/json',
      'content-length': String(STRANGER_BODY_MAX_BYTES + 1),
    };
    expect(statusOf(await said(scene, head('PUT /admin/v1/routes/x', fields), whole))).toBe(401);
    expect(BODY_MAX_BYTES).toBeGreaterThan(STRANGER_BODY_MAX_BYTES);
  });

  it('that are no JSON, of another type or of another shape are refused as such, and quoted nowhere', async () => {
    const secret = 'never-to-be-quoted-0123456789';
    const tries = [
      ['{', 'application/json', 400],
      ['\u0000', 'application/json', 400],
      ['[]', 'application/json', 400],
      ['{"__proto__":{"reason":"x"}}', 'application/json', 400],
      [`{"reason":["${secret}"]}`, 'application/json', 400],
      [`{"${secret}":1}`, 'application/json', 400],
      ['{"reason":"x"}', 'text/plain', 415],
      ['a=b', 'application/x-www-form-urlencoded', 415],
      [`${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'application/json', 400],
    ] as const;
    for (const [body, type, status] of tries) {
      const told = await scene.call(owner, 'POST', '/config/reload', {
        body,
        fields: { 'content-type': type },
      });
      expect([body.slice(0, 20), told.status]).toEqual([body.slice(0, 20), status]);
      expect(told.text).not.toContain(secret);
      expect(told.headers.get('content-type')).toBe('application/problem+json');
      expect(told.json()).toMatchObject({
        status,
        code: expect.any(String),
        title: expect.any(String),
      });
    }
  });
});

describe('paths', () => {
  let scene: ConsoleScene;
  beforeAll(async () => {
    scene = await new ConsoleScene([owner, viewer]).ready();
  });
  afterAll(async () => await scene.stop());

  it.each([
    '/ui/../console-door.ts',
    '/ui/%2e%2e/console-door.ts',
    '/ui/..%2fconsole-door.ts',
    '/ui/lib/../../../package.json',
    '/ui//etc/passwd',
    '/ui/\\..\\package.json',
    '/ui/lib/preact.js%00.html',
    '/etc/passwd',
    '/admin/v1/../../package.json',
    '/admin/v1//node',
    '/admin/v1/node/',
    '/admin/v1/./node',
    '/admin/v1/%2e/node',
    '/admin/v1/requests/%00',
    '/admin/v1/requests/%zz',
    '/ADMIN/v1/node',
  ])('like %s lead nowhere', async (path) => {
    const heard = await said(scene, head(`GET ${path}`, { ...bearer(owner), connection: 'close' }));
    expect(statusOf(heard)).toBe(404);
  });

  it('with a slash in a name reach the one thing that has it', async () => {
    const told = await scene.call(owner, 'GET', '/requests/a%2Fb');
    expect([404, 503]).toContain(told.status);
  });

  it('take the methods that the document says, and say which', async () => {
    const told = await scene.call(owner, 'DELETE', '/node');
    expect([told.status, told.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    const page = await scene.page('/', { method: 'PUT' });
    expect([page.status, page.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    const headed = await scene.page('/admin/v1/node', { method: 'HEAD', headers: bearer(owner) });
    expect([headed.status, headed.text]).toEqual([200, '']);
    expect(Number(headed.headers.get('content-length'))).toBeGreaterThan(0);
  });

  it('with a query that the document does not say are refused: a filter that is misspelt filters nothing', async () => {
    for (const query of ['tenat=7', 'limit=0', 'limit=x', 'limit=1&limit=2'])
      expect((await scene.call(owner, 'GET', `/audit?${query}`)).status).toBe(400);
  });

  it('answer every page and every problem with the fields that keep browsers safe', async () => {
    for (const path of [
      '/admin/v1/node',
      '/admin/v1/nothing',
      '/ui/nothing',
      '/ui/lib/preact.js',
    ]) {
      const { headers } = await scene.page(path, { headers: bearer(owner) });
      const policy = headers.get('content-security-policy') ?? '';
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toContain('unsafe');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('access-control-allow-origin')).toBeNull();
    }
  });
});

describe('a session', () => {
  let scene: ConsoleScene;
  beforeAll(async () => {
    scene = await new ConsoleScene([owner, viewer, watcher]).ready();
  });
  afterAll(async () => await scene.stop());

  const signIn = async (by: Admin, fields = {}) => {
    const told = await scene.call(null, 'POST', '/session', { body: { token: by.token }, fields });
    const cookie = /sluice_session=[^;]*/.exec(told.headers.get('set-cookie') ?? '')?.[0] ?? '';
    return { told, cookie };
  };
  const reload = async (fields: Readonly<Record<string, string>>) =>
    await scene.call(null, 'POST', '/config/reload', { fields });

  it('is a cookie that no script reads and no other site sends', async () => {
    const { told } = await signIn(owner);
    expect(told.status).toBe(204);
    expect(told.headers.get('set-cookie')).toMatch(
      /^sluice_session=[\w-]{43}; HttpOnly; SameSite=Strict; Path=\/; Max-Age=\d+$/,
    );
    const secure = await signIn(owner, { 'x-forwarded-proto': 'https' });
    expect(secure.told.headers.get('set-cookie')).toMatch(/; Secure$/);
  });

  it('writes only with what its page was told, from that very origin', async () => {
    const { cookie } = await signIn(owner);
    const own = await scene.call(null, 'GET', '/session', { fields: { cookie } });
    const csrf = String(own.json()['csrf']);
    const good = {
      cookie,
      'x-sluice-csrf': csrf,
      origin: scene.origin,
      'sec-fetch-site': 'same-origin',
    };
    expect((await reload(good)).status).toBe(200);
    const foreign: readonly Readonly<Record<string, string>>[] = [
      { ...good, 'x-sluice-csrf': '' },
      { ...good, 'x-sluice-csrf': `${csrf.slice(0, -1)}-` },
      { ...good, origin: 'https://evil.example' },
      { ...good, origin: 'null' },
      { ...good, 'sec-fetch-site': 'cross-site' },
      { ...good, 'sec-fetch-site': 'same-site' },
      { cookie, 'x-sluice-csrf': csrf },
      { cookie, origin: scene.origin },
    ];
    for (const fields of foreign) {
      const told = await reload(fields);
      expect([told.status, told.json()['code']]).toEqual([403, 'foreign_page']);
    }
  });

  it('of one is not proven by the proof of another', async () => {
    const [first, second] = [await signIn(owner), await signIn(owner)];
    const own = await scene.call(null, 'GET', '/session', { fields: { cookie: first.cookie } });
    const fields = {
      cookie: second.cookie,
      'x-sluice-csrf': String(own.json()['csrf']),
      origin: scene.origin,
    };
    expect((await reload(fields)).status).toBe(403);
  });

  it('begins for no page of another site', async () => {
    const { told } = await signIn(owner, { origin: 'https://evil.example' });
    expect([told.status, told.headers.get('set-cookie')]).toEqual([403, null]);
  });

  it('has ended once it was signed out, and with its token', async () => {
    const { cookie } = await signIn(watcher);
    const status = async () =>
      (await scene.call(null, 'GET', '/node', { fields: { cookie } })).status;
    expect(await status()).toBe(200);
    const live = async (by: string) =>
      await fetch(`${scene.origin}/admin/v1/live`, { headers: { cookie: by } });
    const ended = (await live(cookie)).text();
    const own = await scene.call(null, 'GET', '/session', { fields: { cookie } });
    const fields = { cookie, 'x-sluice-csrf': String(own.json()['csrf']), origin: scene.origin };
    expect((await scene.call(null, 'DELETE', '/session', { fields })).status).toBe(204);
    expect(await status()).toBe(401);
    // Its live screen ends with it, and tells nothing more.
    expect(await ended).toContain('event: now');
    const again = (await signIn(watcher)).cookie;
    const cut = (await live(again)).text();
    await scene.gateway.reload(`workers = 1\n${owner.table}`);
    expect(await cut).toContain('event: now');
    expect((await scene.call(null, 'GET', '/node', { fields: { cookie: again } })).status).toBe(
      401,
    );
  });
});

describe('whoever tries credentials', () => {
  it('gets the same answer for each, and soon none: then they are not even looked at', async () => {
    const scene = await new ConsoleScene([owner, viewer]).ready();
    const told: number[] = [];
    const answers = new Set<string>();
    for (let turn = 0; turn < WRONG_BURST + 5; turn++) {
      // Another token each time; malformed ones count as well.
      const wrong = admin('x', 'owner').token;
      const authorization = turn % 2 === 0 ? `Bearer ${wrong}` : 'Bearer nothing';
      const answer = await scene.call(null, 'GET', '/node', { fields: { authorization } });
      told.push(answer.status);
      if (answer.status === 401) answers.add(answer.text);
      else expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    }
    expect(told).toEqual([...new Array(WRONG_BURST).fill(401), ...new Array(5).fill(429)]);
    expect(answers.size).toBe(1);
    // From there, not even a right one is looked at.
    expect((await scene.call(owner, 'GET', '/node')).status).toBe(429);
    const line = scene.gateway.events('admin_credential_refused').at(-1);
    expect(line).toMatchObject({ peer: '127.0.0.1', slowed_down: true });
    await scene.stop();
  });
});

describe('whoever comes from the same address as somebody who tries credentials', () => {
  it('is let in with a token that was right before, and a token that is taken away opens nothing', async () => {
    const scene = await new ConsoleScene([owner, watcher]).ready();
    const status = async (by: Admin) => (await scene.call(by, 'GET', '/node')).status;
    expect([await status(owner), await status(watcher)]).toEqual([200, 200]);
    const wrong = async () => {
      const fields = { authorization: `Bearer ${admin('x', 'owner').token}` };
      return (await scene.call(null, 'GET', '/node', { fields })).status;
    };
    await until('strangers not to be looked at', async () => (await wrong()) === 429);
    expect(await status(owner)).toBe(200);
    const told = await scene.call(null, 'POST', '/session', { body: { token: owner.token } });
    expect(told.status).toBe(204);
    await scene.gateway.reload(`workers = 1\n${owner.table}`);
    await until('the other one to open nothing', async () => (await status(watcher)) !== 200);
    expect([401, 429]).toContain(await status(watcher));
    expect(await status(owner)).toBe(200);
    await scene.stop();
  });
});

describe('whoever asks too much', () => {
  it('and says nothing on a thousand connections keeps no probe and no dashboard out', async () => {
    const scene = await new ConsoleScene([owner]).ready();
    const sockets: Socket[] = [];
    let ended = 0;
    for (let at = 0; at < 1_000; at++) {
      const socket = connect(scene.gateway.metricsPort, '127.0.0.1');
      socket.on('error', () => {});
      socket.on('close', () => ended++);
      // A head that never ends.
      socket.write('GET /admin/v1/node HTTP/1.1\r\nhost: x\r\nx-slow: ');
      sockets.push(socket);
    }
    await until('the connections beyond the bound to end', () => ended >= 1_000 - 512);
    expect((await scene.page('/livez')).status).toBe(200);
    expect((await scene.call(owner, 'GET', '/node')).status).toBe(200);
    for (const socket of sockets) socket.destroy();
    await scene.stop();
  });

  it('is told 429, or loses the connection, and probes are answered all the while', async () => {
    const scene = await new ConsoleScene([owner]).ready();
    const one = head('GET /admin/v1/node', bearer(owner));
    await until('a call beyond the rate', async () => {
      // Far more than may come at once, on one connection: behind the first that has to wait nothing more is answered there.
      const flood = said(scene, one.repeat(3 * CALLS_BURST));
      const others = Array.from({ length: 60 }, async () => await said(scene, one, whole));
      expect((await scene.page('/readyz')).status).toBe(200);
      const heard = await flood;
      expect(heard.match(/HTTP\/1\.1 /g)?.length ?? 0).toBeLessThan(3 * CALLS_BURST);
      const statuses = (await Promise.all(others)).map(statusOf);
      expect(statuses.filter((status) => ![200, 429, 503].includes(status))).toEqual([]);
      return statuses.includes(429);
    });
    await until('the console to answer again', async () => {
      return (await scene.call(owner, 'GET', '/node')).status === 200;
    });
    const turnedAway = (await scene.gateway.metrics()).get(
      'ai_console_turned_away_total{what="call"}',
    );
    expect(turnedAway).toBeGreaterThan(0);
    await scene.stop();
  });

  it('opens no more live screens than there are places, and gets one again when another leaves', async () => {
    const scene = await new ConsoleScene([owner]).ready();
    const open = async (): Promise<{ answer: Response; leave: () => void }> => {
      const abort = new AbortController();
      // Kept: of one that nobody holds any more, fetch ends the connection when its memory is collected.
      const answer = await fetch(`${scene.origin}/admin/v1/live`, {
        headers: bearer(owner),
        signal: abort.signal,
      });
      return { answer, leave: () => abort.abort() };
    };
    const screens = await Promise.all(Array.from({ length: LIVE_MAX }, open));
    expect(screens.map(({ answer }) => answer.status)).toEqual(new Array(LIVE_MAX).fill(200));
    expect((await open()).answer.status).toBe(503);
    for (const { answer, leave } of screens) {
      expect(answer.body?.locked).toBe(false);
      leave();
    }
    await until('a place to be free', async () => (await open()).answer.status === 200);
    await scene.stop();
  });
});

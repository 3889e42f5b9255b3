import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { usdOf } from '../../src/console/dashboard/format.ts';
import { CHROMIUM_MISSING, startBrowser, type View, WatchedPage } from '../support/browser.ts';
import { until } from '../support/conditions.ts';
import type { Admin } from '../support/console-scene.ts';
import {
  type DashboardScene,
  SCRIPT,
  sendTraffic,
  startDashboardScene,
} from '../support/dashboard-scene.ts';
import { NATS_MISSING } from '../support/nats.ts';
import { keepSecret } from '../support/secrets.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const DAY_MS = 86_400_000;

/** Every view of every screen. */
const VIEWS = [
  'now',
  'spend',
  'spend?by=tenant&range=30d&show=tokens',
  'requests',
  'requests?attempts=all&outcome=upstream_error',
  'keys',
  'keys?tab=budgets',
  'routes',
  'routes/chat',
  'routes?new=1',
  'providers',
  'cache',
  'cache?by=key&range=30d&order=rate',
  'policies',
  'policies?tab=limits',
  'policies?tab=tenants',
  'policies?tab=prices',
  'config',
  'config?tab=effective',
  'config?tab=origins',
  'config?tab=audit',
];

let scene: DashboardScene;
let browser: Browser;

beforeAll(async () => {
  if (CHROMIUM_MISSING !== null) return;
  [scene, browser] = await Promise.all([startDashboardScene(), startBrowser()]);
  await sendTraffic(scene);
});
afterAll(async () => {
  await browser?.close();
  await scene?.stop();
});
beforeEach((context) => {
  if (CHROMIUM_MISSING !== null) context.skip(CHROMIUM_MISSING);
});

/** The browser tells of the question by which the page finds out that nobody is signed in. */
const ASKED_WHO = /status of 401 .*\/admin\/v1\/session\)$/;

/** Runs with a page of its own, on which nothing may go wrong. */
async function look(
  as: Admin,
  does: (page: Page, watched: WatchedPage) => Promise<void>,
  view: View = {},
): Promise<void> {
  const watched = await WatchedPage.open(browser, scene.console.origin, view);
  try {
    const { page } = watched;
    await page.goto(`${scene.console.origin}/`);
    await page.getByLabel('Admin token').fill(as.token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('aside').waitFor();
    await does(page, watched);
    expect(watched.taken().filter((fault) => !ASKED_WHO.test(fault))).toEqual([]);
  } finally {
    await watched.close();
  }
}

// What runs in the page is text: these files are checked for Node, which has no document.
const OVERHANG = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';
/** The browser's own buttons count as the body. */
const FOCUS_IS_KEPT =
  'document.activeElement === document.body || document.activeElement.closest("dialog") !== null';

/** Waits until nothing of a view is still to come. */
async function settle(page: Page): Promise<void> {
  await page.locator('main h1').first().waitFor();
  await until(
    'the view to be there',
    async () => (await page.locator('.skeletons, .stale').count()) === 0,
  );
}

async function show(page: Page, view: string): Promise<void> {
  await page.goto(`${scene.console.origin}/#/${view}`);
  await settle(page);
}

/** Fills what is asked in the open dialog, and sends it. */
async function send(
  page: Page,
  fields: Readonly<Record<string, string>>,
  doing: string,
): Promise<void> {
  const dialog = page.getByRole('dialog');
  for (const [label, value] of Object.entries(fields)) {
    const field = dialog.getByLabel(label, { exact: true });
    if ((await field.evaluate((element) => element.tagName)) === 'SELECT')
      await field.selectOption(value);
    else await field.fill(value);
  }
  await dialog.getByRole('button', { name: doing, exact: true }).click();
}

/** The same, and nothing was said against it. */
async function write(
  page: Page,
  fields: Readonly<Record<string, string>>,
  doing: string,
): Promise<void> {
  await send(page, fields, doing);
  const dialog = page.getByRole('dialog');
  await until('the write to be taken', async () => {
    const note = dialog.getByRole('alert');
    if ((await note.count()) > 0) throw new Error(await note.innerText());
    return (await dialog.count()) === 0;
  });
}

async function hasFocus(page: Page, wanted: Locator): Promise<boolean> {
  return (await wanted.and(page.locator(':focus')).count()) === 1;
}

const row = (page: Page, text: string): Locator =>
  page.locator('table.data tbody tr').filter({ hasText: text });

interface Found {
  readonly id: string;
  readonly impact: string | null;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** @returns what axe calls serious or worse */
async function findings(page: Page): Promise<readonly string[]> {
  await page.evaluate(AXE);
  const found = (await page.evaluate(
    '(async () => (await axe.run(document, { resultTypes: ["violations"] })).violations)()',
  )) as readonly Found[];
  return found
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
    );
}

describe('every screen', () => {
  test.each([
    [1_280, 'light'],
    [1_280, 'dark'],
    [360, 'light'],
    [360, 'dark'],
  ] as const)('is there at %i px in %s colours, fits, tells no error, and axe finds nothing serious', async (width, colours) => {
    await look(
      scene.owner,
      async (page, watched) => {
        for (const view of VIEWS) {
          await show(page, view);
          const notes = await page.locator('main [role=alert]').allInnerTexts();
          const overhang = await page.evaluate(OVERHANG);
          const serious = await findings(page);
          const faults = watched.taken().filter((fault) => !ASKED_WHO.test(fault));
          expect({ view, notes, overhang, serious, faults }).toEqual({
            view,
            notes: [],
            overhang: 0,
            serious: [],
            faults: [],
          });
        }
      },
      { width, colours },
    );
  });

  test('shows names as text: a script as model, tenant or key name does not run', async () => {
    await look(scene.owner, async (page) => {
      for (const view of ['spend', 'requests?range=30d', 'keys', 'policies?tab=tenants']) {
        await show(page, view);
        if (view !== 'requests?range=30d') {
          expect(await page.locator('main').innerText(), view).toContain(SCRIPT);
        }
      }
      await show(page, `requests?range=30d&model=${encodeURIComponent(SCRIPT)}`);
      await page.locator('table.data tbody a').first().click();
      await page.getByText('The whole fact').first().waitFor();
      expect(await page.locator('main').innerText()).toContain(SCRIPT);
      expect(await page.evaluate('window.ran')).toBeUndefined();
    });
  });

  test('keeps what it shows in its address: a link shows another person the same', async () => {
    await look(scene.viewer, async (page) => {
      await show(page, 'spend');
      await page.getByLabel('Range', { exact: true }).selectOption('30d');
      await page.getByLabel('Told apart by').selectOption('provider');
      await page.getByLabel('Time zone').selectOption('Asia/Kathmandu');
      await page.getByLabel('Value of Model').fill('gpt-4o');
      await page.getByRole('button', { name: 'Filter', exact: true }).click();
      await page.locator('a.chip').waitFor();
      await settle(page);
      const text = await page.locator('#totals').innerText();
      const link = page.url();
      expect(link).toContain('zone=Asia%2FKathmandu');
      await show(page, 'requests');
      await page.goto(link);
      await page.reload();
      await settle(page);
      expect(await page.locator('#totals').innerText()).toBe(text);
      expect(await page.getByLabel('Range', { exact: true }).inputValue()).toBe('30d');
      expect(await page.getByLabel('Time zone').inputValue()).toMatch(/Kat(h)?mandu/);
    });
  });
});

/** What can be told again: twice the same. */
async function askAgain(): Promise<void> {
  for (const key of ['1003', '1001']) {
    for (let nth = 0; nth < 2; nth++) {
      const response = await fetch(`${scene.console.gateway.origin}/v1/chat/completions`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${scene.keys.get(key)}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify({
          model: 'openai/gpt-5-mini',
          temperature: 0,
          messages: [{ role: 'user', content: 'Nobody may read this.' }],
        }),
      });
      expect(response.status).toBe(200);
      await response.arrayBuffer();
    }
  }
}

/** A session whose prompt tells the time. */
async function breakCache(): Promise<void> {
  const key = scene.keys.get('1001') ?? '';
  for (let turn = 0; turn < 4; turn++) {
    const system = `${'word '.repeat(1_500)} It is 12:0${turn}.`;
    const messages = [
      { role: 'system', content: system },
      ...Array.from({ length: turn + 1 }, (_, nth) => ({ role: 'user', content: `Turn ${nth}` })),
    ];
    const response = await fetch(`${scene.console.gateway.origin}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${key}`,
        'content-type': 'application/json',
        'x-sluice-session': 'breaks',
      },
      body: JSON.stringify({ model: 'openai/gpt-5-mini', max_tokens: 20, messages }),
    });
    expect(response.status).toBe(200);
    await response.arrayBuffer();
  }
  await until('it to be told', () => scene.console.gateway.count('prompt_cache_broken') > 0);
}

describe('numbers', () => {
  const from = Math.floor(Date.now() / DAY_MS) * DAY_MS - 4 * DAY_MS;
  const [since, until_] = [new Date(from).toISOString(), new Date(from + 2 * DAY_MS).toISOString()];

  /** By SQL over the facts themselves, day file by day file. */
  function summed(): {
    cost: string;
    requests: number;
    input: number;
    output: number;
    unpriced: number;
  } {
    const folder = join(scene.dataDir, 'ledger');
    const total = { pico: 0n, requests: 0n, input: 0n, output: 0n, unpriced: 0n };
    for (const name of readdirSync(folder).filter((file) => /^\d{4}-.*\.db$/.test(file))) {
      const file = new DatabaseSync(join(folder, name), { readOnly: true });
      const query = file.prepare(
        `SELECT sum(cost) AS cost, count(*) AS facts, sum(input) AS input, sum(output) AS output FROM usage WHERE at_ms >= ? AND at_ms < ?`,
      );
      query.setReadBigInts(true);
      const { cost, facts, input, output } = query.get(from, from + 2 * DAY_MS) as Record<
        string,
        bigint | null
      >;
      total.pico += cost ?? 0n;
      total.requests += facts ?? 0n;
      total.input += input ?? 0n;
      total.output += output ?? 0n;
      file.close();
    }
    return {
      cost: usdOf(total.pico),
      requests: Number(total.requests),
      input: Number(total.input),
      output: Number(total.output),
      unpriced: 0,
    };
  }

  test('on the page are what the API says, and what SQL over the facts says', async () => {
    const told = await scene.console.call(
      scene.viewer,
      'GET',
      `/spend?since=${since}&until=${until_}`,
    );
    const { total } = told.json() as { total: Record<string, string | number> };
    const sql = summed();
    expect([
      total['cost_usd'],
      total['facts'],
      total['input_tokens'],
      total['output_tokens'],
    ]).toEqual([sql.cost, sql.requests, sql.input, sql.output]);
    expect(sql.requests).toBeGreaterThan(100);
    await look(scene.viewer, async (page) => {
      const range = `range=own&since=${since}&until=${until_}`;
      for (const zone of ['UTC', 'Asia/Kathmandu', 'Pacific/Honolulu']) {
        await show(page, `spend?${range}&step=hour&zone=${zone}`);
        const values = await page
          .locator('#totals data')
          .evaluateAll((all) => all.map((one) => one.getAttribute('value')));
        expect(values, zone).toEqual([
          sql.cost,
          String(total['requests']),
          String(sql.input),
          String(sql.output),
        ]);
        expect(await page.locator('#totals .unpriced').innerText()).toBe(
          `unpriced (${total['unpriced']})`,
        );
      }
    });
  });

  test('without a price are called so, and are not $0.00', async () => {
    await look(scene.viewer, async (page) => {
      await show(page, 'requests?range=30d&provider=groq&status=200');
      const costs = await page.locator('td[data-label="Cost"]').allInnerTexts();
      expect(costs).toContain('unpriced');
      expect(costs.filter((cost) => cost === '$0.00')).toEqual([]);
    });
  });

  test('of a chart stand in a table behind it, step by step', async () => {
    await look(scene.viewer, async (page) => {
      await show(
        page,
        `spend?range=own&since=${since}&until=${until_}&by=none&show=requests&step=day`,
      );
      await page.getByText('The same as a table').click();
      const cells = await page.locator('table.grid td').allInnerTexts();
      const total = await page.locator('#totals data').nth(1).getAttribute('value');
      expect(cells).toHaveLength(2);
      expect(cells.reduce((sum, cell) => sum + Number(cell.replaceAll(',', '')), 0)).toBe(
        Number(total),
      );
    });
  });

  test('go on page by page, and back with the browser', async () => {
    await look(scene.viewer, async (page) => {
      await show(page, 'requests?range=30d');
      const first = await page.locator('table.data tbody').innerText();
      await page.getByRole('link', { name: 'Next page' }).click();
      await until('the next page', async () => {
        await settle(page);
        return (await page.locator('table.data tbody').innerText()) !== first;
      });
      await page.goBack();
      await until('the first page', async () => {
        await settle(page);
        return (await page.locator('table.data tbody').innerText()) === first;
      });
    });
  });

  test('are live: what is asked now is on the screen a moment later', async () => {
    await look(scene.viewer, async (page) => {
      await show(page, 'now');
      const said = async (): Promise<number> =>
        Number(
          /([\d,]+) requests/
            .exec(await page.locator('.conditions').innerText())?.[1]
            ?.replaceAll(',', ''),
        );
      const before = await said();
      await scene.ask(scene.keys.get('1003') ?? '', 'gpt-5-mini');
      await until('the request on the screen', async () => (await said()) > before);
      expect(await page.locator('main').innerText()).toMatch(
        /Live from the node .+, and of it alone/,
      );
      for (const screen of ['spend?range=30d', 'requests', 'providers']) {
        await show(page, screen);
        expect(await page.locator('main').innerText()).toContain('What this node, ');
      }
    });
  });

  test('leave as CSV', async () => {
    await look(scene.viewer, async (page) => {
      await show(page, 'spend?range=30d');
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('link', { name: 'CSV' }).last().click(),
      ]);
      const text = readFileSync(await download.path(), 'utf8');
      expect(text).toContain('gpt-5-mini');
    });
  });

  test('P4: the hit rate of prompt caches is what SQL over the facts says was read of all input, and who breaks theirs is there', async () => {
    const folder = join(scene.dataDir, 'ledger');
    let [read, input] = [0, 0];
    for (const name of readdirSync(folder).filter((file) => /^\d{4}-.*\.db$/.test(file))) {
      const file = new DatabaseSync(join(folder, name), { readOnly: true });
      const query = file.prepare(
        'SELECT sum(cache_read) AS read, sum(input) AS input FROM usage WHERE at_ms >= ? AND at_ms < ?',
      );
      const row = query.get(from, from + 2 * DAY_MS);
      read += Number(row?.['read'] ?? 0);
      input += Number(row?.['input'] ?? 0);
      file.close();
    }
    expect(read).toBeGreaterThan(0);
    await breakCache();
    await look(scene.viewer, async (page) => {
      await show(page, `cache?range=own&since=${since}&until=${until_}&by=provider`);
      const tiles = page.locator('#prompt-cache data');
      expect(await tiles.first().getAttribute('value')).toBe(String(read / input));
      expect(await tiles.nth(1).getAttribute('value')).toBe(String(read));
      const shown = await page.locator('#prompt-cache').innerText();
      expect(shown).toContain(`${(Math.floor((1_000 * read) / input) / 10).toFixed(1)} %`);
      const rows = page
        .getByRole('table', { name: 'Prompt caches by provider' })
        .locator('tbody tr');
      expect(await rows.count()).toBe(5);
      const broken = page
        .getByRole('table', { name: 'Sessions that break their cache' })
        .locator('tbody tr');
      expect(await broken.count()).toBe(1);
      expect(await broken.innerText()).toMatch(
        /1001[\s\S]*openai\/gpt-5-mini[\s\S]*messages, byte [\d,]+ of the body/,
      );
    });
  });

  test('what guards found is there with the policies that name them, and nothing of it', async () => {
    const response = await fetch(`${scene.console.gateway.origin}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${scene.keys.get('1001')}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({
        model: 'openai/gpt-5-mini',
        messages: [{ role: 'user', content: 'Write to nobody@example.com.' }],
      }),
    });
    expect(response.status).toBe(200);
    await response.arrayBuffer();
    await look(scene.viewer, async (page) => {
      await show(page, 'cache');
      const told = (await scene.console.call(scene.viewer, 'GET', '/guards')).json() as {
        requests: number;
        findings: number;
      };
      expect(told.findings).toBeGreaterThanOrEqual(1);
      const tiles = page.locator('#guards data');
      expect(await tiles.nth(0).getAttribute('value')).toBe(String(told.requests));
      expect(await tiles.nth(1).getAttribute('value')).toBe(String(told.findings));
      const rows = page
        .getByRole('table', { name: 'Guards that policies name' })
        .locator('tbody tr');
      expect(await rows.allInnerTexts()).toEqual([
        expect.stringMatching(/pii[\s\S]*mask[\s\S]*wide/),
      ]);
      expect(await page.locator('main').innerText()).not.toContain('nobody@example.com');
    });
  });

  test('the answers that are told again are there with their size and owner, never their content, and go when an operator says so', async () => {
    await askAgain();
    await look(scene.operator, async (page) => {
      await show(page, 'cache');
      const tiles = page.locator('#answers data');
      const { requests, saved_usd: saved } = (
        await scene.console.call(scene.viewer, 'GET', '/cache')
      ).json() as { requests: { hit: number; shared: number }; saved_usd: string };
      expect(requests.hit).toBeGreaterThanOrEqual(2);
      expect(await tiles.nth(1).getAttribute('value')).toBe(String(requests.hit + requests.shared));
      expect(await tiles.nth(2).getAttribute('value')).toBe(saved);
      const rows = page.getByRole('table', { name: 'Largest answers' }).locator('tbody tr');
      const owners = await rows.locator('td[data-label="Key"]').allInnerTexts();
      expect(owners.map((text) => text.replace(/\s+/g, ' ')).sort()).toEqual([
        '1001 tenant 7',
        '1003 tenant 8',
      ]);
      expect(await page.locator('main').innerText()).not.toContain('Nobody may read');
      await page.getByRole('button', { name: 'Purge…' }).click();
      await send(page, { Tenant: '7', Reason: 'r' }, 'Throw away');
      await until('one to be left', async () => (await rows.count()) === 1);
      expect(await rows.innerText()).toContain('tenant 8');
    });
    await look(scene.tenant, async (page) => {
      await show(page, 'cache');
      expect(await page.locator('#answers').count()).toBe(0);
    });
  });
});

test('something is painted before any script is there', async () => {
  const watched = await WatchedPage.open(browser, scene.console.origin);
  const { page } = watched;
  await page.route('**/ui/*.ts', (route) => route.abort());
  await page.goto(`${scene.console.origin}/`);
  await page.getByText('Sluice', { exact: true }).waitFor();
  const painted = `performance.getEntriesByName('first-contentful-paint').length`;
  await until('its paint', async () => (await page.evaluate(painted)) === 1);
  await watched.close();
});

test('tabs that nobody sees keep no connection: the ninth of one browser is as live as the first', async () => {
  await look(scene.viewer, async (page, { context }) => {
    const shown = async (tab: Page): Promise<void> => {
      await tab.goto(`${scene.console.origin}/#/now`);
      await tab.locator('.stats').first().waitFor();
    };
    const turn = async (tab: Page, to: 'hidden' | 'visible'): Promise<void> => {
      await tab.evaluate(`(() => {
        Object.defineProperty(document, 'visibilityState', { configurable: true, value: '${to}' });
        document.dispatchEvent(new Event('visibilitychange'));
      })()`);
    };
    await shown(page);
    for (let tabs = 0; tabs < 8; tabs++) {
      const tab = await context.newPage();
      await shown(tab);
      await turn(tab, 'hidden');
    }
    // And one that is looked at again goes on.
    await turn(page, 'hidden');
    await Promise.all([
      page.waitForResponse((answer) => answer.url().endsWith('/live') && answer.status() === 200),
      turn(page, 'visible'),
    ]);
  });
});

describe('a request', () => {
  test('shows every attempt with its cost, and where such a request would go now', async () => {
    await look(scene.owner, async (page) => {
      await show(page, 'requests?route=fragile');
      await page.locator('table.data tbody a').first().click();
      await page.getByRole('heading', { name: /Its \w+ attempts?/ }).waitFor();
      const attempts = page.locator('.attempt');
      await attempts.first().waitFor();
      expect(await attempts.last().innerText()).toContain('anthropic');
      await page.getByRole('button', { name: 'Explain' }).click();
      await page.getByRole('table', { name: 'The plan' }).waitFor();
      expect(await page.getByRole('table', { name: 'The plan' }).innerText()).toContain(
        'anthropic/claude-sonnet-4-5',
      );
    });
  });

  test('is found by the beginning of its id', async () => {
    await look(scene.viewer, async (page) => {
      await show(page, 'requests?range=30d');
      const href = (await page.locator('table.data tbody a').first().getAttribute('href')) ?? '';
      const id = href.split('/').pop() ?? '';
      await page.getByLabel('The beginning of a request id').fill(id.slice(0, -1));
      await page.getByRole('button', { name: 'Search' }).click();
      await until('one row', async () => {
        await settle(page);
        return (await page.locator('table.data tbody tr').count()) < 17;
      });
      expect(await page.locator('table.data tbody').innerHTML()).toContain(id);
    });
  });
});

describe('a write', () => {
  test('mints a key that is shown once and works, changes it, and ends it', async () => {
    await look(scene.owner, async (page) => {
      await show(page, 'keys');
      await page.getByRole('button', { name: 'Mint a key' }).click();
      await send(
        page,
        { Name: 'browser', Tenant: '7', Class: 'agent', Policy: 'wide', Reason: 'a test' },
        'Mint',
      );
      const shown = page.getByLabel('Virtual key');
      await shown.waitFor();
      const secret = keepSecret(await shown.innerText());
      await page.getByRole('button', { name: 'Copy' }).click();
      await page.getByText('The key is in the clipboard.').waitFor();
      expect(await page.evaluate('navigator.clipboard.readText()')).toBe(secret);
      await page.getByRole('button', { name: 'I have kept it' }).click();
      expect(await page.content()).not.toContain(secret);
      await until('the key to work', async () => (await scene.ask(secret, 'gpt-5-mini')) === 200);

      await settle(page);
      await row(page, 'browser').getByRole('button', { name: 'Change' }).click();
      await write(page, { Name: 'browser-2', Reason: 'another name' }, 'Change');
      await row(page, 'browser-2').getByRole('button', { name: 'Expire' }).click();
      await write(page, { Reason: 'over' }, 'Expire');
      await row(page, 'browser-2').filter({ hasText: 'expired' }).waitFor();
      await until(
        'the key to be refused',
        async () => (await scene.ask(secret, 'gpt-5-mini')) === 401,
      );
    });
  });

  test('denies a key and a tenant on every node, and allows them again', async (context) => {
    if (NATS_MISSING !== null) return context.skip(NATS_MISSING);
    const key = scene.keys.get('1003') ?? '';
    await look(scene.operator, async (page) => {
      await show(page, 'keys');
      await row(page, 'nightly-batch').getByRole('button', { name: 'Deny' }).click();
      await write(page, { Reason: 'fraud' }, 'Deny');
      await until('the key to be denied', async () => (await scene.ask(key, 'gpt-5-mini')) === 403);
      await row(page, 'nightly-batch').getByRole('button', { name: 'Allow' }).click();
      await write(page, { Reason: 'a mistake' }, 'Allow');
      await until(
        'the key to be allowed',
        async () => (await scene.ask(key, 'gpt-5-mini')) === 200,
      );
      await show(page, 'policies?tab=tenants');
      await row(page, SCRIPT).getByRole('button', { name: 'Deny' }).click();
      await write(page, { Reason: 'spend' }, 'Deny');
      await until(
        'the tenant to be denied',
        async () => (await scene.ask(key, 'gpt-5-mini')) === 402,
      );
      await row(page, SCRIPT).getByRole('button', { name: 'Allow' }).click();
      await write(page, { Reason: 'a mistake' }, 'Allow');
      await until(
        'the tenant to be allowed',
        async () => (await scene.ask(key, 'gpt-5-mini')) === 200,
      );
    });
  });

  test('edits a route: the next request goes by it, and taken back the file holds again', async () => {
    await look(scene.operator, async (page) => {
      await show(page, 'routes/editable');
      await page.getByLabel('Target 1', { exact: true }).fill('groq/llama-3.3-70b-versatile');
      await page.getByLabel('Weight of target 1').fill('3');
      await page.getByRole('button', { name: 'Add' }).last().click();
      await page.getByLabel('Fallback 2', { exact: true }).fill('mistral/mistral-large-latest');
      await page.getByRole('button', { name: 'Move mistral/mistral-large-latest up' }).click();
      await page.getByLabel('Balance').selectOption('cost');
      await page.getByRole('button', { name: 'Save…' }).click();
      await write(page, { Reason: 'the other one failed' }, 'Save');
      await page.getByText('run time').first().waitFor();
      expect(await page.getByLabel('Fallback 1', { exact: true }).inputValue()).toBe(
        'mistral/mistral-large-latest',
      );
      const told = await scene.console.call(scene.viewer, 'GET', '/routes/editable');
      expect(told.json()['value']).toMatchObject({
        targets: [{ to: 'groq/llama-3.3-70b-versatile', weight: 3 }],
        fallbacks: ['mistral/mistral-large-latest', 'anthropic/claude-sonnet-4-5'],
        balance: 'cost',
      });
      // What is explained is what runs: the workers take the route a moment after it is saved.
      await until('the plan of what was saved', async () => {
        await page.getByRole('button', { name: 'Explain' }).click();
        const plan = page.getByRole('table', { name: 'The plan' });
        await plan.waitFor();
        return (await plan.innerText()).includes('groq/');
      });
      expect(await page.evaluate(OVERHANG)).toBe(0);
      await page.getByRole('button', { name: 'Back to the file' }).click();
      await write(page, { Reason: 'no more' }, 'Take back');
      await until('the file to hold', async () => {
        const { value } = (
          await scene.console.call(scene.viewer, 'GET', '/routes/editable')
        ).json();
        return JSON.stringify(value).includes('fault-500');
      });
    });
  });

  test('rehearses a failure from the screen of its route: who answers instead, and on which way', async () => {
    await look(scene.operator, async (page) => {
      await show(page, 'routes/chat');
      await page.getByLabel('Virtual key').fill(scene.keys.get('1003') ?? '');
      const send = page.getByRole('button', { name: 'Rehearse…' });
      expect(await send.getAttribute('title')).toBe('Let a target fail first.');
      for (const target of ['openai/gpt-5-mini', 'groq/llama-3.3-70b-versatile'])
        await page.getByLabel(target, { exact: true }).selectOption('503');
      await send.click();
      await write(page, { Reason: 'before the launch' }, 'Rehearse');
      const tried = page.getByRole('table', { name: 'What was tried' });
      await tried.waitFor();
      const rows = await tried.locator('tbody tr').allInnerTexts();
      expect(rows.filter((text) => text.includes('503')).length).toBeGreaterThan(1);
      expect(rows.at(-1)).toMatch(/anthropic\/claude-sonnet-4-5[\s\S]*200/);
      expect(await page.locator('.rehearsed').innerText()).toContain(
        '200 from anthropic/claude-sonnet-4-5',
      );
      expect(await page.evaluate(OVERHANG)).toBe(0);
      expect(await findings(page)).toEqual([]);
    });
    await look(scene.viewer, async (page) => {
      await show(page, 'routes/chat');
      const send = page.getByRole('button', { name: 'Rehearse…' });
      expect(await send.getAttribute('title')).toContain('this takes an operator');
    });
  });

  test('makes a new route, and says in sentences what a gateway would refuse', async () => {
    await look(scene.operator, async (page, watched) => {
      await show(page, 'routes?new=1');
      await page.getByLabel('Name', { exact: true }).fill('quick');
      await page.getByLabel('Target 1', { exact: true }).fill('opnai/gpt-5-mini');
      await page.getByRole('button', { name: 'Save…' }).click();
      await send(page, { Reason: 'a new one' }, 'Save');
      const note = page.getByRole('dialog').getByRole('alert');
      await note.waitFor();
      expect(await note.innerText()).toContain('opnai');
      expect(watched.taken().join()).toContain('422');
      await page.keyboard.press('Escape');
      await page.getByLabel('Target 1', { exact: true }).fill('openai/gpt-5-mini');
      await page.getByRole('button', { name: 'Save…' }).click();
      await write(page, { Reason: 'a new one' }, 'Save');
      await page.getByRole('heading', { name: 'quick' }).waitFor();
      await page.getByRole('button', { name: 'Remove' }).click();
      await write(page, { Reason: 'no more' }, 'Take back');
      await page.getByRole('heading', { name: 'Routes' }).waitFor();
    });
  });

  test('edits policies, tenants and prices, and takes them back', async () => {
    await look(scene.owner, async (page) => {
      const cases = [
        [
          'policies',
          'New policy',
          { Name: 'trial', 'Requests a minute': '5', Models: 'chat, openai/*', Reason: 'r' },
          'trial',
        ],
        ['policies?tab=tenants', 'New tenant', { Name: '77', Policy: 'wide', Reason: 'r' }, '77'],
        [
          'policies?tab=prices',
          'New price',
          { Name: 'groq/llama-of-ours', Input: '0.20', Output: '0.60', Reason: 'r' },
          'groq/llama-of-ours',
        ],
      ] as const;
      for (const [view, button, fields, name] of cases) {
        await show(page, view);
        await page.getByRole('button', { name: button }).click();
        // A tenant has two names: the id that it is, and the one that it is given.
        const dialog = page.getByRole('dialog');
        await dialog.getByLabel('Name', { exact: true }).first().fill(fields.Name);
        const { Name: _, ...others } = fields;
        await write(page, others, 'Save');
        await row(page, name).waitFor();
        await row(page, name).getByRole('button', { name: 'Change' }).click();
        await dialog.getByLabel('Reason').waitFor();
        await write(page, { Reason: 'once more' }, 'Save');
        await row(page, name).getByRole('button', { name: 'Take back' }).click();
        await dialog.waitFor();
        await write(page, { Reason: 'no more' }, 'Take back');
        await until(`${name} to be gone`, async () => {
          await settle(page);
          return (await row(page, name).count()) === 0;
        });
      }
    });
  });

  test('of two people on one revision lets one through, and tells the other', async () => {
    await look(scene.owner, async (page, watched) => {
      await show(page, 'policies');
      await row(page, 'wide').getByRole('button', { name: 'Change' }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Reason').waitFor();
      const read = await scene.console.call(scene.owner, 'GET', '/policies/wide');
      const etag = read.headers.get('etag');
      const other = await scene.console.call(scene.owner, 'PUT', '/policies/wide', {
        body: { value: { budget_usd_per_month: 2_000 }, reason: 'meanwhile' },
        fields: etag === null ? {} : { 'if-match': etag },
      });
      expect(other.status).toBeLessThan(300);
      await send(page, { 'Requests a minute': '9', Reason: 'too late' }, 'Save');
      await dialog.getByRole('alert').waitFor();
      expect(await dialog.getByRole('alert').innerText()).toContain(
        'Somebody else has changed this',
      );
      expect(watched.taken().join()).toContain('412');
    });
  });

  test('ends a rest and closes a breaker', async () => {
    await look(scene.operator, async (page) => {
      const key = scene.keys.get('1003') ?? '';
      const isOpen = async (): Promise<boolean> => {
        const { rows } = (await scene.console.call(scene.operator, 'GET', '/providers')).json() as {
          rows: readonly { targets: readonly { name: string; state: string }[] }[];
        };
        return rows.some(({ targets }) =>
          targets.some(({ name, state }) => name === 'openai/fault-500' && state === 'open'),
        );
      };
      const reset = row(page, 'openai/fault-500').getByRole('button', { name: 'Reset' });
      // A rest that is over before the page is there is no fault: the next one is longer.
      await until('a reset to be offered', async () => {
        await scene.ask(key, 'fragile');
        await show(page, 'providers');
        return (await reset.count()) > 0;
      });
      await reset.click();
      await write(page, { Reason: 'it is mended' }, 'Reset');
      await until('the breaker to be closed', async () => !(await isOpen()));
    });
  });

  test('reads the configuration again, and stands in the audit log with its reason', async () => {
    await look(scene.owner, async (page) => {
      await show(page, 'config');
      await page.getByRole('button', { name: 'Reload' }).click();
      await write(page, { Reason: 'a look at the file' }, 'Reload');
      await page.getByText('The configuration is read again.').waitFor();
      await show(page, 'config?tab=audit');
      const text = await row(page, 'a look at the file').first().innerText();
      expect(text).toContain('olga');
      expect(text).toContain('reload');
    });
  });
});

describe('who may what', () => {
  test('a viewer sees why nothing can be changed', async () => {
    await look(scene.viewer, async (page) => {
      await show(page, 'keys');
      const mint = page.getByRole('button', { name: /Mint a key/ });
      expect(await mint.getAttribute('aria-disabled')).toBe('true');
      expect(await mint.getAttribute('title')).toBe(
        'You are signed in as viewer; this takes an owner.',
      );
      await mint.click({ force: true });
      expect(await page.getByRole('dialog').count()).toBe(0);
      await show(page, 'config?tab=audit');
      expect(await page.locator('main').innerText()).toContain(
        'this takes an operator or an owner',
      );
    });
  });

  test('what the file has locked is shown as locked, with its place', async () => {
    await look(scene.owner, async (page) => {
      await show(page, 'routes/locked-one');
      const note = page.locator('.note').filter({ hasText: 'locked' });
      await until('the place', async () => /config\.toml/.test(await note.innerText()));
      expect(await page.getByRole('button', { name: /Save/ }).getAttribute('aria-disabled')).toBe(
        'true',
      );
    });
  });

  test('a token of one tenant shows this tenant alone, and no screen of the whole node', async () => {
    await look(scene.tenant, async (page) => {
      await page.getByRole('heading', { name: 'Spend' }).waitFor();
      await show(page, 'spend?by=tenant&range=30d');
      expect(await page.locator('td[data-label="Tenant"]').allInnerTexts()).toEqual(['7']);
      await show(page, 'keys');
      expect(await page.locator('main').innerText()).not.toContain('nightly-batch');
      expect(await page.locator('nav a').allInnerTexts()).not.toContain('Now');
    });
  });

  test('a wrong token is told so, and signing out ends the session', async () => {
    const watched = await WatchedPage.open(browser, scene.console.origin);
    const { page } = watched;
    await page.goto(`${scene.console.origin}/`);
    await page.getByLabel('Admin token').fill(`sat_${'x'.repeat(43)}`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('This token is not one of this gateway').waitFor();
    await watched.close();
    await look(scene.viewer, async (signedIn, { context }) => {
      await signedIn.getByRole('button', { name: 'Sign out' }).click();
      await signedIn.getByLabel('Admin token').waitFor();
      const again = await context.request.get(`${scene.console.origin}/admin/v1/session`);
      expect(again.status()).toBe(401);
    });
  });
});

describe('by the keyboard alone', () => {
  /** Presses Tab until what is meant has the focus. */
  async function tabTo(page: Page, wanted: Locator): Promise<void> {
    for (let presses = 0; presses < 80; presses++) {
      if (await hasFocus(page, wanted)) return;
      await page.keyboard.press('Tab');
    }
    throw new Error(`no Tab leads to ${wanted}`);
  }

  test('somebody signs in, goes to a screen, writes, and is back where the dialog was opened', async () => {
    const watched = await WatchedPage.open(browser, scene.console.origin);
    const { page } = watched;
    await page.goto(`${scene.console.origin}/`);
    await page.getByLabel('Admin token').waitFor();
    await tabTo(page, page.getByLabel('Admin token'));
    await page.keyboard.insertText(scene.owner.token);
    await page.keyboard.press('Enter');
    await page.locator('aside').waitFor();
    await tabTo(page, page.getByRole('link', { name: 'Keys and budgets' }));
    const outline = await page.evaluate('getComputedStyle(document.activeElement).outlineStyle');
    expect(outline).toBe('solid');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Keys and budgets' }).waitFor();
    await settle(page);
    const mint = page.getByRole('button', { name: 'Mint a key' });
    await tabTo(page, mint);
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog');
    await dialog.waitFor();
    // All the way round and further: the focus stays inside, or with the browser itself.
    for (let presses = 0; presses < 20; presses++) {
      await page.keyboard.press('Tab');
      const inside = await page.evaluate(FOCUS_IS_KEPT);
      expect(inside).toBe(true);
    }
    await page.keyboard.press('Escape');
    expect(await dialog.count()).toBe(0);
    expect(await hasFocus(page, mint)).toBe(true);
    await page.keyboard.press('Enter');
    await tabTo(page, dialog.getByLabel('Name', { exact: true }));
    await page.keyboard.insertText('by keyboard');
    await tabTo(page, dialog.getByLabel('Tenant'));
    await page.keyboard.insertText('9');
    await tabTo(page, dialog.getByLabel('Reason'));
    await page.keyboard.insertText('no mouse');
    await page.keyboard.press('Enter');
    await page.getByLabel('Virtual key').waitFor();
    keepSecret(await page.getByLabel('Virtual key').innerText());
    await page.keyboard.press('Escape');
    await row(page, 'by keyboard').waitFor();
    await watched.close();
  });

  test('on a phone the menu opens, leads on, and closes with Esc', async () => {
    await look(
      scene.viewer,
      async (page) => {
        const menu = page.getByRole('button', { name: 'Menu' });
        await tabTo(page, menu);
        await page.keyboard.press('Enter');
        await page.getByRole('link', { name: 'Spend' }).waitFor();
        await page.keyboard.press('Escape');
        expect(await page.getByRole('link', { name: 'Spend' }).isVisible()).toBe(false);
        await page.keyboard.press('Enter');
        await tabTo(page, page.getByRole('link', { name: 'Spend' }));
        await page.keyboard.press('Enter');
        await page.getByRole('heading', { name: 'Spend' }).waitFor();
        expect(
          await page.locator('aside').getByRole('link', { name: 'Requests' }).isVisible(),
        ).toBe(false);
      },
      { width: 360 },
    );
  });
});

test('the switch of colours is kept in the browser', async () => {
  await look(scene.viewer, async (page) => {
    const paper = async (): Promise<string> =>
      await page.evaluate('getComputedStyle(document.body).backgroundColor');
    const light = await paper();
    await page.getByLabel('Colours').selectOption('dark');
    const dark = await paper();
    expect(dark).not.toBe(light);
    await page.reload();
    await page.locator('aside').waitFor();
    expect(await paper()).toBe(dark);
  });
});

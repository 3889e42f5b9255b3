/**
 * `npm run screenshots`: the pictures of the README, taken of the real dashboard on a gateway with a month behind it and
 * traffic on it. Everything in them was made up by `test/support/dashboard-scene.ts`.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { startBrowser, WatchedPage } from '../support/browser.ts';
import { startDashboardScene } from '../support/dashboard-scene.ts';
import { ROOT } from '../support/source-tree.ts';

/** How long there is traffic before the picture of what goes on now. */
const LIVE_MS = 75_000;
const ASK_EVERY_MS = 120;

const scene = await startDashboardScene('gpt-oss-120b');
const browser = await startBrowser();
const models = ['chat', 'fragile', 'gpt-5-mini', 'anthropic/claude-sonnet-4-5', 'no-such/model'];
const keys = [...scene.keys.values()];
let asked = 0;
const traffic = setInterval(() => {
  // Waves, so that there is something to see.
  if (Math.sin(asked++ / 40) < -0.4 && asked % 3 > 0) return;
  void scene.ask(keys[asked % keys.length] ?? '', models[asked % 13 === 0 ? 4 : asked % 4] ?? '');
}, ASK_EVERY_MS);

for (const [name, view, colours] of [
  ['dashboard-spend', 'spend?range=30d', 'light'],
  ['dashboard-now', 'now', 'dark'],
] as const) {
  const { page, context } = await WatchedPage.open(browser, scene.console.origin, { colours });
  await page.goto(`${scene.console.origin}/#/${view}`);
  await page.getByLabel('Admin token').fill(scene.owner.token);
  await page.keyboard.press('Enter');
  await page.locator('aside').waitFor();
  await sleep(view === 'now' ? LIVE_MS : 2_000);
  await page.screenshot({ path: `${ROOT}docs/${name}.png` });
  await context.close();
}
clearInterval(traffic);
await browser.close();
await scene.stop();

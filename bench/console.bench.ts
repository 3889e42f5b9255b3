/**
 * `npm run bench:console -- [FACTS] [FOLDER]`: the dashboard on a month of facts, in a Chromium with a quarter of the CPU: how long
 * each screen takes to be painted first, how long until it is whole, and how long the gateway has for what it asks. Ten million facts take
 * minutes to make; a FOLDER that has some is used as it is, and kept.
 */

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBrowser } from '../test/support/browser.ts';
import { until } from '../test/support/conditions.ts';
import { admin, ConsoleScene } from '../test/support/console-scene.ts';
import { poolKeys } from '../test/support/managed.ts';
import { writeMonth } from './ends/made-month.ts';
import { fixed, printTable, warnWhenBusy } from './results.ts';
import { percentile } from './statistics.ts';
import { threadCpu } from './thread-cpu.ts';

const FACTS = Number(process.argv[2] ?? 10_000_000);
const isKept = process.argv[3] !== undefined;
const folder = process.argv[3] ?? mkdtempSync(join(tmpdir(), 'sluice-console-bench-'));
/** How often a screen is shown, and each of its questions is asked. */
const SHOWN = 3;
const ASKED = 15;
const SLOWER = 4;

const VIEWS = [
  'now',
  'spend?range=30d&by=key',
  'spend?range=30d&by=model&zone=Asia%2FKathmandu',
  'spend?range=7d&step=hour&by=key',
  'requests?range=30d',
  'requests?range=30d&key=7',
  'keys?tab=budgets',
  'providers',
  'policies?tab=limits',
  'config',
];

const isMade = existsSync(join(folder, 'ledger', 'kept.db'));
if (!isMade) writeMonth(folder, FACTS);
warnWhenBusy();
const owner = admin('olga', 'owner');
const scene = await new ConsoleScene([owner], {
  config: `data_dir = "${folder}"
${poolKeys({ openai: 'sk-pool-of-the-bench', anthropic: 'sk-pool-of-the-other' })}
[policies.default]
rpm = 600
budget_usd_per_day = 100
[keys.7]
name = "seven"
tenant = "7"
[routes.chat]
targets = ["openai/gpt-5-mini"]
fallbacks = ["anthropic/claude-sonnet-4-5"]
`,
}).ready();
const browser = await startBrowser();
const context = await browser.newContext({ viewport: { width: 1_280, height: 860 } });
const page = await context.newPage();
await page.goto(`${scene.origin}/`);
await page.getByLabel('Admin token').fill(owner.token);
await page.getByRole('button', { name: 'Sign in' }).click();
await page.locator('aside').waitFor();
const devtools = await context.newCDPSession(page);
await devtools.send('Emulation.setCPUThrottlingRate', { rate: SLOWER });

/** In the page: from when it began until nothing of the view is still to come, as its own clock has it; milliseconds. */
const WHOLE = `new Promise((resolve) => {
  const look = () => {
    const isThere = document.querySelector('main h1') !== null && document.querySelector('.skeletons, .stale, .booting') === null;
    if (isThere) requestAnimationFrame(() => resolve(performance.now()));
    else setTimeout(look, 5);
  };
  look();
})`;
const PAINT = `performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN`;

interface Row {
  readonly view: string;
  readonly paint: number;
  readonly whole: number;
  /** Within the page that is there already. */
  readonly turned: number;
  /** The question that took longest when it was new. */
  readonly first: number;
  readonly slowest: string;
  /** Of all questions, asked again and again: by the clock, and CPU of the gateway's own threads. */
  readonly p95: number;
  readonly cpuP50: number;
  readonly cpuP95: number;
}

const middle = (times: readonly number[]): number =>
  percentile(
    times.toSorted((a, b) => a - b),
    0.5,
  );

async function shown(view: string): Promise<Row> {
  const asked = new Set<string>();
  page.on('request', (request) => {
    const url = request.url();
    if (url.includes('/admin/v1/') && request.method() === 'GET' && !url.endsWith('/live'))
      asked.add(url.slice(scene.origin.length));
  });
  const [paint, whole, turned]: [number[], number[], number[]] = [[], [], []];
  for (let turn = 0; turn < SHOWN; turn++) {
    await page.goto('about:blank');
    await page.goto(`${scene.origin}/#/${view}`);
    whole.push(Number(await page.evaluate(WHOLE)));
    paint.push(Number(await page.evaluate(PAINT)));
    await page.evaluate(`location.hash = '#/nowhere'`);
    await page.getByText('There is no such screen.').waitFor();
    const took = `(async () => { const from = performance.now(); location.hash = ${JSON.stringify(`#/${view}`)}; await new Promise((next) => setTimeout(next, 0)); return (await ${WHOLE}) - from; })()`;
    turned.push(Number(await page.evaluate(took)));
  }
  page.removeAllListeners('request');
  const times: number[] = [];
  const cpu: number[] = [];
  let first = 0;
  let slowest = '';
  for (const path of asked) {
    for (let turn = 0; turn < ASKED; turn++) {
      const before = performance.now();
      const cpuBefore = ofConsole();
      const told = await until('the door to let it in', async () => {
        const answer = await fetch(`${scene.origin}${path}`, {
          headers: { authorization: `Bearer ${owner.token}` },
        });
        await answer.arrayBuffer();
        return answer.status !== 429;
      });
      if (!told) throw new Error(path);
      const ms = performance.now() - before;
      times.push(ms);
      cpu.push(ofConsole() - cpuBefore);
      if (turn === 0 && ms > first) [first, slowest] = [ms, path];
    }
  }
  times.sort((a, b) => a - b);
  cpu.sort((a, b) => a - b);
  return {
    view,
    paint: middle(paint),
    whole: middle(whole),
    turned: middle(turned),
    first,
    p95: percentile(times, 0.95),
    cpuP50: percentile(cpu, 0.5),
    cpuP95: percentile(cpu, 0.95),
    slowest: slowest.replace('/admin/v1', '').slice(0, 60),
  };
}

/** Milliseconds of CPU that the gateway has taken for the console: its data plane does nothing here. */
function ofConsole(): number {
  const { main, console } = threadCpu(scene.gateway.child.pid ?? 0);
  return main + console;
}

const rows: Row[] = [];
for (const view of VIEWS) {
  rows.push(await shown(view));
  process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`);
}
await browser.close();
await scene.stop();
if (!isKept) rmSync(folder, { recursive: true, force: true });
printTable(
  `The dashboard on ${FACTS} facts of 30 days; Chromium ${SLOWER} times slower; milliseconds`,
  [
    { title: 'screen', cell: ({ view }) => view },
    { title: 'first paint', cell: ({ paint }) => fixed(paint, 0) },
    { title: 'whole', cell: ({ whole }) => fixed(whole, 0) },
    { title: 'turned to', cell: ({ turned }) => fixed(turned, 0) },
    { title: 'server p95', cell: ({ p95 }) => fixed(p95, 1) },
    { title: 'its CPU p50', cell: ({ cpuP50 }) => fixed(cpuP50, 1) },
    { title: 'p95', cell: ({ cpuP95 }) => fixed(cpuP95, 1) },
    { title: 'slowest first', cell: ({ first }) => fixed(first, 0) },
    { title: 'of', cell: ({ slowest }) => slowest },
  ],
  rows,
);

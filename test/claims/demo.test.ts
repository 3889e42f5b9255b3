import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { UsageReport } from '../../src/ledger/usage-report.ts';
import { writeHistory } from '../demo/history.ts';
import { until } from '../support/conditions.ts';
import { ROOT } from '../support/gateway.ts';
import { NATS_MISSING } from '../support/nats.ts';

/** Ten seconds on a machine that does nothing else, in milliseconds. */
const STORY_MS = 90_000;

const DAY_MS = 86_400_000;

/** By what the demo's week is told. */
const WORDS = ['tenant', 'class', 'provider', 'model', 'route', 'status'] as const;

class Demo {
  readonly child: ChildProcess;
  said = '';

  constructor(...options: readonly string[]) {
    this.child = spawn(process.execPath, [join(ROOT, 'test/demo/main.ts'), ...options], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', (text: Buffer) => {
        this.said += text.toString();
      });
  }

  /** What it said, its line breaks and indentation taken out. */
  get prose(): string {
    return this.said.replaceAll(/\s+/g, ' ');
  }
}

/** By the address and the token that it ends with. */
async function showsItsWeek(said: string): Promise<void> {
  const [, at, token] = /(http:\S+)\/\n +token +(sat_\S+)/.exec(said) ?? [];
  const asked = async (path: string): Promise<unknown> => {
    const response = await fetch(`${at}/admin/v1${path}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(response.status).toBe(200);
    return await response.json();
  };
  expect(await asked('/node')).toMatchObject({ demo: true, ledger: 'node' });
  const since = new Date(Date.now() - 8 * DAY_MS).toISOString();
  const used = (await asked(`/usage?by=tenant&since=${since}&order=name`)) as {
    readonly rows: readonly { readonly by: { readonly tenant: string } }[];
  };
  expect(used.rows.map(({ by }) => by.tenant).sort()).toEqual(['42', '7', '8', '9']);
  expect(await asked('/keys')).toMatchObject({ rows: expect.objectContaining({ length: 5 }) });
}

it("the week of the demo's dashboard is the same each time, of several tenants, models and statuses; a fallback answers, and what has no price says so", () => {
  const nowMs = Date.parse('2026-11-28T09:30:00Z');
  const [week = [], again] = [1, 2].map(() => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-week-'));
    try {
      expect(writeHistory(folder, nowMs)).toBeGreaterThan(1_000);
      const span = { fromMs: nowMs - 8 * DAY_MS, toMs: nowMs };
      return new UsageReport(folder).by(WORDS, span);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
  expect(again).toEqual(week);
  const rows = week.map(({ by, usage }) => {
    const [tenant = '', kind = '', provider = '', model = '', route = '', status = ''] = by;
    return { tenant, kind, provider, model, route, status, unpriced: usage.unpriced };
  });
  const values = (name: 'tenant' | 'kind' | 'status'): readonly string[] =>
    [...new Set(rows.map((row) => row[name]))].sort();
  expect(values('tenant')).toEqual(['7', '8', '9']);
  expect(values('kind')).toEqual(['agent', 'application', 'developer']);
  expect(values('status')).toEqual(['200', '429', '503', 'client_gone', 'upstream_error']);
  expect(rows).toContainEqual(
    expect.objectContaining({ route: 'chat', provider: 'anthropic', status: '200', unpriced: 0 }),
  );
  for (const row of rows) {
    const isServed = row.status === '200' || row.status === 'client_gone';
    const isUnpriced = isServed && row.model === 'gpt-next-preview';
    expect(row.unpriced > 0, JSON.stringify(row)).toBe(isUnpriced);
  }
});

const isServed = async (origin: string): Promise<boolean> =>
  await fetch(`${origin}/v1`).then(
    () => true,
    () => false,
  );

it(
  'the demo tells its story to the end: both SDKs, a virtual key, its fact, a 402, a cut stream',
  async (ctx) => {
    if (NATS_MISSING !== null) return ctx.skip(NATS_MISSING);
    const demo = new Demo();
    expect(await once(demo.child, 'exit'), demo.said).toEqual([0, null]);
    const told = [
      'before it is paid for.',
      'why you pay by the token.',
      /mint --secret signing-1\.secret --tenant 42 --vpc 99 bai_v1\.1\./,
      /tenant 42 used 7 tokens in and 23 out of gpt-5-mini at openai, the provider's own count/,
      /deny tenant 42 --reason spend .* raised APIError 402: .* allow tenant 42 .* Hello! I am/,
      /Once upon a time a river wanted to know where it The SDK raised APIError: /,
      /the gateway took \d+ µs/,
    ];
    for (const line of told) expect(demo.prose).toMatch(line);
  },
  STORY_MS,
);

it(
  'without NATS the demo says what to install and cuts off another way; kept, its dashboard has a week that is marked as made up; killed, it leaves nothing behind',
  async () => {
    const demo = new Demo('--keep', '--without-nats');
    const said = await until(
      'the end of the story',
      () => {
        expect(demo.child.exitCode, demo.said).toBe(null);
        return /gateway {4}(http:\S+)[\s\S]*Stop with Ctrl-C/.exec(demo.said);
      },
      STORY_MS,
    );
    expect(demo.prose).toMatch(/apt-get install nats-server/);
    expect(demo.prose).toMatch(/raised AuthenticationError 401: /);
    await showsItsWeek(demo.said);
    const origin = said[1] ?? '';
    expect(await isServed(origin)).toBe(true);
    demo.child.kill('SIGKILL');
    await until('the gateway to leave', async () => !(await isServed(origin)));
  },
  2 * STORY_MS,
);

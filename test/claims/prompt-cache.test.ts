import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startMock } from '../../src/mock/server.ts';
import { until } from '../support/conditions.ts';
import { type Admin, admin, ConsoleScene } from '../support/console-scene.ts';
import { sluice } from '../support/gateway.ts';
import { facts, poolKeys, signingKeys, token } from '../support/managed.ts';

const OWNER: Admin = admin('olga', 'owner');
const KEYS = [token({ keyId: 7n }), token({ tenantId: 43n, keyId: 8n })] as const;

let folder: string;
let mock: Awaited<ReturnType<typeof startMock>>;
let scene: ConsoleScene;

const open = async (): Promise<ConsoleScene> =>
  await new ConsoleScene([OWNER], {
    config:
      `data_dir = "${folder}"\n[provider_authorities]\nopenai = "${mock.origin}"\nanthropic = "${mock.origin}"\n` +
      poolKeys({ openai: 'sk-pool', anthropic: 'sk-ant-pool' }) +
      signingKeys() +
      '[routes.chat]\ntargets = ["openai/gpt-4o"]\n',
  }).ready();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-prompt-cache-'));
  mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
  scene = await open();
});
afterAll(async () => {
  await scene.stop();
  await mock.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Sums {
  input: number;
  read: number;
  written: number;
}

const NOTHING: Sums = { input: 0, read: 0, written: 0 };

/** What the mock says of one whole answer. */
function saidBy(body: unknown): Sums {
  const { usage } = body as { usage: Readonly<Record<string, unknown>> };
  const count = (name: string): number => Number(usage[name] ?? 0);
  if ('prompt_tokens' in usage) {
    const details = usage['prompt_tokens_details'] as { cached_tokens?: number } | undefined;
    return { input: count('prompt_tokens'), read: details?.cached_tokens ?? 0, written: 0 };
  }
  const [read, written] = [count('cache_read_input_tokens'), count('cache_creation_input_tokens')];
  return { input: count('input_tokens') + read + written, read, written };
}

async function ask(
  key: string,
  path: string,
  body: object,
  fields: Readonly<Record<string, string>> = {},
): Promise<Sums> {
  const response = await fetch(`${scene.gateway.origin}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...fields },
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(200);
  return saidBy(await response.json());
}

const text = (words: number): string => 'word '.repeat(words);

async function kept(): Promise<void> {
  await until('every fact to be in the ledger', async () => {
    const metrics = await scene.gateway.metrics();
    return (metrics.get('ai_ledger_facts_total') ?? 0) >= facts(scene.gateway).length;
  });
}

interface Use {
  readonly input_tokens: number;
  readonly cache_read_tokens: number;
  readonly cache_write_tokens: number;
  readonly hit_rate: number | null;
}

const useOf = ({ input, read, written }: Sums): Use => ({
  input_tokens: input,
  cache_read_tokens: read,
  cache_write_tokens: written,
  hit_rate: read / input,
});

test('P4: the hit rate that is told is the sum of what the providers said was read of all that went in, by key, too', async () => {
  const sums = new Map<string, Sums>();
  for (const [at, key] of KEYS.entries()) {
    let own = NOTHING;
    for (const words of [40, 2_000, 5_000 + 900 * at]) {
      const messages = [{ role: 'user', content: text(words) }];
      const marked = [{ type: 'text', text: text(words), cache_control: { type: 'ephemeral' } }];
      for (const said of [
        await ask(key, '/v1/chat/completions', { model: 'chat', messages }),
        await ask(key, '/openai/v1/chat/completions', { model: 'gpt-5-mini', messages }),
        await ask(key, '/v1/messages', {
          model: 'claude-sonnet-4-5',
          max_tokens: 20,
          system: marked,
          messages,
        }),
      ]) {
        own = {
          input: own.input + said.input,
          read: own.read + said.read,
          written: own.written + said.written,
        };
      }
    }
    sums.set(at === 0 ? '7' : '8', own);
  }
  await until('all facts', () => facts(scene.gateway).length === 18);
  await kept();
  const all = [...sums.values()].reduce((sum, own) => ({
    input: sum.input + own.input,
    read: sum.read + own.read,
    written: sum.written + own.written,
  }));
  expect(all.read).toBeGreaterThan(0);
  expect(all.written).toBeGreaterThan(0);
  const told = await scene.call(OWNER, 'GET', '/prompt-cache?by=key');
  expect(told.status).toBe(200);
  const { rows, total } = told.json() as {
    rows: readonly { by: { key: string }; use: Use }[];
    total: Use & { saved_usd: string; written_usd: string };
  };
  expect(total).toMatchObject(useOf(all));
  for (const { by, use } of rows) expect(use).toMatchObject(useOf(sums.get(by.key) ?? NOTHING));
  expect(rows).toHaveLength(2);
  expect(Number(total.saved_usd)).toBeGreaterThan(0);
  expect(Number(total.written_usd)).toBeGreaterThan(0);
  // The command reads the same files.
  const env = { AI_DATA_DIR: folder };
  const { status, stdout } = sluice(['usage', '--cache', '--by', 'tenant', '--json'], { env });
  expect(status).toBe(0);
  const { rows: printed } = JSON.parse(stdout) as { rows: readonly (Use & { tenant: string })[] };
  expect(printed.map(({ tenant }) => tenant).sort()).toEqual(['42', '43']);
  for (const row of printed)
    expect(row).toMatchObject(useOf(sums.get(row.tenant === '42' ? '7' : '8') ?? NOTHING));
  const days = sluice(['usage', '--cache', '--by', 'day', '--json'], { env });
  const [day] = (JSON.parse(days.stdout) as { rows: readonly Use[] }).rows.slice(-1);
  expect(day).toMatchObject(useOf(all));
});

test('who breaks the cache of its prompts is told by the console and the command, behind a restart, too, and nothing of the prompt', async () => {
  const SECRET = 'Nobody may read this.';
  for (const session of ['one', 'two']) {
    for (let turn = 0; turn < 5; turn++) {
      const system = `${SECRET} ${text(1_500)} It is 12:0${turn}.`;
      const messages = [
        { role: 'system', content: system },
        ...Array.from({ length: turn + 1 }, (_, nth) => ({ role: 'user', content: `Turn ${nth}` })),
      ];
      await ask(
        KEYS[0],
        '/v1/chat/completions',
        { model: 'chat', messages },
        { 'x-sluice-session': session },
      );
    }
  }
  await until('both to be told', () => scene.gateway.events('prompt_cache_broken').length === 2);
  const breaks = async (): Promise<readonly unknown[]> =>
    (await scene.call(OWNER, 'GET', '/prompt-cache/breaks')).json()['rows'] as readonly unknown[];
  const row = {
    tenant: '42',
    key: '7',
    model: 'chat',
    target: 'openai/gpt-4o',
    part: 'messages',
    sessions: 2,
    turns: 6,
    unpriced: 0,
    lost_usd: expect.stringMatching(/^0\.\d+$/),
  };
  expect(await breaks()).toEqual([expect.objectContaining(row)]);
  scene.gateway.signal('SIGTERM');
  await scene.gateway.exited;
  const env = { AI_DATA_DIR: folder };
  const { stdout } = sluice(['usage', '--cache'], { env });
  expect(stdout).toMatch(
    /tenant 42, key 7, openai\/gpt-4o: "messages" changes at byte \d+ \(\d+ of it\), in 6 turns of 2 sessions; lost 0\.\d+ USD/,
  );
  expect(stdout).not.toContain('Nobody');
  scene = await open();
  expect(await breaks()).toEqual([expect.objectContaining(row)]);
  expect(JSON.stringify(await breaks())).not.toContain('Nobody');
});

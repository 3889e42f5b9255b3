import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SqliteLedger } from '../../src/ledger/ledger-store.ts';
import { startMock } from '../../src/mock/server.ts';
import { until } from './conditions.ts';
import { type Admin, admin, ConsoleScene } from './console-scene.ts';
import { factLine, requestIdOf } from './facts.ts';
import { sluice } from './gateway.ts';
import { poolKeys } from './managed.ts';
import { denyWriter, NATS_MISSING, type NatsServer, startNats } from './nats.ts';

/** What no page may run, as the name of everything that can have one. */
export const SCRIPT = '<script>window.ran=1</script><img src=x onerror=window.ran=1>';

const DAY_MS = 86_400_000;
const STEP_MS = 30 * 60_000;

/** What was asked for in the days before, and how often and dear it was. */
const KINDS = [
  { provider: 'openai', model: 'gpt-5-mini', tenant: '7', key: '1001', share: 10, usd: 0.0031 },
  {
    provider: 'anthropic',
    model: 'claude-sonnet-4-5',
    tenant: '7',
    key: '1002',
    share: 7,
    usd: 0.0212,
  },
  { provider: 'openai', model: 'gpt-4o', tenant: '8', key: '1003', share: 5, usd: 0.0104 },
  {
    provider: 'gemini',
    model: 'gemini-2.5-flash',
    tenant: '8',
    key: '1004',
    share: 6,
    usd: 0.0016,
  },
  {
    provider: 'groq',
    model: 'llama-3.3-70b-versatile',
    tenant: '9',
    key: '1005',
    share: 4,
    usd: 0.0009,
  },
  {
    provider: 'mistral',
    model: 'mistral-large-latest',
    tenant: '9',
    key: '1006',
    share: 2,
    usd: 0.0071,
  },
] as const;

const STATUSES = [200, 200, 200, 200, 200, 200, 200, 200, 429, 200, 200, 200, 500, 200, 200, 400];

const UNPRICED = '"cost_status":"unpriced","unpriced_reason":"unknown_model"';
const NOT_BILLED = '"cost_status":"not_billed","unpriced_reason":null';

/** A number from 0 to 1 that is the same each time. */
const noise = (n: number): number => Math.abs(Math.sin(n * 12.9898) * 43_758.5453) % 1;

/** Lines of facts of the days before now, busier by day than by night and at weekends less. */
function* history(days: number, oddName: string): Generator<string> {
  const now = Date.now();
  let n = 0;
  for (let at = now - days * DAY_MS; at < now - STEP_MS; at += STEP_MS) {
    const time = new Date(at);
    const hour = time.getUTCHours() + time.getUTCMinutes() / 60;
    const busy = 0.25 + Math.max(0, Math.sin(((hour - 5) / 14) * Math.PI));
    const week = time.getUTCDay() % 6 === 0 ? 0.35 : 1;
    for (const [index, kind] of KINDS.entries()) {
      const count = Math.round(kind.share * busy * week * (0.6 + 0.8 * noise(n + index)) * 0.4);
      for (let one = 0; one < count; one++) {
        n++;
        const size = 0.3 + 2 * noise(n);
        const status = STATUSES[Math.floor(noise(n + 7) * STATUSES.length)] ?? 200;
        const isServed = status === 200;
        const isUnpriced = kind.provider === 'groq' && n % 5 === 0;
        const line = factLine({
          timeMs: at + Math.floor(noise(n + 3) * STEP_MS),
          requestId: requestIdOf(n),
          tenantId: kind.tenant,
          keyId: kind.key,
          provider: kind.provider,
          model: n % 97 === 0 ? oddName : kind.model,
          status,
          outcome: isServed ? (n % 41 === 0 ? 'client_gone' : 'complete') : 'upstream_error',
          input: isServed ? Math.round(1_800 * size) : null,
          cacheRead: isServed ? Math.round(700 * size * noise(n + 1)) : null,
          output: isServed ? Math.round(420 * size) : null,
          cost: isServed && !isUnpriced ? (kind.usd * size).toFixed(9) : null,
        });
        yield (isServed ? line : line.replace(UNPRICED, NOT_BILLED))
          .replace(/"duration_ms":\d+/, `"duration_ms":${Math.round(600 + 4_000 * size)}`)
          .replace(/"ttfb_ms":\d+/, `"ttfb_ms":${Math.round(180 + 700 * noise(n + 2))}`);
      }
    }
  }
}

function writeHistory(folder: string, days: number, oddName: string): void {
  mkdirSync(folder, { recursive: true });
  const ledger = new SqliteLedger(folder);
  const lines = [...history(days, oddName)];
  for (let from = 0; from < lines.length; from += 5_000) {
    ledger.add(Buffer.from(`${lines.slice(from, from + 5_000).join('\n')}\n`));
  }
  while (ledger.sumUp(Date.now()));
  ledger.close();
}

const tables = (oddName: string): string => `
[policies.default]
rpm = 600
cache = "exact"
rehearse = true
[policies.agents]
rpm = 120
tpm = 200000
max_in_flight = 8
budget_usd_per_day = 5
models = ["chat", "openai/*", "anthropic/*", "locked-one", "fragile"]
[policies.wide]
guards = ["pii"]
budget_usd_per_month = 3000

[tenants.7]
name = "Acme"
policy = "wide"
[tenants.8]
name = '${oddName}'
[tenants.9]
name = "Initech"

[keys.1001]
name = "checkout"
tenant = "7"
class = "application"
policy = "agents"
[keys.1002]
name = '${oddName}'
tenant = "7"
class = "agent"
policy = "agents"
[keys.1003]
name = "nightly-batch"
tenant = "8"
class = "application"
expires = "2027-03-01T00:00:00Z"
[keys.1004]
name = "search"
tenant = "8"
class = "application"

[routes.chat]
targets = ["openai/gpt-5-mini", { to = "groq/llama-3.3-70b-versatile", weight = 2 }]
fallbacks = ["anthropic/claude-sonnet-4-5"]
balance = "weight"
[routes.fragile]
targets = ["openai/fault-500"]
fallbacks = ["anthropic/claude-sonnet-4-5"]
[routes.editable]
targets = ["openai/fault-500"]
fallbacks = ["anthropic/claude-sonnet-4-5"]
[routes.locked-one]
locked = true
targets = ["openai/gpt-5-mini"]
`;

/** A gateway with a month behind it and traffic on it, and who may look. */
export interface DashboardScene {
  readonly console: ConsoleScene;
  readonly dataDir: string;
  readonly owner: Admin;
  readonly operator: Admin;
  readonly viewer: Admin;
  /** Sees tenant 7 alone. */
  readonly tenant: Admin;
  /** Virtual keys by their ids. */
  readonly keys: ReadonlyMap<string, string>;
  readonly hasNats: boolean;
  /** Asks the gateway for an answer. @returns its status */
  ask(key: string, model: string): Promise<number>;
  stop(): Promise<void>;
}

/**
 * @param oddName a model, a tenant and a key are called so
 * @param days of history
 */
export async function startDashboardScene(oddName = SCRIPT, days = 31): Promise<DashboardScene> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-dashboard-'));
  const dataDir = join(folder, 'data');
  writeHistory(dataDir, days, oddName);
  const nats: NatsServer | null = NATS_MISSING === null ? await startNats() : null;
  if (nats !== null) await (await denyWriter(nats)).close();
  const mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
  const signing = sluice(['keygen', '--kid', '1'], { cwd: folder }).stdout;
  const minted = (tenant: string, key: string, kind: string): string =>
    sluice(
      [
        'mint',
        '--secret',
        'signing-1.secret',
        '--tenant',
        tenant,
        '--vpc',
        '1',
        '--key',
        key,
        '--class',
        kind,
      ],
      { cwd: folder },
    ).stdout.trim();
  const [owner, operator, viewer, tenant] = [
    admin('olga', 'owner'),
    admin('otto', 'operator'),
    admin('vera', 'viewer'),
    admin('tina', 'viewer', ['7']),
  ];
  const providers = ['openai', 'anthropic', 'groq', 'mistral'];
  const config = `data_dir = "${dataDir}"
budget_time_zone = "UTC"
rehearse_authority = "${mock.origin}"
${nats === null ? '' : `nats_url = "${nats.url}"`}
[provider_authorities]
${providers.map((name) => `${name} = "${mock.origin}"`).join('\n')}
${poolKeys({ openai: ['sk-pool-one-aaaa', 'sk-pool-two-bbbb'], anthropic: 'sk-ant-pool-cccc', groq: 'gsk-pool-dddd', mistral: 'mk-pool-eeee' })}
${tables(oddName)}
${signing}`;
  const scene = new ConsoleScene([owner, operator, viewer, tenant], {
    config,
    // Keys are minted with what `sluice mint` would find.
    env: { SLUICE_SIGNING_SECRET: readFileSync(join(folder, 'signing-1.secret'), 'utf8') },
  });
  await scene.ready();
  const keys = new Map([
    ['1001', minted('7', '1001', 'application')],
    ['1002', minted('7', '1002', 'agent')],
    ['1003', minted('8', '1003', 'application')],
  ]);
  const ask = async (key: string, model: string): Promise<number> => {
    const response = await fetch(`${scene.gateway.origin}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model,
        max_tokens: 100,
        messages: [{ role: 'user', content: 'What is a sluice?' }],
      }),
    });
    await response.arrayBuffer();
    return response.status;
  };
  return {
    console: scene,
    dataDir,
    owner,
    operator,
    viewer,
    tenant,
    keys,
    hasNats: nats !== null,
    ask,
    stop: async () => {
      await scene.stop();
      await nats?.kill();
      await mock.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Some requests of each kind, until the ledger has them. */
export async function sendTraffic({
  ask,
  keys,
  console: { gateway },
}: DashboardScene): Promise<void> {
  const models = [
    'chat',
    'fragile',
    'gpt-5-mini',
    'anthropic/claude-sonnet-4-5',
    SCRIPT,
    'no-such/model',
  ];
  for (const key of keys.values()) {
    for (const model of models) await ask(key, model);
  }
  await until('the ledger to have every fact', async () => {
    const metrics = await gateway.metrics();
    return (metrics.get('ai_ledger_facts_total') ?? 0) >= gateway.count('ai.usage');
  });
}

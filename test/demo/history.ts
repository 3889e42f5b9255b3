/**
 * The week that the kept demo's dashboard shows: made up, the same one each time, priced by the shipped book. It goes into the
 * ledger as the gateway's own facts do, as their lines.
 */

import type { KeyClass } from '../../src/keys/key-class.ts';
import { SqliteLedger } from '../../src/ledger/ledger-store.ts';
import { Pricing } from '../../src/prices/cost.ts';
import { PriceBook, shippedBook } from '../../src/prices/price-book.ts';
import type { UsageFact } from '../../src/settle/usage-fact.ts';
import { NO_TOOL_USES } from '../../src/wire/billed-usage.ts';
import { usageFactLine } from '../support/fact-line.ts';
import { requestIdOf } from '../support/facts.ts';

const DAY_MS = 86_400_000;
const STEP_MS = 30 * 60_000;
const DAYS = 7;
/** Nothing is made up of this long before now, in milliseconds: what the demo itself did is told by itself there. */
const QUIET_MS = 45 * 60_000;

/** When of a UTC day OpenAI was down and Claude answered for it, in milliseconds: the last time that there was such an hour. */
const OUTAGE_AT_MS = 13 * 3_600_000;
const OUTAGE_MS = 2 * 3_600_000;

/** Lines that are kept at once. */
const BATCH = 5_000;

/** In the ids of the week's requests, where other ids have their worker. */
const DEMO_WORKER = 0xde30;

/** What keys ask for, and how much goes in and comes out of it, in tokens. */
const ASKS = {
  chat: { provider: 'openai', model: 'gpt-5-mini', route: 'chat', input: 1_400, output: 380 },
  code: {
    provider: 'anthropic',
    model: 'claude-sonnet-4-5',
    route: null,
    input: 14_000,
    output: 1_100,
  },
  answer: { provider: 'openai', model: 'gpt-5', route: null, input: 3_200, output: 900 },
  sort: { provider: 'openai', model: 'gpt-4o-mini', route: null, input: 900, output: 40 },
  // The book has no price of it: it is shown as that, and not as nothing.
  preview: {
    provider: 'openai',
    model: 'gpt-next-preview',
    route: null,
    input: 2_000,
    output: 500,
  },
} as const;

/** What answers on the route while its target is down. */
const FALLBACK = { provider: 'anthropic', model: 'claude-haiku-4-5' } as const;

interface Payer {
  readonly tenant: string;
  readonly key: string;
  readonly keyClass: KeyClass;
  /** Requests in half an hour at noon. */
  readonly share: number;
  readonly asks: readonly (keyof typeof ASKS)[];
}

const PAYERS: readonly Payer[] = [
  { tenant: '7', key: '1001', keyClass: 'application', share: 6, asks: ['chat'] },
  { tenant: '7', key: '1002', keyClass: 'agent', share: 4, asks: ['code', 'code', 'chat'] },
  { tenant: '8', key: '1003', keyClass: 'application', share: 5, asks: ['sort', 'sort', 'answer'] },
  {
    tenant: '8',
    key: '1004',
    keyClass: 'developer',
    share: 2,
    asks: ['code', 'answer', 'preview'],
  },
  { tenant: '9', key: '1005', keyClass: 'application', share: 3, asks: ['chat', 'answer'] },
];

/** Tenants, keys and the route of the week, for the configuration. */
export const HISTORY_TABLES = `
[policies.agents]
rpm = 120
max_in_flight = 8

[tenants.7]
name = "Acme"
[tenants.8]
name = "Globex"
[tenants.9]
name = "Initech"

[keys.1001]
name = "checkout"
tenant = "7"
class = "application"
[keys.1002]
name = "code-agent"
tenant = "7"
class = "agent"
policy = "agents"
[keys.1003]
name = "ticket-sorter"
tenant = "8"
class = "application"
[keys.1004]
name = "maria"
tenant = "8"
class = "developer"
[keys.1005]
name = "help-desk"
tenant = "9"
class = "application"

[routes.chat]
targets = ["openai/gpt-5-mini"]
fallbacks = ["anthropic/claude-haiku-4-5"]
`;

/**
 * Writes the week before now. The ledger must not be open for writing elsewhere: no gateway runs on it yet.
 * @param dataDir of the gateway that will show it
 * @param nowMs Unix time in milliseconds; the same time makes the same facts
 * @returns how many facts there are
 */
export function writeHistory(dataDir: string, nowMs: number): number {
  const ledger = new SqliteLedger(dataDir);
  let added = 0;
  try {
    const pricing = new Pricing(new PriceBook(shippedBook()));
    const lines = history(nowMs).map((attempt) => lineOf(pricing, attempt));
    for (let from = 0; from < lines.length; from += BATCH) {
      added += ledger.add(Buffer.from(`${lines.slice(from, from + BATCH).join('\n')}\n`)).added;
    }
    while (ledger.sumUp(nowMs));
  } finally {
    ledger.close();
  }
  return added;
}

/** A number from 0 to 1 that is the same each time. */
function noise(n: number): number {
  return Math.abs(Math.sin(n * 12.9898) * 43_758.5453) % 1;
}

/** Busier by day than by night, and less at weekends. */
function busyness(atMs: number): number {
  const time = new Date(atMs);
  const hour = time.getUTCHours() + time.getUTCMinutes() / 60;
  const day = 0.15 + Math.max(0, Math.sin(((hour - 6) / 14) * Math.PI));
  return time.getUTCDay() % 6 === 0 ? day * 0.4 : day;
}

/** @returns all facts, in the order in which they came */
function history(nowMs: number): readonly Attempt[] {
  const endMs = nowMs - QUIET_MS;
  const outage = outageBefore(endMs);
  const attempts: Attempt[] = [];
  let n = 0;
  for (let at = endMs - DAYS * DAY_MS; at < endMs; at += STEP_MS) {
    for (const [index, payer] of PAYERS.entries()) {
      const wanted = payer.share * busyness(at) * (0.6 + 0.8 * noise(n + index));
      for (let one = Math.floor(wanted + noise(n + 17)); one > 0; one--) {
        n++;
        attempts.push(...request(payer, n, at + Math.floor(noise(n + 3) * STEP_MS), outage));
      }
    }
  }
  return attempts.sort((one, other) => one.atMs - other.atMs);
}

interface Outage {
  readonly fromMs: number;
  readonly toMs: number;
}

function outageBefore(endMs: number): Outage {
  const todayMs = Math.floor(endMs / DAY_MS) * DAY_MS + OUTAGE_AT_MS;
  const fromMs = todayMs + OUTAGE_MS < endMs ? todayMs : todayMs - DAY_MS;
  return { fromMs, toMs: fromMs + OUTAGE_MS };
}

/** The attempts of one request: one, or three where the route's target failed, was tried again, and was replaced. */
function request(payer: Payer, n: number, atMs: number, outage: Outage): readonly Attempt[] {
  const name = payer.asks[Math.floor(noise(n + 5) * payer.asks.length)] ?? 'chat';
  const { provider, model, route } = ASKS[name];
  const isDown = provider === 'openai' && atMs >= outage.fromMs && atMs < outage.toMs;
  const status = isDown ? 503 : statusOf(noise(n + 7));
  const one = { payer, n, atMs, name, provider, model, status, attempt: 1, isFinal: true };
  if (status !== 503 || route === null) return [one];
  return [
    { ...one, isFinal: false },
    { ...one, isFinal: false, attempt: 2 },
    { ...one, ...FALLBACK, status: 200, attempt: 3 },
  ];
}

function statusOf(drawn: number): number {
  if (drawn < 0.012) return 429;
  return drawn < 0.02 ? 503 : 200;
}

interface Attempt {
  readonly payer: Payer;
  readonly n: number;
  readonly atMs: number;
  readonly name: keyof typeof ASKS;
  readonly provider: 'openai' | 'anthropic';
  readonly model: string;
  readonly status: number;
  readonly attempt: number;
  readonly isFinal: boolean;
}

/** As the gateway writes the fact of such an attempt. */
function lineOf(pricing: Pricing, told: Attempt): string {
  const { payer, n, atMs, name, provider, model, status, attempt, isFinal } = told;
  const { route, input, output } = ASKS[name];
  const isServed = status === 200;
  const isLeft = isServed && noise(n + 11) < 0.02;
  const size = 0.3 + 1.4 * noise(n + 1);
  const inputTokens = isServed ? Math.round(input * size) : null;
  const cached = name === 'code' ? 0.8 : 0.25;
  const outputTokens = isServed ? Math.round(output * size * (isLeft ? 0.4 : 1)) : null;
  const counts = {
    inputTokens,
    outputTokens,
    cacheReadTokens: inputTokens === null ? null : Math.round(inputTokens * cached * noise(n + 2)),
    cacheWriteTokens: null,
    reasoningTokens: null,
  };
  const source = isServed ? 'reported' : 'none';
  const served = isServed ? model : null;
  const cost = pricing.cost({
    provider,
    model: served,
    asked: model,
    counts,
    details: null,
    lines: null,
    serviceTier: null,
    toolUses: NO_TOOL_USES,
    source,
    atMs,
  });
  const ttfbMs = isFinal ? Math.round((isServed ? 240 : 30) + 500 * noise(n + 4)) : null;
  const fact: UsageFact = {
    requestId: requestIdOf(n, DEMO_WORKER),
    traceId: null,
    dialect: provider,
    tenantId: payer.tenant,
    vpcId: '1',
    keyId: payer.key,
    keyClass: payer.keyClass,
    policy: payer.keyClass === 'agent' ? 'agents' : null,
    provider,
    endpoint: provider === 'openai' ? '/v1/chat/completions' : '/v1/messages',
    model: served,
    requestedModel: route ?? model,
    stream: true,
    counts,
    lines: null,
    serviceTier: null,
    toolUses: NO_TOOL_USES,
    cost,
    source,
    raw: null,
    upstreamStatus: status,
    outcome: isFinal ? (isLeft ? 'client_gone' : 'complete') : 'upstream_error',
    bytesIn: 400 + 4 * Math.round(input * size),
    bytesOut: isFinal ? 214 + 180 * (outputTokens ?? 0) : 0,
    ttfbMs,
    durationMs: (ttfbMs ?? Math.round(8 + 40 * noise(n + attempt))) + (outputTokens ?? 0) * 9,
    lane: 'routed',
    route,
    attempt,
    final: isFinal,
    targetModel: `${provider}/${model}`,
    resumed: false,
    cache: null,
  };
  return usageFactLine(fact).replace(/"time":"[^"]*"/, `"time":"${new Date(atMs).toISOString()}"`);
}

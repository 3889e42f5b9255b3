import { expect } from 'vitest';
import type { LogLine } from '../support/gateway.ts';
import type { Ask } from './asks.ts';
import type { Call } from './calls.ts';
import { isOwn } from './cases.ts';
import type { Client } from './clients.ts';
import { ALTERNATIVE, BUDGET_USD, TENANTS } from './stage.ts';

/** Those whose errors hold all of the body: what is built on them may hand it on or not. */
const STOCK: ReadonlySet<string> = new Set([
  'Node openai',
  'Node openai, Responses',
  'Node @anthropic-ai/sdk',
  'Go openai-go',
  'Go anthropic-sdk-go',
  'Python openai, sync',
  'Python openai, async',
  'Python openai, Responses',
  'Python anthropic',
]);

/** Tokens of one billed call as the SDK told them. */
type Used = readonly [input: number, output: number];

/** What the mock's retry-after says, which every SDK's own wait is far below; a timer may ring a moment early. */
const RETRY_MS = 990;

/** What a program prints for each ask. */
export interface Line {
  readonly id: number;
  readonly ok: boolean;
  readonly detail: string;
  /** Of each billed call, null where the SDK does not tell. */
  readonly usage?: readonly (Used | null)[];
  readonly status?: number;
  readonly code?: string | null;
  /** What the error says of a budget, as far as the SDK keeps it. */
  readonly budget?: unknown;
  /** How long the call took. */
  readonly ms: number;
}

/** Checks what the program says of one call: that it went well, or which error its SDK made of it. */
export function expectLine(line: Line, call: Call, ask: Ask, client: Client): void {
  const refused = refusedField(client, call);
  if (refused !== null) {
    expect([line.ok, line.detail]).toEqual([false, expect.stringContaining(`${refused}: `)]);
    return;
  }
  if (!line.ok) expect.fail(line.detail);
  if (call.kind === 'work') {
    if (call.name === 'retry') expect(line.ms, 'retry-after').toBeGreaterThanOrEqual(RETRY_MS);
    for (const used of line.usage ?? []) {
      if (used !== null) expect(used[0], 'input tokens').toBeGreaterThan(0);
    }
    return;
  }
  expect(line.status).toBe(ask.status);
  if (client.tellsCode) expect(line.code ?? null).toBe(call.failure.told[client.dialect]);
  if (call.name !== 'budget' || !STOCK.has(client.name)) return;
  // What a caller may do: how much there is, until when, and what there is room for.
  expect(line.budget).toMatchObject({
    scope: 'tenant',
    limit_usd: BUDGET_USD,
    asked_usd: expect.stringMatching(/^0\.\d+$/),
    renews_at: expect.stringMatching(/T00:00:00\.000Z$/),
    alternative: { model: ALTERNATIVE, asked_usd: '0' },
  });
}

/** The field that a client is told cannot be carried to this wire; null where all of the call can. */
export function refusedField(
  { untranslatable }: Client,
  { kind, lane, name }: Call,
): string | null {
  if (kind !== 'work' || isOwn(lane)) return null;
  return untranslatable[name]?.[lane] ?? null;
}

/**
 * Checks the facts of one managed call: one for each answer that was billed, with the tokens that the SDK told (if it
 * does), and one for each error answer or cut stream.
 */
export function expectFacts(facts: readonly LogLine[], line: Line, call: Call, ask: Ask): void {
  const of = (source: string): readonly LogLine[] =>
    facts.filter(({ usage_source }) => usage_source === source);
  const billed = (line.usage ?? []).map((used) => used ?? [expect.any(Number), expect.any(Number)]);
  expect(of('reported').map(tokensOf)).toEqual(billed);
  expect(of('none')).toHaveLength(unbilled(call));
  expect(of('estimated')).toHaveLength(call.kind === 'work' ? call.work.estimated : 0);
  for (const { outcome } of of('reported')) expect(outcome).toBe('complete');
  for (const fact of facts) {
    expect(fact).toMatchObject({ tenant_id: String(TENANTS.calls), requested_model: ask.model });
  }
}

/** Embeddings have no output, which is no zero: `null`. */
export function tokensOf(fact: LogLine): readonly [unknown, unknown] {
  return [fact['input_tokens'], fact['output_tokens'] ?? 0];
}

function unbilled(call: Call): number {
  if (call.kind === 'work') return call.work.unbilled;
  return call.failure.isAsked ? 1 : 0;
}

import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineBatch } from '../../../src/outlet/line-batch.ts';
import type { UsageFact } from '../../../src/settle/usage-fact.ts';
import { UsageFactLines } from '../../../src/settle/usage-fact-lines.ts';
import { NO_TOOL_USES } from '../../../src/wire/billed-usage.ts';
import { usageFactLine } from '../../support/fact-line.ts';

const FACT: UsageFact = {
  requestId: 'req_1',
  traceId: null,
  dialect: 'openai',
  tenantId: '18446744073709551615',
  vpcId: '99',
  keyId: null,
  keyClass: 'agent',
  policy: 'agents',
  provider: 'openai',
  endpoint: '/v1/chat/completions',
  model: 'm',
  requestedModel: 'r',
  stream: true,
  counts: {
    inputTokens: 1,
    outputTokens: 2,
    cacheReadTokens: null,
    cacheWriteTokens: 0,
    reasoningTokens: null,
  },
  lines: null,
  serviceTier: null,
  toolUses: {},
  cost: { usd: '0.0125', status: 'priced', reason: null, version: '2026-10-21', lines: null },
  source: 'reported',
  raw: '{"prompt_tokens":1}',
  upstreamStatus: 200,
  outcome: 'complete',
  bytesIn: 10,
  bytesOut: 20,
  ttfbMs: 1.4,
  durationMs: 2.6,
  lane: 'relay',
  route: null,
  attempt: 1,
  final: true,
  targetModel: null,
  resumed: false,
  cache: null,
};

const line = (changes: Partial<UsageFact> = {}): Record<string, unknown> =>
  JSON.parse(usageFactLine({ ...FACT, ...changes }));

describe('the line of a usage fact', () => {
  it('has the fields of the contract, in its order, and the trace beside them', () => {
    expect(Object.keys(line())).toEqual(
      (
        'event v time request_id dialect tenant_id vpc_id key_id provider endpoint model requested_model stream ' +
        'input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens usage_source usage_raw ' +
        'upstream_status outcome bytes_in bytes_out ttfb_ms duration_ms node trace_id service_tier tool_uses lines lane route attempt final target_model key_class ' +
        'cost_usd cost_status unpriced_reason price_version policy resumed'
      ).split(' '),
    );
  });

  it('has a line for each model and kind, the tier and what tools were used', () => {
    const { counts } = FACT;
    const lines = [
      { model: 'm', kind: 'message', counts, details: null },
      { model: null, kind: 'a "kind"', counts, details: null },
    ];
    const toolUses = { web_search: 2, mcp: 1 };
    expect(line({ lines, toolUses, serviceTier: 'flex' })).toMatchObject({
      service_tier: 'flex',
      tool_uses: toolUses,
      lines: [
        { model: 'm', kind: 'message', input_tokens: 1, output_tokens: 2, cache_write_tokens: 0 },
        { model: null, kind: 'a "kind"', cache_read_tokens: null, reasoning_tokens: null },
      ],
    });
    expect(line()).toMatchObject({ service_tier: null, tool_uses: {}, lines: null });
  });

  it('has the cost of the answer and of each line, and null where there is none', () => {
    const { counts, cost } = FACT;
    expect(line()).toMatchObject({
      cost_usd: '0.0125',
      cost_status: 'priced',
      unpriced_reason: null,
      price_version: '2026-10-21',
    });
    const lines = ['a', 'b'].map((kind) => ({ model: 'm', kind, counts, details: null }));
    const unpriced = {
      usd: null,
      status: 'unpriced',
      reason: 'unknown_model',
      version: null,
    } as const;
    const told = line({ lines, cost: { ...cost, ...unpriced, lines: ['0.25', null] } });
    expect(told).toMatchObject({
      cost_usd: null,
      unpriced_reason: 'unknown_model',
      price_version: null,
      lines: [{ cost_usd: '0.25' }, { cost_usd: null }],
    });
  });

  it('keeps "not reported" and zero apart', () => {
    expect(line()).toMatchObject({ cache_read_tokens: null, cache_write_tokens: 0 });
  });

  it('is one line, whatever a client or a provider put into it', () => {
    const text = usageFactLine({
      ...FACT,
      requestedModel: 'a"\n{"event":"ai.usage"}\u2028\ud800',
      raw: '{"x":"\\n"}',
    });
    expect(text).not.toContain('\n');
    expect(JSON.parse(text)).toMatchObject({ usage_raw: { x: '\n' } });
  });

  it('holds nothing that a database refuses, and changes nothing else', () => {
    const model = 'a\0b\ud800c\udfffd\\u0000e\\\0f\ud83d\ude00\u001f';
    expect(line({ model, raw: '{"x\\u0000":"\\ud900"}' })).toMatchObject({
      model: 'a\ufffdb\ufffdc\ufffdd\\u0000e\\\ufffdf\ud83d\ude00\u001f',
      usage_raw: { 'x\ufffd': '\ufffd' },
    });
  });

  it('tells the usage object as it was sent, numbers and all, on one line', () => {
    expect(usageFactLine({ ...FACT, raw: '{"a": 1e2, "a":1.0}' })).toContain('{"a": 1e2, "a":1.0}');
    expect(line({ raw: '{\r\n\t"a": 1\n}' })).toMatchObject({ usage_raw: { a: 1 } });
  });

  it('is ASCII, whatever a client or a provider put into it', () => {
    const text = usageFactLine({
      ...FACT,
      model: 'modèle',
      requestedModel: '模型',
      endpoint: '/v1/ü',
      raw: '{"é":1.0}',
    });
    expect(text).toMatch(/^[ -~]*$/);
    expect(JSON.parse(text)).toMatchObject({
      model: 'modèle',
      requested_model: '模型',
      endpoint: '/v1/ü',
      usage_raw: { é: 1 },
    });
    expect(text).toContain(':1.0}');
    const rewritten = usageFactLine({ ...FACT, raw: '{\n"é":"😀","\\u00e9":1}' });
    expect(rewritten).toMatch(/^[ -~]*$/);
    expect(JSON.parse(rewritten)).toMatchObject({ usage_raw: { é: 1 } });
    const emoji = usageFactLine({ ...FACT, raw: '{\n"a":"😀"}' });
    expect(JSON.parse(emoji)).toMatchObject({ usage_raw: { a: '😀' } });
  });

  it('is ASCII on a node whose name is not', (ctx) => {
    // In a name space of its own, so that this machine keeps its name.
    const rename = 'echo other > /proc/sys/kernel/hostname';
    if (spawnSync('unshare', ['--uts', 'sh', '-c', rename]).status !== 0)
      return ctx.skip('needs root and unshare: a name is given to a name space');
    const module = new URL('../../support/fact-line.ts', import.meta.url);
    const script = `
      import { writeFileSync } from 'node:fs';
      writeFileSync('/proc/sys/kernel/hostname', 'gw-\u00e9');
      const { usageFactLine } = await import('${module.href}');
      process.stdout.write(usageFactLine(${JSON.stringify(FACT)}));`;
    const options = ['--no-warnings', '--input-type=module', '-e', script];
    const { stdout } = spawnSync('unshare', ['--uts', process.execPath, ...options]);
    expect(stdout.toString()).toMatch(/^[ -~]*$/);
    expect(JSON.parse(stdout.toString())['node']).toMatch(/^gw-\u00e9:\d+$/);
  });

  it('has no usage object of more than 4 KiB as it is written, whatever it had as it was sent', () => {
    const of = (text: string): unknown => line({ raw: JSON.stringify({ text }) })['usage_raw'];
    const room = 4_096 - '{"text":""}'.length;
    expect(of('x'.repeat(room))).toEqual({ text: 'x'.repeat(room) });
    expect(of('x'.repeat(room + 1))).toBe(null);
    expect(of('é'.repeat(600))).toEqual({ text: 'é'.repeat(600) });
    expect(of('é'.repeat(700))).toBe(null);
  });

  it('tells milliseconds whole, ids as texts, and what it does not know as null', () => {
    expect(line()).toMatchObject({ ttfb_ms: 1, duration_ms: 3, tenant_id: '18446744073709551615' });
    expect(line({ ttfbMs: null, raw: null, upstreamStatus: null })).toMatchObject({
      ttfb_ms: null,
      usage_raw: null,
      upstream_status: null,
    });
  });

  it('says whose doing an end was: what the gateway made an end of, or what failed in it, is not the client’s', () => {
    for (const outcome of ['rejected', 'gateway_error', 'drained', 'client_gone'] as const)
      expect(line({ outcome })).toMatchObject({ outcome });
  });

  it('is what JSON.stringify writes, whatever the numbers and the texts', () => {
    const number = fc.oneof(fc.constant(null), fc.nat(12), fc.maxSafeNat());
    const text = fc.option(fc.string({ unit: 'binary', maxLength: 80 }));
    const facts = fc.record({ number, text, ms: fc.double({ min: 0, max: 1e13, noNaN: true }) });
    fc.assert(
      fc.property(facts, ({ number: count, text: said, ms }) => {
        const counts = { ...FACT.counts, inputTokens: count, reasoningTokens: count };
        const written = usageFactLine({
          ...FACT,
          counts,
          bytesIn: count ?? 0,
          durationMs: ms,
          model: said,
          route: said,
          raw: JSON.stringify({ said }),
        });
        const read = JSON.parse(written);
        expect(read).toMatchObject({
          input_tokens: count,
          reasoning_tokens: count,
          bytes_in: count ?? 0,
          duration_ms: Math.round(ms),
        });
        expect(written).toMatch(/^[ -~]*$/);
        expect(JSON.parse(asciiOf(JSON.stringify(read)))).toEqual(read);
        expect(asciiOf(JSON.stringify(read))).toBe(written);
      }),
    );
  });

  it('is the same behind any other line, whatever they have in common', () => {
    const few = <Value>(...values: Value[]): fc.Arbitrary<Value> => fc.constantFrom(...values);
    const long = 'x'.repeat(2_100);
    const changes = fc.record(
      {
        dialect: few<UsageFact['dialect']>('openai', 'anthropic'),
        tenantId: few('1', '2'),
        vpcId: few('1', '2'),
        keyId: few(null, '1', '2'),
        provider: few('openai', 'groq'),
        endpoint: few('/v1/a', '/v1/é', long),
        model: few(null, 'm', 'n', long),
        requestedModel: few(null, 'r', 's'),
        stream: fc.boolean(),
        serviceTier: few(null, 'flex'),
        toolUses: few<UsageFact['toolUses']>(NO_TOOL_USES, { web_search: 1 }),
        lines: few<UsageFact['lines']>(null, []),
        lane: few<UsageFact['lane']>('relay', 'routed'),
        route: few(null, 'a'),
        attempt: few(1, 2),
        final: fc.boolean(),
        targetModel: few(null, 'openai/m', 'groq/m'),
        keyClass: few<UsageFact['keyClass']>('agent', 'developer'),
        policy: few(null, 'p'),
        resumed: fc.boolean(),
        source: few<UsageFact['source']>('reported', 'none'),
        upstreamStatus: few(null, 200, 500),
        outcome: few<UsageFact['outcome']>('complete', 'client_gone'),
        cost: fc.record({
          usd: few(null, '0', '0.25'),
          status: few<UsageFact['cost']['status']>('priced', 'unpriced'),
          reason: few<UsageFact['cost']['reason']>(null, 'no_model'),
          version: few(null, '2026-10-21', 'é'),
          lines: few(null),
        }),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(changes, fc.nat(), fc.nat())), (drawn) => {
        // Few at a time: of two that differ in one member, a part that was kept by mistake shows.
        const sequence = drawn.map(([change, ...picks]) => {
          const members = Object.entries(change);
          return Object.fromEntries(picks.map((at) => members[at % members.length] ?? []));
        });
        let sent = '';
        const batch = new LineBatch((lines) => {
          sent += Buffer.from(lines).toString('latin1');
        });
        const lines = new UsageFactLines(batch);
        const base = { ...FACT, toolUses: NO_TOOL_USES };
        for (const change of sequence) lines.add({ ...base, ...change });
        batch.flush();
        const timeless = (text: string): string => text.replace(/"time":"[^"]*"/g, '');
        const alone = sequence.map((change) => `${usageFactLine({ ...base, ...change })}\n`);
        expect(timeless(sent)).toBe(timeless(alone.join('')));
      }),
      { numRuns: 60 },
    );
  });

  it('loses no line and tears none, whatever their lengths, where many are gathered', () => {
    const length = fc.oneof(fc.nat(100), fc.integer({ min: 900, max: 2_100 }), fc.nat(70_000));
    fc.assert(
      fc.property(fc.array(length, { maxLength: 60 }), (lengths) => {
        let sent = '';
        const batch = new LineBatch((lines) => {
          sent += Buffer.from(lines).toString('latin1');
        });
        const lines = new UsageFactLines(batch);
        for (const [at, bytes] of lengths.entries()) {
          if (at % 3 === 2) batch.add(JSON.stringify({ endpoint: 'x'.repeat(bytes) }));
          else lines.add({ ...FACT, endpoint: (at % 3 === 1 ? '\u00e9' : 'x').repeat(bytes) });
        }
        batch.flush();
        const told = sent.split('\n').slice(0, -1);
        expect(told.map((one) => JSON.parse(one).endpoint.length)).toEqual(lengths);
      }),
      { numRuns: 40 },
    );
  });
});

/** Beyond ASCII as escapes, as lines are written. */
function asciiOf(json: string): string {
  return json.replace(
    /[^\0-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

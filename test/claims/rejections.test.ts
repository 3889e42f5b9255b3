import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REJECTION_CODES, REJECTIONS, type RejectionCode } from '../../src/rejection.ts';
import { until } from '../support/conditions.ts';
import { type DeafListener, startDeafListener } from '../support/deaf-listener.ts';
import { freePort } from '../support/free-port.ts';
import { type Gateway, startGateway } from '../support/gateway.ts';
import { signingKeys, token } from '../support/managed.ts';
import { head, RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const DIALECTS = ['openai', 'anthropic'] as const;
type Dialect = (typeof DIALECTS)[number];
const LIMIT_BYTES = 1_000;
const HOST = 'Host: sluice.test';

/** Bytes of a request that ends in this rejection; `at` is the provider's path prefix in the caller's dialect. */
type Request = (dialect: Dialect) => string;

const path = (dialect: Dialect): string => `/${dialect}/v1/x`;
/** How a caller of a dialect is known when its path names nobody. */
const mark = (dialect: Dialect): readonly string[] =>
  dialect === 'anthropic' ? ['anthropic-version: 2023-06-01'] : [];

const managed = (dialect: Dialect): readonly string[] => [
  ...mark(dialect),
  `x-goog-api-key: ${token()}`,
  'Content-Length: 0',
];

const REACHED: Readonly<Partial<Record<RejectionCode, Request>>> = {
  bad_request: (dialect) => head('GET', path(dialect), [...mark(dialect), 'Host: twice']),
  missing_key: (dialect) => `GET ${path(dialect)} HTTP/1.1\r\n${HOST}\r\n\r\n`,
  bad_key: (dialect) => head('GET', path(dialect), ['x-api-key: bai_v9.1.AA.AA']),
  key_expired: (dialect) =>
    head('GET', `/${dialect}/v1/models`, [`x-api-key: ${token({ keyId: 8n })}`]),
  unknown_provider: (dialect) => head('GET', '/nobody/v1/x', mark(dialect)),
  wrong_base_url: (dialect) => head('GET', `/${dialect}/v1/v1/messages`, mark(dialect)),
  endpoint_not_managed: (dialect) => head('POST', `/${dialect}/v1/files`, managed(dialect)),
  no_pool_key: (dialect) => head('POST', `/${dialect}/v1/messages`, managed(dialect)),
  method_not_allowed: (dialect) => head('BREW', path(dialect), mark(dialect)),
  upgrade_required: (dialect) =>
    head('GET', path(dialect), [...mark(dialect), 'Connection: Upgrade', 'Upgrade: websocket']),
  length_required: (dialect) => head('POST', path(dialect), mark(dialect)),
  upload_timeout: (dialect) => head('POST', path(dialect), ['Content-Length: 2']),
  body_too_large: (dialect) => head('POST', path(dialect), [`Content-Length: ${LIMIT_BYTES + 1}`]),
  upstream_unreachable: (dialect) => head('GET', `/closed-${dialect}/v1/x`),
  upstream_timeout: (dialect) => head('GET', `/deaf-${dialect}/v1/x`),
};

/** Reached in a state of the gateway, not by a request; each has a claim of its own below. */
const OF_STATE: ReadonlySet<RejectionCode> = new Set<RejectionCode>([
  'overloaded',
  'metering_unavailable',
  'draining',
  'rate_limited',
  'spend_limit',
  'denied',
]);
/** Of what stands in a managed request's body: claims of `usage-facts`, `routed-names`, `routed-translation`, `routed-cost`, `stored-state`, `policies`, `limits`, `class-limits`, `budgets`. */
const OF_BODIES: ReadonlySet<RejectionCode> = new Set<RejectionCode>([
  'unknown_model',
  'untranslatable',
  'invalid_body',
  'no_target',
  'cost_limit',
  // Its own claims are in guards.test.ts.
  'guard_blocked',
  'unpriced_model',
  'not_followed',
  'state_not_found',
  'state_elsewhere',
  'not_settled',
  'model_not_allowed',
  'exceeds_limit',
  'loop',
  'budget_exceeded',
  'budget_exceeded_403',
  'budget_exceeded_429',
]);
/** A provider's doing, and the claim of `pool-key`. */
const OF_PROVIDERS: ReadonlySet<RejectionCode> = new Set<RejectionCode>(['pool_key_rejected']);
/** The row for our own bugs: nothing from outside reaches it, or it would be one. */
const OF_BUGS: ReadonlySet<RejectionCode> = new Set<RejectionCode>(['internal_error']);

let upstream: ScriptedUpstream;
let deaf: DeafListener;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream(() => {});
  deaf = await startDeafListener();
  const closed = await freePort();
  const rows = DIALECTS.flatMap((dialect) => [
    `${dialect} = "http://127.0.0.1:${upstream.port}"`,
    `closed-${dialect} = "http://127.0.0.1:${closed}"`,
    `deaf-${dialect} = "http://127.0.0.1:${deaf.port}"`,
  ]);
  gateway = await startGateway({
    config:
      `workers = 1\naccess_log = true\nshutdown_grace_secs = 5\nmax_in_flight = 1\nconnect_timeout_secs = 0.3\nupload_timeout_secs = 0.3\nmax_request_body_bytes = ${LIMIT_BYTES}\n` +
      `[provider_authorities]\n${rows.join('\n')}\n` +
      '[provider_dialects]\nclosed-anthropic = "anthropic"\ndeaf-anthropic = "anthropic"\n' +
      '[keys.8]\nexpires = 2020-01-01T00:00:00Z\n' +
      signingKeys(),
  });
});
afterAll(async () => {
  deaf.close();
  await gateway.stop();
  await upstream.close();
});

async function ask(client: RawClient, bytes: string): Promise<RawResponse> {
  return await client.send(bytes).response();
}

/** The response is exactly its row of the table, in the caller's dialect. */
function expectRow(response: RawResponse, code: RejectionCode, dialect: Dialect): void {
  const row = REJECTIONS[code];
  const id = response.field('x-sluice-request-id');
  const message = expect.stringMatching(new RegExp(`^${row.message.replace(/[.()]/g, '\\$&')}`));
  expect(response).toMatchObject({ status: row.status, complete: true });
  expect(response.field('content-type')).toBe('application/json');
  expect(id).toMatch(/^req_[0-9a-f]{24}$/);
  expect(response.json()).toEqual(
    dialect === 'openai'
      ? { error: { message, type: row.openaiType, param: null, code } }
      : { type: 'error', error: { type: row.anthropicType, message }, request_id: id },
  );
}

describe('the closed table of rejections', () => {
  it('has a way to be reached for every code', () => {
    const covered = new Set<string>([
      ...Object.keys(REACHED),
      ...OF_STATE,
      ...OF_BODIES,
      ...OF_PROVIDERS,
      ...OF_BUGS,
    ]);
    expect(REJECTION_CODES.filter((code) => !covered.has(code))).toEqual([]);
  });

  const CASES = Object.entries(REACHED).flatMap(([code, request]) =>
    DIALECTS.map((dialect) => [code as RejectionCode, dialect, request] as const),
  );
  it.each(
    CASES,
  )('answers %s in the %s dialect and counts it once', async (code, dialect, request) => {
    const before = await gateway.idle();
    const seen = upstream.requests.length;
    const client = new RawClient(gateway.port);
    const response = await ask(client, request(dialect));
    client.close();
    expectRow(response, code, dialect);
    const after = await gateway.idle();
    const reason = `ai_rejections_total{reason="${code}"}`;
    expect(after.get(reason)).toBe(before.get(reason) + 1);
    expect(after.sum('ai_rejections_total')).toBe(before.sum('ai_rejections_total') + 1);
    expect(after.sum('ai_exchanges_settled_total')).toBe(after.get('ai_requests_total'));
    const id = response.field('x-sluice-request-id');
    const line = await gateway.waitForLog(({ request_id }) => request_id === id);
    expect(line).toMatchObject({ rejection: code, status: REJECTIONS[code].status });
    expect(upstream.requests.length).toBe(seen);
  });

  it('keeps the connection of a caller who may try again on it', async () => {
    const client = new RawClient(gateway.port);
    for (const code of [
      'missing_key',
      'bad_key',
      'unknown_provider',
      'method_not_allowed',
    ] as const) {
      expectRow(await ask(client, REACHED[code]?.('openai') ?? ''), code, 'openai');
    }
    expect(client.closed).toBe(false);
    client.close();
  });

  it('answers a HEAD without a body', async () => {
    const client = new RawClient(gateway.port).send(head('HEAD', '/nobody/x'));
    expect((await client.response(true)).status).toBe(404);
    // Nothing of a body came between: the next response begins where a response begins.
    expect((await ask(client, head('GET', '/nobody/x'))).status).toBe(404);
    client.close();
  });
});

describe('rejections of a state', () => {
  it.each(DIALECTS)('who asks too often is rate limited, in the %s dialect', async (dialect) => {
    const rows = DIALECTS.map((name) => `${name} = "http://127.0.0.1:${upstream.port}"`);
    const limited = await startGateway({
      config: `workers = 1\nbyo_rate_limit_rps = 1\nmax_in_flight = 1\n[provider_authorities]\n${rows.join('\n')}\n`,
    });
    const held = new RawClient(limited.port).send(head('GET', path(dialect)));
    await until('the first request', async () =>
      (await limited.metrics()).get('ai_requests_total'),
    );
    const client = new RawClient(limited.port);
    const refused = await ask(client, head('GET', path(dialect)));
    expectRow(refused, 'rate_limited', dialect);
    expect(Number(refused.field('retry-after'))).toBeGreaterThanOrEqual(1);
    expect((await limited.metrics()).get('ai_rejections_total{reason="rate_limited"}')).toBe(1);
    client.close();
    held.close();
    await limited.stop();
  });

  it('a full gateway is overloaded, and one that has nearly stopped is draining before it is full', async () => {
    const held = new RawClient(gateway.port).send(head('GET', path('openai')));
    const kept = DIALECTS.map((dialect) => ({ dialect, client: new RawClient(gateway.port) }));
    await until('one in flight', async () => {
      return (await gateway.metrics()).get('ai_requests_in_flight') === 1;
    });
    for (const { dialect, client } of kept) {
      const shed = await ask(client, head('GET', path(dialect)));
      expectRow(shed, 'overloaded', dialect);
      expect(shed.field('retry-after')).toBe('1');
    }
    gateway.signal('SIGTERM');
    await gateway.waitForLog(({ event }) => event === 'draining');
    for (const { dialect, client } of kept) {
      const last = await until('the worker to know', async () => {
        const response = await ask(client, head('GET', path(dialect)));
        const { rejection } = await gateway.waitForLog(
          ({ request_id }) => request_id === response.field('x-sluice-request-id'),
        );
        return rejection === 'draining' && response;
      });
      expectRow(last, 'draining', dialect);
      expect(last.field('connection')).toBe('close');
    }
    held.close();
    expect(await gateway.exited).toEqual({ code: 0, signal: null });
  });
});

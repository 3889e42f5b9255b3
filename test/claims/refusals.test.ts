import { afterAll, beforeAll, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { ask } from '../support/every-worker.ts';
import { authorities, type Gateway, type LogLine, startGateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { CHAT, head, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

let upstream: ScriptedUpstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer('{"usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
  gateway = await startGateway({
    config: `workers = 2\naccess_log = true\nrate_limit_rps = 2\nbyo_rate_limit_rps = 0\n${authorities({ openai: upstream.port })}${poolKeys({ openai: 'sk-pool' })}${signingKeys()}`,
  });
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

/** @returns the line of a request */
async function lineOf(key: string, target = CHAT): Promise<LogLine> {
  const response = await ask(gateway, key, target);
  const id = response.field('x-sluice-request-id');
  return await gateway.waitForLog((line) => {
    return line['event'] === 'access' && line['request_id'] === id;
  });
}

it('a line of the access log names tenant and key of whoever is known, served or refused, and nobody else', async () => {
  const served = await lineOf(token({ tenantId: 5n, keyId: 6n }));
  expect(served).toMatchObject({ status: 200, tenant_id: '5', key_id: '6' });
  expect(await lineOf(token({ tenantId: 2n ** 64n - 1n }))).toMatchObject({
    tenant_id: '18446744073709551615',
    key_id: null,
  });
  const refused = await lineOf(token({ tenantId: 7n, keyId: 8n }), '/v1/files');
  expect(refused).toMatchObject({
    status: 404,
    rejection: 'endpoint_not_managed',
    tenant_id: '7',
    key_id: '8',
  });
  const forged = token({ tenantId: 9n }).replace(/.{8}$/, 'AAAAAAAA').replace(/.$/, 'A');
  for (const [key, status] of [
    ['sk-own', 200],
    [forged, 401],
    ['bai_v1.7.x.y', 401],
  ] as const) {
    expect(await lineOf(key)).toMatchObject({ status, tenant_id: null, key_id: null });
  }
});

it('a line of an offer to upgrade names whose it was, with the first use of a key as well', async () => {
  const offered = async (key: string): Promise<LogLine> => {
    const lines = [`x-api-key: ${key}`, 'Connection: Upgrade', 'Upgrade: websocket'];
    const asked = head('GET', '/v1/responses', lines).replace(
      'Authorization: Bearer sk-test\r\n',
      '',
    );
    const client = new RawClient(gateway.port).send(asked);
    const response = await client.response();
    client.close();
    const id = response.field('x-sluice-request-id');
    return await gateway.waitForLog(
      (line) => line['event'] === 'access' && line['request_id'] === id,
    );
  };
  const codex = token({ tenantId: 51n, keyId: 52n });
  expect(await offered(codex)).toMatchObject({ status: 426, tenant_id: '51', key_id: '52' });
  for (const key of [codex.replace(/.{8}$/, 'AAAAAAAA').replace(/.$/, 'A'), 'sk-own'])
    expect(await offered(key)).toMatchObject({ status: 426, tenant_id: null, key_id: null });
});

it('/refusals lists who is refused and why, from every worker, those over their rate as well', async () => {
  const refusals = async () => {
    const response = await fetch(`http://127.0.0.1:${gateway.metricsPort}/refusals`);
    return (await response.json()) as { top: readonly Readonly<Record<string, unknown>>[] };
  };
  const key = token({ tenantId: 77n });
  const statuses: number[] = [];
  await until('some over its rate', async () => {
    statuses.push((await ask(gateway, key)).status);
    return statuses.filter((status) => status === 429).length >= 10;
  });
  const refused = await until('the row', async () => {
    const { top } = await refusals();
    return top.find(({ tenant_id, reason }) => tenant_id === '77' && reason === 'rate_limited');
  });
  expect(Number(refused['count'])).toBeGreaterThan(0);
  const { top } = await refusals();
  expect(top).toContainEqual(
    expect.objectContaining({ tenant_id: '7', reason: 'endpoint_not_managed', last_key_id: '8' }),
  );
  // Nothing that a stranger chose.
  expect(top.filter(({ tenant_id }) => tenant_id === '9')).toEqual([]);
});

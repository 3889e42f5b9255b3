import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { admin, ConsoleScene } from '../support/console-scene.ts';
import { statuses } from '../support/every-worker.ts';
import { authorities } from '../support/gateway.ts';
import { poolKeys, signingKeys } from '../support/managed.ts';
import { NATS_MISSING, type NatsServer, startNats } from '../support/nats.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { keepSecret } from '../support/secrets.ts';

const owner = admin('olga', 'owner');
const operator = admin('otto', 'operator');
const viewer = admin('vera', 'viewer', ['42']);
const secret = keepSecret(`7:${Buffer.from(new Uint8Array(32).fill(1)).toString('base64')}`);

let upstream: ScriptedUpstream;
let other: ScriptedUpstream;
let dataDir: string;
let scene: ConsoleScene;

const answering = async () =>
  await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer(
      '{"model":"gpt-5-mini","usage":{"prompt_tokens":100,"completion_tokens":10},"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}',
    );
  });

const config = (): string => `data_dir = "${dataDir}"
${authorities({ openai: upstream.port, groq: other.port })}${poolKeys({ openai: 'sk-pool-of-the-console', groq: 'sk-pool-of-the-other' })}${signingKeys()}
[routes.chat]
targets = ["openai/gpt-5-mini"]
[policies.agents]
rpm = 600
`;

beforeAll(async () => {
  [upstream, other] = await Promise.all([answering(), answering()]);
  dataDir = mkdtempSync(join(tmpdir(), 'sluice-changes-'));
  const env = { SLUICE_SIGNING_SECRET: secret };
  scene = await new ConsoleScene([owner, operator, viewer], { config: config(), env }).ready();
});
afterAll(async () => {
  await scene.stop();
  await Promise.all([upstream.close(), other.close()]);
  rmSync(dataDir, { recursive: true });
});

/** Mints a key by the API. */
async function minted(name: string): Promise<{ readonly id: string; readonly token: string }> {
  const body = { name, tenant: '42', class: 'agent', reason: 'a claim' };
  const told = await scene.call(owner, 'POST', '/keys', { body });
  expect(told.status).toBe(201);
  const { key, secret: made } = told.json() as { key: { id: string }; secret: string };
  return { id: key.id, token: made };
}

async function asks(token: string, model = 'chat'): Promise<Response> {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] });
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return await fetch(`http://127.0.0.1:${scene.gateway.port}/v1/chat/completions`, {
    method: 'POST',
    headers,
    body,
  });
}

async function gets(token: string, status: number): Promise<void> {
  await until(`${status} for the key`, async () => (await asks(token)).status === status);
}

describe('what is taken back', () => {
  it('stands in the audit log with its reason, as every write does, and needs none', async () => {
    const body = { value: { rpm: 9 }, reason: 'a trial' };
    for (const reason of ['the trial is over', '']) {
      await scene.call(owner, 'PUT', '/policies/trial', { body });
      const etag = (await scene.call(owner, 'GET', '/policies/trial')).headers.get('etag') ?? '';
      const taken = await scene.call(owner, 'DELETE', '/policies/trial', {
        fields: { 'if-match': etag },
        ...(reason === '' ? {} : { body: { reason } }),
      });
      expect(taken.status).toBe(204);
      const audit = await scene.call(owner, 'GET', '/audit?limit=1');
      expect(audit.json()['rows']).toMatchObject([{ operation: 'deletePolicy', reason }]);
    }
  });

  it('and every list are told as CSV, a line for each', async () => {
    for (const path of ['/audit', '/providers', '/routes', '/policies', '/limits']) {
      const told = await scene.call(owner, 'GET', `${path}?format=csv`);
      expect([path, told.status, told.headers.get('content-type')]).toEqual([
        path,
        200,
        'text/csv; charset=utf-8',
      ]);
    }
    const lines = (await scene.call(owner, 'GET', '/audit?format=csv&limit=2')).text.split('\r\n');
    expect(lines[0]).toBe('at,author,role,operation,place,reason,status,before,after');
    expect(lines[2]).toContain('olga,owner,');
    const providers = (await scene.call(owner, 'GET', '/providers?format=csv')).text;
    expect(providers).toMatch(/^name,origin,wire,auth,keys,state,/);
    expect(providers).toMatch(/\r\nopenai,/);
  });
});

describe('a key by the admin API', () => {
  it('works as soon as it is minted, is shown nowhere again, and is refused as soon as it is ended', async () => {
    const { id, token } = await minted('ci');
    expect((await asks(token)).status).toBe(200);
    const told = await scene.call(owner, 'GET', `/keys/${id}`);
    expect(told.json()).toMatchObject({
      name: 'ci',
      tenant: '42',
      class: 'agent',
      state: 'active',
    });
    for (const path of [`/keys/${id}`, '/keys', '/audit', '/config'])
      expect((await scene.call(owner, 'GET', path)).text).not.toContain(token);
    expect(readFileSync(join(dataDir, 'admin-audit.jsonl'), 'utf8')).not.toContain(token);
    const ended = await scene.call(operator, 'POST', `/keys/${id}/expire`, {
      body: { reason: 'left' },
    });
    expect(ended.json()).toMatchObject({
      id,
      state: 'expired',
      origin: { overlay: { author: 'otto' } },
    });
    await gets(token, 401);
    const { rows } = (await scene.call(owner, 'GET', '/audit?limit=2')).json() as {
      rows: object[];
    };
    expect(rows).toMatchObject([
      {
        author: 'otto',
        operation: 'expireKey',
        place: expect.stringContaining(id),
        reason: 'left',
        status: 200,
      },
      { author: 'olga', operation: 'mintKey', status: 201 },
    ]);
  });

  it('is nobody’s to mint or to end who may not, and without NATS nobody is cut off', async () => {
    const { id } = await minted('kept');
    const body = { name: 'x', tenant: '42' };
    expect((await scene.call(operator, 'POST', '/keys', { body })).status).toBe(403);
    expect((await scene.call(viewer, 'POST', `/keys/${id}/expire`, { body: {} })).status).toBe(403);
    const denied = await scene.call(operator, 'PUT', `/keys/${id}/denial`, { body: {} });
    expect([denied.status, denied.json()['code']]).toEqual([409, 'conflict']);
  });
});

describe('the configuration by the admin API', () => {
  it('sends the next request elsewhere once a route is another one, and back when that is taken away', async () => {
    const { token } = await minted('routed');
    const came = async () => (await asks(token)).headers.get('x-sluice-target');
    expect(await came()).toBe('openai/gpt-5-mini');
    const { headers } = await scene.call(operator, 'GET', '/routes/chat');
    const etag = headers.get('etag') ?? '';
    const body = { value: { targets: ['groq/gpt-5-mini'] }, reason: 'a claim' };
    const fields = { 'if-match': etag };
    const put = await scene.call(operator, 'PUT', '/routes/chat', { body, fields });
    expect([put.status, put.json()]).toMatchObject([200, { members: { targets: 'overlay' } }]);
    await until('the other one to be asked', async () => (await came()) === 'groq/gpt-5-mini');
    // The revision that was replaced is nobody's to write on.
    for (const method of ['PUT', 'DELETE'])
      expect(
        (
          await scene.call(operator, method, '/routes/chat', {
            body: method === 'PUT' ? body : undefined,
            fields,
          })
        ).status,
      ).toBe(method === 'PUT' ? 412 : 428);
    const gone = { 'if-match': put.headers.get('etag') ?? '' };
    expect((await scene.call(operator, 'DELETE', '/routes/chat', { fields: gone })).status).toBe(
      204,
    );
    await until(
      'the first one to be asked again',
      async () => (await came()) === 'openai/gpt-5-mini',
    );
  });

  it('of two writers at once with the revision that both have read, one is told that the other was faster', async () => {
    const read = await scene.call(owner, 'GET', '/policies/agents');
    const fields = { 'if-match': read.headers.get('etag') ?? '' };
    const put = (rpm: number) =>
      scene.call(owner, 'PUT', '/policies/agents', { body: { value: { rpm } }, fields });
    const both = await Promise.all([put(1), put(2), put(3)]);
    expect(both.map(({ status }) => status).toSorted()).toEqual([200, 412, 412]);
  });

  it('refuses what a gateway would refuse, with what is wrong, and goes on as it was', async () => {
    const { token } = await minted('unmoved');
    const body = { value: { targets: ['nobody/at-all'] } };
    const told = await scene.call(operator, 'PUT', '/routes/new', { body });
    expect([told.status, told.json()['code']]).toEqual([422, 'invalid']);
    expect(told.json()['parts']).toMatchObject([{ key: expect.stringContaining('routes.new') }]);
    expect((await asks(token)).status).toBe(200);
    expect((await scene.call(operator, 'GET', '/routes/new')).status).toBe(404);
  });

  it('tells who says what, without a secret', async () => {
    const told = await until('what was written to run', async () => {
      const page = (await scene.call(owner, 'GET', '/config')).json();
      return (page['pending'] as unknown[]).length === 0 && page;
    });
    expect(told).toMatchObject({ source: scene.gateway.file, refused: [] });
    expect(String(told['effective'])).toContain('[routes."chat"]');
  });
});

describe('what was used, by the admin API', () => {
  it('is in usage, spend, requests and the request itself, with sums that agree, and only for who may see it', async () => {
    const { id, token } = await minted('used');
    const answers = [await asks(token), await asks(token), await asks(token)];
    const requests = answers.map(({ headers }) => headers.get('x-sluice-request-id') ?? '');
    const facts = await until('the facts to be in the ledger', async () => {
      const told = await scene.call(owner, 'GET', `/usage?key=${id}&by=key,model`);
      const { total } = told.json() as {
        total: { facts: number; input_tokens: number; cost_usd: string };
      };
      return total.facts === 3 && total;
    });
    expect(facts.input_tokens).toBe(300);
    const spend = (
      await scene.call(owner, 'GET', `/spend?key=${id}&step=hour&zone=Asia/Kathmandu`)
    ).json();
    expect(spend['total']).toMatchObject({ facts: 3, cost_usd: facts.cost_usd });
    const page = (await scene.call(owner, 'GET', `/requests?key=${id}`)).json() as {
      rows: { id: string }[];
    };
    expect(page.rows.map((row) => row.id).toSorted()).toEqual(requests.toSorted());
    const one = await scene.call(viewer, 'GET', `/requests/${requests[0]}`);
    expect(one.json()).toMatchObject({ id: requests[0], attempts: [{ key_id: id, final: true }] });
    const prefix = (
      await scene.call(owner, 'GET', `/requests?q=${requests[0]?.slice(0, 27)}`)
    ).json() as { rows: unknown[] };
    expect(prefix.rows.length).toBeGreaterThan(0);
    const stranger = admin('stan', 'viewer', ['9']);
    await scene.gateway.reload(
      `workers = 1\n${config()}${owner.table}${operator.table}${viewer.table}${stranger.table}`,
    );
    await until(
      'the other viewer to be known',
      async () => (await scene.call(stranger, 'GET', '/session')).status === 200,
    );
    expect((await scene.call(stranger, 'GET', `/requests/${requests[0]}`)).status).toBe(404);
    expect((await scene.call(stranger, 'GET', `/keys/${id}`)).status).toBe(404);
    expect((await scene.call(stranger, 'GET', `/usage?key=${id}`)).json()).toMatchObject({
      total: { facts: 0 },
    });
    for (const path of ['/providers', '/config', '/policies', '/routes'])
      expect((await scene.call(stranger, 'GET', path)).status).toBe(403);
    const csv = await scene.call(owner, 'GET', `/usage?key=${id}&by=model&format=csv`);
    expect(csv.headers.get('content-type')).toContain('text/csv');
    expect(csv.text.split('\r\n')[1]).toMatch(/^gpt-5-mini,3,3,300,30,/);
  });
});

describe('explain by the admin API', () => {
  it('tells the target that the gateway then asks', async () => {
    const { id, token } = await minted('explained');
    const body = {
      model: 'chat',
      key: id,
      body: { messages: [{ role: 'user', content: 'Hello' }] },
    };
    const told = await until('the key to be known', async () => {
      const answer = await scene.call(viewer, 'POST', '/explain', { body });
      return (
        answer.status === 200 &&
        (answer.json() as { targets: { name: string }[]; refused: unknown })
      );
    });
    expect(told.refused).toBeNull();
    expect((await asks(token)).headers.get('x-sluice-target')).toBe(told.targets[0]?.name);
  });
});

describe.skipIf(NATS_MISSING)('in a fleet', () => {
  let nats: NatsServer;
  let fleet: ConsoleScene;
  beforeAll(async () => {
    nats = await startNats();
    const env = { SLUICE_SIGNING_SECRET: secret };
    const own = config().replace(/data_dir = .*\n/, `nats_url = "${nats.url}"\n`);
    fleet = await new ConsoleScene([owner], { config: own, env }).ready();
  });
  afterAll(async () => {
    await fleet.stop();
    await nats.kill();
  });

  it('a key is written into the bucket, cut off at once, and let in again', async () => {
    const told = await fleet.call(owner, 'POST', '/keys', {
      body: { name: 'fleet', tenant: '42' },
    });
    const { key, secret: made } = told.json() as { key: { id: string }; secret: string };
    expect(told.status).toBe(201);
    const gets = async (status: number) =>
      await until(`${status} for the key`, async () =>
        (await statuses(fleet.gateway, made)).every((seen) => seen === status),
      );
    await gets(200);
    const denied = await fleet.call(owner, 'PUT', `/keys/${key.id}/denial`, {
      body: { reason: 'spend', seconds: 3_600 },
    });
    expect(denied.json()).toMatchObject({
      state: 'denied',
      denied: { reason: 'spend', until: expect.any(String) },
    });
    await gets(402);
    expect((await fleet.call(owner, 'GET', `/keys/${key.id}`)).json()).toMatchObject({
      state: 'denied',
    });
    const allowed = await fleet.call(owner, 'DELETE', `/keys/${key.id}/denial`);
    expect(allowed.json()).toMatchObject({ state: 'active', denied: null });
    await gets(200);
    await fleet.call(owner, 'POST', `/keys/${key.id}/expire`, { body: {} });
    await gets(401);
  });
});

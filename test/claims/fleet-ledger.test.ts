import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startMock } from '../../src/mock/server.ts';
import { until } from '../support/conditions.ts';
import { admin, ConsoleScene } from '../support/console-scene.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { POSTGRES_MISSING, PostgresServer } from '../support/postgres.ts';
import { postgresTable } from '../support/postgres-table.ts';

const viewer = admin('vera', 'viewer');
const seven = admin('sven', 'viewer', ['7']);

/** How often each node is asked by which tenant. */
const ASKED = [
  { '7': 3, '8': 2 },
  { '7': 1, '8': 4 },
] as const;
const ALL = 10;
const OF_SEVEN = 4;

let server: PostgresServer;
let mock: Awaited<ReturnType<typeof startMock>>;
let nodes: readonly ConsoleScene[] = [];
const folders: string[] = [];
/** By the node that answered them. */
const ids: string[][] = [];

beforeAll(async () => {
  if (POSTGRES_MISSING !== null) return;
  server = await PostgresServer.start();
  server.sql(postgresTable('facts'));
  server.sql(postgresTable('sums'));
  mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
  nodes = await Promise.all(
    ASKED.map(async () => {
      const folder = mkdtempSync(join(tmpdir(), 'sluice-fleet-ledger-'));
      folders.push(folder);
      const config = `data_dir = "${folder}"\nledger_url = "${server.url}"\n[provider_authorities]\nopenai = "${mock.origin}"\n${poolKeys({ openai: 'sk-pool-of-the-fleet' })}${signingKeys()}`;
      return await new ConsoleScene([viewer, seven], { config }).ready();
    }),
  );
  for (const [at, node] of nodes.entries()) {
    ids[at] = [];
    for (const [tenant, times] of Object.entries(ASKED[at] ?? {}))
      for (let time = 0; time < times; time++) ids[at]?.push(await ask(node, tenant));
  }
  await until(
    'all facts in the data base',
    () => server.sql('SELECT count(*) FROM ai_usage') === String(ALL),
  );
});
afterAll(async () => {
  if (POSTGRES_MISSING !== null) return;
  await Promise.all(nodes.map(async (node) => await node.stop()));
  await mock.close();
  await server.stop();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
beforeEach((context) => {
  if (POSTGRES_MISSING !== null) context.skip(POSTGRES_MISSING);
});

/** @returns the request's id */
async function ask({ gateway }: ConsoleScene, tenant: string): Promise<string> {
  const key = token({ tenantId: BigInt(tenant), keyId: 70n + BigInt(tenant) });
  const response = await fetch(`${gateway.origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-5-mini', messages: [{ role: 'user', content: 'Hello' }] }),
  });
  await response.arrayBuffer();
  return response.headers.get('x-sluice-request-id') ?? '';
}

interface Sums {
  readonly requests: number;
  readonly input_tokens: number;
  readonly cost_usd: string;
}

const SQL =
  'SELECT count(*) FILTER (WHERE final), sum(input_tokens), trim_scale(sum(cost_usd)) FROM ai_usage';
function told({ requests, input_tokens: input, cost_usd: usd }: Sums): string {
  return [requests, input, usd].join('|');
}

describe('two gateways with one ledger_url', () => {
  test('each tell what both did, to the last pico-dollar as SQL has it', async () => {
    const all = server.sql(SQL);
    const own = server.sql(`${SQL} WHERE tenant_id = 7`);
    expect(all.startsWith(`${ALL}|`)).toBe(true);
    for (const node of nodes) {
      const usage = await node.call(viewer, 'GET', '/usage?by=tenant');
      const { rows, total } = usage.json() as {
        rows: { by: { tenant: string }; usage: Sums }[];
        total: Sums;
      };
      expect(told(total)).toBe(all);
      expect(told(rows.find(({ by }) => by.tenant === '7')?.usage as Sums)).toBe(own);
      const spend = await node.call(viewer, 'GET', '/spend?by=model&zone=Asia/Kathmandu');
      expect(told((spend.json() as { total: Sums }).total)).toBe(all);
      const csv = await node.call(viewer, 'GET', '/usage?by=key&format=csv');
      expect(csv.text.trim().split('\n')).toHaveLength(3);
    }
  });

  test('each list the requests of both, and show one that the other answered', async () => {
    for (const [at, node] of nodes.entries()) {
      const list = await node.call(viewer, 'GET', '/requests');
      const { rows } = list.json() as { rows: { id: string }[] };
      expect(rows.map(({ id }) => id).toSorted()).toEqual(ids.flat().toSorted());
      const elsewhere = ids[1 - at]?.[0] ?? '';
      const request = await node.call(viewer, 'GET', `/requests/${elsewhere}`);
      expect(request.json()).toMatchObject({
        id: elsewhere,
        attempts: [{ event: 'ai.usage', request_id: elsewhere, tenant_id: '7', key_id: '77' }],
      });
      const paged: string[] = [];
      for (let cursor = ''; ; ) {
        const page = (
          await node.call(
            viewer,
            'GET',
            `/requests?limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`,
          )
        ).json() as { rows: { id: string }[]; next: string | null };
        paged.push(...page.rows.map(({ id }) => id));
        if (page.next === null) break;
        cursor = page.next;
      }
      expect(paged).toEqual(rows.map(({ id }) => id));
    }
  });

  test('tell a viewer of one tenant nothing of another, whatever is asked for', async () => {
    const [node] = nodes;
    if (node === undefined) throw new Error('there is no node');
    const own = server.sql(`${SQL} WHERE tenant_id = 7`);
    for (const query of ['', '&tenant=7', '&by=model']) {
      const usage = await node.call(seven, 'GET', `/usage?limit=5${query}`);
      expect(told((usage.json() as { total: Sums }).total)).toBe(own);
    }
    for (const path of ['/usage?tenant=8', '/spend?tenant=8'])
      expect(((await node.call(seven, 'GET', path)).json() as { total: Sums }).total).toMatchObject(
        {
          requests: 0,
          cost_usd: '0',
        },
      );
    const list = await node.call(seven, 'GET', '/requests?attempts=all');
    expect((list.json() as { rows: unknown[] }).rows).toHaveLength(OF_SEVEN);
    const foreign = server.sql('SELECT request_id FROM ai_usage WHERE tenant_id = 8 LIMIT 1');
    expect((await node.call(seven, 'GET', `/requests/${foreign}`)).status).toBe(404);
  });

  test('say whose numbers these are, and count the providers’ attempts of both', async () => {
    for (const node of nodes) {
      expect((await node.call(viewer, 'GET', '/node')).json()['ledger']).toBe('postgres');
      const { rows, attempts_unknown: unknown } = (
        await node.call(viewer, 'GET', '/providers')
      ).json() as { rows: { name: string; attempts: number }[]; attempts_unknown: string | null };
      expect(unknown).toBeNull();
      expect(rows.find(({ name }) => name === 'openai')?.attempts).toBe(ALL);
    }
  });

  test('answer 503 with a sentence while it is away, never one node’s numbers, and then again', async () => {
    const all = server.sql(SQL);
    await server.down();
    try {
      for (const node of nodes) {
        for (const path of [
          '/usage',
          '/spend',
          '/requests',
          '/requests/req_x',
          '/usage?format=csv',
        ]) {
          const answer = await node.call(viewer, 'GET', path);
          expect([path, answer.status]).toEqual([path, 503]);
          expect(answer.json()['code']).toBe('unavailable');
          expect(String(answer.json()['detail'])).toContain('ledger_url');
          expect(answer.headers.get('retry-after')).not.toBeNull();
        }
        const providers = (await node.call(viewer, 'GET', '/providers')).json() as {
          rows: { attempts: number }[];
          attempts_unknown: string;
        };
        expect(providers.attempts_unknown).toContain('ledger_url');
        expect(providers.rows.map(({ attempts }) => attempts)).not.toContain(5);
        expect((await node.call(viewer, 'GET', '/now')).status).toBe(200);
        expect(node.gateway.events('console_past_failed')).toHaveLength(1);
      }
    } finally {
      await server.up();
    }
    for (const node of nodes) {
      const usage = await node.call(viewer, 'GET', '/usage');
      expect(told((usage.json() as { total: Sums }).total)).toBe(all);
      expect(node.gateway.events('console_past_recovered')).toHaveLength(1);
    }
  });
});

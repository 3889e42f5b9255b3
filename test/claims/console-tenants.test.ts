import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { admin, ConsoleScene } from '../support/console-scene.ts';
import { ask } from '../support/every-worker.ts';
import { authorities } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const owner = admin('olga', 'owner');
const ofSeven = admin('tina', 'viewer', ['7']);
const ownerOfSeven = admin('tom', 'owner', ['7']);

/** What no caller that is held to tenant 7 may read, wherever. */
const FOREIGN = ['eighth-name', 'eighth-key', '"8"', '8001'];

interface Described {
  readonly operationId: string;
  readonly description: string;
}

let upstream: ScriptedUpstream;
let scene: ConsoleScene;
let paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer('{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
  scene = await new ConsoleScene([owner, ofSeven, ownerOfSeven], {
    config: `data_dir = "${mkdtempSync(join(tmpdir(), 'sluice-tenants-'))}"
${authorities({ openai: upstream.port })}${poolKeys({ openai: 'sk-pool-key-of-tenants' })}${signingKeys()}
[policies.some]
rpm = 100
budget_usd_per_day = 5
unpriced = "tokens"
[tenants.7]
name = "seventh-name"
policy = "some"
[tenants.8]
name = "eighth-name"
policy = "some"
[keys.7001]
name = "seventh-key"
tenant = "7"
policy = "some"
[keys.8001]
name = "eighth-key"
tenant = "8"
policy = "some"
`,
  }).ready();
  for (const [tenantId, keyId] of [
    [7n, 7_001n],
    [8n, 8_001n],
  ] as const)
    expect((await ask(scene.gateway, token({ tenantId, keyId }))).status).toBe(200);
  // The ledger commits what it has gathered.
  await until('both tenants in the ledger', async () => {
    const { text } = await scene.call(owner, 'GET', '/usage?by=tenant');
    return text.includes('"7"') && text.includes('"8"');
  });
  const document = (await scene.call(owner, 'GET', '/openapi.json')).json();
  paths = document['paths'] as typeof paths;
});
afterAll(async () => {
  await scene.stop();
  await upstream.close();
});

describe('a caller that is held to tenants', () => {
  it('reads nothing of another one by any operation that reads, in no format', async () => {
    const asked: string[] = [];
    for (const [path, methods] of Object.entries(paths)) {
      const row = methods['get'];
      if (row === undefined || path.includes('{') || path === '/live') continue;
      for (const query of [
        '',
        '?format=csv',
        '?by=tenant',
        '?by=key',
        '?tenant=8',
        '?key=8001',
        '?q=8',
      ]) {
        const told = await scene.call(ofSeven, 'GET', `${path}${query}`);
        if (told.status !== 200) {
          expect([path, query, [400, 403, 404, 503].includes(told.status)]).toEqual([
            path,
            query,
            true,
          ]);
          continue;
        }
        asked.push(path);
        const found = FOREIGN.filter(
          (one) => told.text.includes(one) || (one === '"8"' && /^8,/m.test(told.text)),
        );
        expect([path, query, found]).toEqual([path, query, []]);
      }
    }
    // It is told something, so that what is left out is left out of something.
    expect(new Set(asked).size).toBeGreaterThan(5);
    for (const path of ['/usage?by=tenant', '/keys', '/tenants'])
      expect((await scene.call(ofSeven, 'GET', path)).text).toMatch(/"7"/);
    for (const path of ['/usage?by=tenant', '/keys', '/tenants'])
      expect((await scene.call(owner, 'GET', path)).text).toMatch(/"8"/);
  });

  it('is told that there is no such thing where it names another one’s', async () => {
    const { rows } = (await scene.call(owner, 'GET', '/requests?tenant=8')).json() as {
      rows: { id: string }[];
    };
    const [row] = rows;
    expect(rows).toHaveLength(1);
    for (const path of ['/keys/8001', '/tenants/8', `/requests/${row?.id}`]) {
      expect([path, (await scene.call(ofSeven, 'GET', path)).status]).toEqual([path, 404]);
      expect([path, (await scene.call(owner, 'GET', path)).status]).toEqual([path, 200]);
    }
  });

  it('changes nothing of another one’s, whatever its role', async () => {
    const before = (await scene.call(owner, 'GET', '/keys/8001')).text;
    const writes: readonly (readonly [method: string, path: string, body: object])[] = [
      ['PUT', '/keys/8001', { name: 'mine' }],
      ['POST', '/keys/8001/expire', { reason: 'mine' }],
      ['PUT', '/keys/8001/denial', { reason: 'fraud' }],
      ['POST', '/keys', { name: 'mine', tenant: '8' }],
      ['PUT', '/tenants/8', { value: { name: 'mine' } }],
      ['PUT', '/tenants/8/denial', { reason: 'fraud' }],
      ['PUT', '/routes/chat', { value: { targets: ['openai/m'] } }],
      ['PUT', '/policies/some', { value: { rpm: 1 } }],
    ];
    for (const [method, path, body] of writes) {
      const told = await scene.call(ownerOfSeven, method, path, { body });
      expect([method, path, [403, 404].includes(told.status)]).toEqual([method, path, true]);
    }
    expect((await scene.call(owner, 'GET', '/keys/8001')).text).toBe(before);
  });
});

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { until } from '../support/conditions.ts';
import { admin, ConsoleScene, type Told } from '../support/console-scene.ts';
import {
  type ApiDocument,
  type Described,
  operationsOf,
  type Try,
  triesOf,
} from '../support/described-operations.ts';
import { poolKeys, signingKeys } from '../support/managed.ts';

/** Calls of each operation that reads, and of one that writes: each of these is a reading of the whole configuration. */
const TURNS = 24;
const WRITE_TURNS = 12;

/** Several hundred calls, one after the other. */
const LIMIT_MS = 400_000;

const owner = admin('olga', 'owner');
const dataDir = mkdtempSync(join(tmpdir(), 'sluice-document-'));

const CONFIG = `data_dir = "${dataDir}"
${poolKeys({ openai: 'sk-pool-key-of-the-document' })}${signingKeys()}
[policies.some]
rpm = 10
budget_usd_per_day = 5
[keys.7]
name = "seven"
tenant = "7"
policy = "some"
[tenants.7]
name = "Seven"
[routes.chat]
targets = ["openai/gpt-4o"]
`;

let scene: ConsoleScene;
let document: ApiDocument;

beforeAll(async () => {
  scene = await new ConsoleScene([owner], { config: CONFIG }).ready();
  document = (await scene.call(owner, 'GET', '/openapi.json')).json() as unknown as ApiDocument;
});
afterAll(async () => await scene.stop());

/** Its answer, once there is one that says something of it: the door may have had too many calls. */
async function asked(method: string, { path, query, fields, body }: Try): Promise<Told> {
  const at = query === '' ? path : `${path}?${query}`;
  return await until('the door to let it in', async () => {
    const told = await scene.call(owner, method, at, {
      fields,
      ...(body === undefined ? {} : { body }),
    });
    return told.status !== 429 && told;
  });
}

/** What the document says of this answer; a list of what does not fit. */
function misfits({ responses, operationId }: Described, told: Told): readonly string[] {
  const said = responses[String(told.status)];
  const name = `${operationId} ${told.status}`;
  if (said === undefined) return [`${name} is not documented: ${told.text.slice(0, 300)}`];
  if (told.status >= 500 && told.status !== 503) return [`${name}: ${told.text}`];
  if (said.content === undefined) return told.text === '' ? [] : [`${name} has a body`];
  const type = (told.headers.get('content-type') ?? '').split(';')[0] ?? '';
  const content = said.content[type];
  if (content === undefined) return [`${name} is ${type}`];
  if (!type.endsWith('json')) return [];
  const { $ref } = content.schema;
  const schema =
    $ref === undefined ? content.schema : document.components.schemas[$ref.split('/').at(-1) ?? ''];
  const result = z
    .fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0])
    .safeParse(told.json());
  return result.success ? [] : [`${name}: ${result.error.message} in ${told.text.slice(0, 500)}`];
}

describe('the API document', () => {
  it(
    'describes every call’s answer, whatever the call: no 500, and nothing that it does not say',
    async () => {
      const wrong: string[] = [];
      const statuses = new Map<string, Set<number>>();
      const rows = operationsOf(document)
        // A stream does not end, and wrong tokens would slow down the right one.
        .filter(([, , { operationId }]) => operationId !== 'live' && operationId !== 'signIn');
      expect(rows.length).toBeGreaterThan(8);
      let writes = 0;
      for (const [path, method, row] of rows) {
        const seen = new Set<number>();
        statuses.set(row.operationId, seen);
        const property = fc.asyncProperty(triesOf(path, row), async (tried) => {
          const told = await asked(method, tried);
          seen.add(told.status);
          if (method !== 'GET' && told.status !== 404) writes++;
          wrong.push(
            ...misfits(row, told).map(
              (what) => `${method} ${tried.path} ${String(tried.body).slice(0, 200)}: ${what}`,
            ),
          );
        });
        const numRuns = method === 'GET' ? TURNS : WRITE_TURNS;
        await fc.assert(property, { numRuns, endOnFailure: true });
      }
      expect(wrong).toEqual([]);
      // What can be read is read, and what can be refused is refused: the tries are of both kinds.
      expect(statuses.get('audit')).toContain(200);
      expect(statuses.get('audit')).toContain(400);
      await until(
        'every write to be in the log',
        () => scene.gateway.count('admin_audit') >= writes,
      );
      expect(writes).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );

  it('needs a credential for every operation but the one that takes one', async () => {
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, { operationId }] of Object.entries(methods)) {
        const told = await scene.call(null, method.toUpperCase(), path.replaceAll(/[{}]/g, ''));
        const expected = operationId === 'signIn' ? [400] : [401];
        expect([operationId, expected.includes(told.status)]).toEqual([operationId, true]);
      }
    }
  });
});

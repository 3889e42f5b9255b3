import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DyingWorkers } from '../support/dying-worker.ts';
import { authorities, type Gateway, sluice, startGateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { expectNoSecret, keepSecret } from '../support/secrets.ts';

// Whatever passes through test/support is looked at in every file of the suite: lines of the log, stderr, metrics,
// responses, what commands print. This file goes where secrets are most likely to slip out.

const POOL = poolKeys({ openai: 'sk-pool-secret-of-openai', groq: 'gsk-pool-secret-of-groq' });
const TOKEN = token();
const FORGED = keepSecret(`${TOKEN.slice(0, -30)}${'A'.repeat(29)}g`);
const OWN = keepSecret('sk-callers-own-key-0123456789');
const folder = mkdtempSync(join(tmpdir(), 'sluice-secrets-'));
const workers = new DyingWorkers();

let gateway: Gateway;
let upstream: ScriptedUpstream;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    if (turn.request.target.includes('reset')) turn.reset();
    else if (turn.request.target.includes('garbage')) await turn.write('HTTP/1.1 nonsense\r\n\r\n');
    else await turn.write('HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\n{}');
  });
  gateway = await startGateway({
    nodeArgs: workers.nodeArgs,
    config: `workers = 1\nlog_level = "debug"\naccess_log = true\nmanaged_prefixes = ["/v1/reset", "/v1/garbage"]\nmax_request_body_bytes = 1000\n${authorities({ openai: upstream.port, groq: 9 })}${POOL}${signingKeys()}`,
  });
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

async function ask(
  target: string,
  fields: readonly string[],
  body = '{"model":"m"}',
): Promise<number> {
  const client = new RawClient(gateway.port);
  const lines = [...fields, `Content-Length: ${body.length}`].map((line) => `${line}\r\n`).join('');
  client.send(`POST ${target} HTTP/1.1\r\nHost: s\r\n${lines}\r\n${body}`);
  const { status } = await client.response();
  client.close();
  return status;
}

const KEYS = [TOKEN, FORGED, OWN];
const POSITIONS: readonly ((key: string) => readonly [field: string | null, query: string])[] = [
  (key) => [`Authorization: Bearer ${key}`, ''],
  (key) => [`Authorization: Basic ${key}`, ''],
  (key) => [`X-Api-Key: ${key}`, ''],
  (key) => [`Api-Key: ${key}`, ''],
  (key) => [`X-Goog-Api-Key: ${key}`, ''],
  (key) => [null, `?key=${key}`],
  (key) => [null, `?k%65y=${key}`],
];
const TARGETS = [
  '/v1/chat/completions',
  '/v1/reset/chat/completions',
  '/v1/garbage/chat/completions',
  '/groq/openai/v1/chat/completions',
  '/xai/v1/chat/completions',
  '/v1/files',
  '/nobody/v1',
];

describe('no secret is ever told', () => {
  it('by the answers and the log, wherever the key stood and however the request failed', async () => {
    const statuses = new Set<number>();
    for (const key of KEYS) {
      for (const position of POSITIONS) {
        for (const target of TARGETS) {
          const [field, query] = position(key);
          statuses.add(await ask(target + query, field === null ? [] : [field]));
        }
      }
      statuses.add(await ask('/v1/chat/completions', [`X-Api-Key: ${key}`], 'x'.repeat(2_000)));
    }
    await gateway.idle();
    expect([...statuses].sort()).toEqual([401, 404, 413, 502, 503]);
    expect(gateway.access().length).toBeGreaterThan(100);
    const why = gateway.access().filter(({ rejection }) => rejection === 'bad_key');
    expect(new Set(why.map(({ failure }) => failure))).toEqual(
      new Set(['bad_signature', 'malformed']),
    );
  });

  it('by a worker that crashes with requests in flight', async () => {
    workers.killOne();
    const line = await gateway.waitForLog(({ event }) => event === 'worker_failed');
    expect(line['reason']).toContain('injected');
    await gateway.waitForLog(({ event }) => event === 'worker_restarted');
  });

  it('by check, nor by a configuration that is wrong', () => {
    const file = join(folder, 'config.toml');
    const texts = [
      `${POOL}${signingKeys()}`,
      'openai = "sk-pool-secret-of-openai"\n',
      'listen = "sk-pool-secret-of-openai"\n[pool_keys]\n"gsk-pool-secret-of-groq" = "x"\n',
      '[pool_keys]\nopenai = ["sk-pool-secret-of-openai", 5]\n',
      '[pool_keys]\nopenai = "sk-pool-secret-of-openai\n',
      '[signing_keys]\n7 = "sk-pool-secret-of-openai"\n',
    ];
    const codes = texts.map((text) => {
      writeFileSync(file, text);
      return sluice(['check', '--config', file]).status;
    });
    expect(codes).toEqual([0, 1, 1, 1, 1, 1]);
    const env = { AI_POOL_KEY_NOBODY: keepSecret('sk-pool-secret-of-nobody') };
    expect(sluice(['check'], { env }).status).toBe(1);
  });
});

it('the eyes of this suite do see', () => {
  expect(() => expectNoSecret('here', `a log line with ${TOKEN}`)).toThrow(/here/);
  expect(() => expectNoSecret('here', Buffer.from(`… ${OWN.slice(-24)} …`))).toThrow(/here/);
  expect(() => expectNoSecret('here', 'a log line')).not.toThrow();
});

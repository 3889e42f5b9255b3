import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { admin, ConsoleScene } from '../support/console-scene.ts';
import {
  type ApiDocument,
  type Described,
  operationsOf,
  type Try,
  triesOf,
} from '../support/described-operations.ts';
import { signingKeys, token } from '../support/managed.ts';
import { newSecret, SecretSearch } from '../support/secret-search.ts';
import { keepSecret } from '../support/secrets.ts';

/** Odd calls of each operation, beside those that are meant. */
const TURNS = 6;
const LIMIT_MS = 300_000;

const search = new SecretSearch();
const planted = (name: string): string => search.add(name, newSecret());

const owner = admin('olga', 'owner');
const another = admin('otto', 'owner');
for (const { token: shown } of [owner, another]) search.add('an admin token', shown.slice(4));
const KEY = token({ keyId: 7n });
search.add('a virtual key', KEY.slice(KEY.lastIndexOf('.') + 1));

const folder = mkdtempSync(join(tmpdir(), 'sluice-told-secrets-'));
const inFile = join(folder, 'oidc.secret');
writeFileSync(inFile, planted('the client secret of the OpenID provider'));

// The signer's own, as `sluice mint` would have it.
const signer = Buffer.from(new Uint8Array(32).fill(1)).toString('base64');
keepSecret(signer);

const env = {
  SLUICE_SIGNING_SECRET: `7:${signer}`,
  PLANTED_POOL_KEY: planted('a pool key from a variable'),
};

const TABLES = `
[admin]
origin = "http://127.0.0.1:1"
[admin.oidc]
issuer = "http://127.0.0.1:1"
client_id = "sluice"
client_secret = "file:${inFile}"
[admin.oidc.roles]
"ai-admins" = "owner"
[pool_keys]
openai = ["${planted('the first pool key')}", "${planted('the second pool key')}"]
groq = "\${PLANTED_POOL_KEY}"
${signingKeys()}
[policies.some]
rpm = 10
budget_usd_per_day = 5
rehearse = true
cache = "exact"
[keys.7]
name = "seven"
tenant = "7"
policy = "some"
[tenants.7]
name = "Seven"
[routes.chat]
targets = ["openai/gpt-4o"]
fallbacks = ["groq/llama"]
`;

const dsn = (scheme: string, name: string, rest: string): string =>
  `${scheme}://sluice:${planted(name)}@127.0.0.1:1${rest}`;

/** Nothing of what it names answers: what failed is told, and must not say with which password. */
const LONELY = `nats_url = "nats://127.0.0.1:1"
ledger = true
ledger_url = "${dsn('postgres', 'the password of Postgres', '/ledger')}"
proxy_url = "${dsn('http', 'the password of a proxy', '')}"
redis_url = "${dsn('redis', 'the password of a Redis', '/0')}"
budget_webhook_url = "http://127.0.0.1:1/${planted('the path of a webhook')}"
rehearse_authority = "http://127.0.0.1:1"
`;

/** Calls that are meant, so that each operation has something to tell. */
const MEANT: Readonly<Record<string, readonly Partial<Try>[]>> = {
  key: [{ path: '/keys/7' }],
  tenant: [{ path: '/tenants/7' }],
  policy: [{ path: '/policies/some' }],
  route: [{ path: '/routes/chat' }],
  price: [{ path: '/prices/openai%2Fgpt-4o' }],
  resetProvider: [{ path: '/providers/openai/reset' }],
  resetTarget: [{ path: '/targets/openai%2Fgpt-4o/reset' }],
  explain: [
    { body: '{"model":"chat"}' },
    { body: '{"model":"groq/llama","key":"7","body":{"messages":[]}}' },
  ],
  rehearse: [
    { body: JSON.stringify({ model: 'chat', key: KEY, faults: [{ target: 'x', fault: '503' }] }) },
    { body: JSON.stringify({ model: 'chat', key: `${KEY}x`, faults: [] }) },
  ],
  mintKey: [{ body: '{"name":"new","tenant":"7"}' }],
  putRoute: [{ path: '/routes/new', body: '{"value":{"targets":["openai/gpt-4o"]}}' }],
  putPolicy: [{ path: '/policies/new', body: '{"value":{"rpm":1}}' }],
  denyKey: [{ path: '/keys/7/denial', body: '{}' }],
  reload: [{ body: '{"reason":"to see"}' }],
  signIn: [
    { body: JSON.stringify({ token: owner.token }) },
    { body: JSON.stringify({ token: [another.token] }) },
    { body: JSON.stringify({ [another.token]: 1 }) },
  ],
};

/** What somebody is told: every answer whole, its fields too, and what the log has. */
class Listener {
  readonly #scene: ConsoleScene;
  readonly leaks: string[] = [];
  /** Answers by operation. */
  readonly heard = new Map<string, Set<number>>();

  constructor(scene: ConsoleScene) {
    this.#scene = scene;
  }

  async ask(row: Described, method: string, tried: Partial<Try> & Pick<Try, 'path'>) {
    const { path, query = '', fields = {}, body } = tried;
    const target = `/admin/v1${path}${query === '' ? '' : `?${query}`}`;
    await until('the door to let it in', async () => {
      const response = await fetch(`${this.#scene.origin}${target}`, {
        method,
        redirect: 'manual',
        headers: {
          authorization: `Bearer ${owner.token}`,
          'content-type': 'application/json',
          ...fields,
        },
        ...(body === undefined ? {} : { body }),
      });
      if (response.status === 429) {
        await response.arrayBuffer();
        return false;
      }
      const text = row.operationId === 'live' ? await firstOf(response) : await response.text();
      const seen = this.heard.get(row.operationId) ?? new Set();
      this.heard.set(row.operationId, seen.add(response.status));
      this.#look(`${row.operationId} ${response.status}`, [...response.headers].join('\n') + text);
      return true;
    });
  }

  lookAtLog(): void {
    const { gateway } = this.#scene;
    for (const line of gateway.logs)
      this.#look(`the log's ${String(line['event'])}`, JSON.stringify(line));
    this.#look('stderr', gateway.stderr);
  }

  #look(where: string, text: string): void {
    for (const name of search.in(text)) this.leaks.push(`${name} in ${where}`);
  }
}

async function firstOf(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  const { value } = (await reader?.read()) ?? {};
  await reader?.cancel();
  return Buffer.from(value ?? new Uint8Array()).toString();
}

async function driven(scene: ConsoleScene): Promise<Listener> {
  const listener = new Listener(scene);
  const told = await scene.call(owner, 'GET', '/openapi.json');
  const rows = operationsOf(told.json() as unknown as ApiDocument);
  expect(rows.length).toBeGreaterThan(40);
  for (const [path, method, row] of rows) {
    const odd = row.operationId === 'live' ? [] : fc.sample(triesOf(path, row), TURNS);
    const meant = MEANT[row.operationId] ?? [{}];
    for (const tried of [...meant, ...odd])
      await listener.ask(row, method, { path: path.replaceAll(/\{\w+\}/g, '7'), ...tried });
  }
  listener.lookAtLog();
  return listener;
}

describe('no secret is told by any operation of the admin API', () => {
  let scene: ConsoleScene;
  beforeAll(async () => {
    const config = `data_dir = "${folder}"\n${TABLES}`;
    scene = await new ConsoleScene([owner, another], { config, env }).ready();
  });
  afterAll(async () => {
    await scene.stop();
    rmSync(folder, { recursive: true });
  });

  it(
    'where all is well: whole, in part, or as base64 or hex',
    async () => {
      const { leaks, heard } = await driven(scene);
      expect(leaks).toEqual([]);
      // There was something to tell.
      const read = [
        'config',
        'providers',
        'key',
        'route',
        'explain',
        'audit',
        'putRoute',
        'reload',
      ];
      for (const id of read)
        expect([id, [...(heard.get(id) ?? [])]]).toEqual([id, expect.arrayContaining([200])]);
      expect(heard.get('mintKey')).toContain(201);
    },
    LIMIT_MS,
  );

  it(
    'where the file is damaged, and its secrets are of another shape than they must be',
    async () => {
      const tables = TABLES.replace('client_secret = "file:', 'client_secret = ["file:').replace(
        '.secret"\n',
        '.secret"]\n',
      );
      const wrong = `nats_url = "${planted('a NATS that is no URL')}"
ledger_url = "${dsn('mysql', 'the password of another data base', '/x')}"
proxy_url = "${dsn('socks9', 'the password of an odd proxy', '')}"
redis_url = "${dsn('memcached', 'the password of an odd cache', '')}"
data_dir = "${folder}"
${tables.replace('[pool_keys]', `[pool_keys]\nxai = [5, "${planted('a pool key beside a number')}"]`)}`;
      scene.gateway.configure(`workers = 1\n${wrong}${owner.table}${another.table}`);
      const { leaks, heard } = await driven(scene);
      expect(leaks).toEqual([]);
      // It was looked at, and refused.
      expect([...(heard.get('putRoute') ?? [])]).toContain(422);
    },
    LIMIT_MS,
  );
});

it(
  'no secret is told of what is away: a NATS, a Postgres, a Redis, a proxy, a webhook, an OpenID provider',
  async () => {
    const own = mkdtempSync(join(tmpdir(), 'sluice-told-secrets-'));
    writeFileSync(inFile.replace(folder, own), 'x'.repeat(40));
    const tables = TABLES.replace(inFile, join(own, 'oidc.secret'));
    const scene = await new ConsoleScene([owner, another], {
      config: `data_dir = "${own}"\n${LONELY}${tables}`,
      env,
    }).ready();
    const { leaks, heard } = await driven(scene);
    for (const path of ['/oidc/start', '/oidc/callback?code=a&state=b']) {
      const told = await scene.page(path);
      expect(search.in(told.text + JSON.stringify([...told.headers]))).toEqual([]);
    }
    await scene.stop();
    expect(leaks).toEqual([]);
    expect([...(heard.get('usage') ?? [])]).toContain(503);
    expect([...(heard.get('denyKey') ?? [])]).toContain(503);
    rmSync(own, { recursive: true });
  },
  LIMIT_MS,
);

describe('the eyes that look', () => {
  const own = new SecretSearch();
  const secret = own.add('it', newSecret());
  it.each([
    ['whole', secret],
    ['its beginning', `x${secret.slice(0, 10)}x`],
    ['its middle', `${secret.slice(15, 26)}`],
    ['in base64', Buffer.from(secret).toString('base64')],
    ['in base64 behind two bytes', Buffer.from(`u:${secret}@h`).toString('base64')],
    ['in base64 behind a user', Buffer.from(`sluice:${secret}`).toString('base64url')],
    ['in hex', Buffer.from(`a${secret}`).toString('hex')],
  ])('see it %s', (_, text) => {
    expect(own.in(`{"a":"${text}"}`)).toEqual(['it']);
  });

  it('see nothing where four characters tell a key from its neighbours', () => {
    expect(own.in(`{"last4":"${secret.slice(-4)}"}`)).toEqual([]);
  });
});

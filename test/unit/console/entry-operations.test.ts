import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { Denials } from '../../../src/console/denials.ts';
import { KnownEntries } from '../../../src/console/known-entries.ts';
import type { Operation } from '../../../src/console/operation.ts';
import { entryOperations } from '../../../src/console/operations/entry-operations.ts';
import { keyOperations } from '../../../src/console/operations/key-operations.ts';
import { tenantOperations } from '../../../src/console/operations/tenant-operations.ts';
import type {
  ENTRIES_PAGE,
  ENTRY,
  KEY,
  KEYS_PAGE,
  MINTED_KEY,
  TENANT,
} from '../../../src/console/shapes.ts';
import { newSecretKey, publicKeyOf } from '../../../src/keys/minting.ts';
import { writeSecret } from '../../../src/keys/signing-secret.ts';
import { parseToken } from '../../../src/keys/virtual-key.ts';
import { called, gatewayView, viewerOf } from '../../support/console.ts';

const FILE = `
[policies.agents]
rpm = 60

[policies.held]
rpm = 5
locked = true

[routes.chat]
targets = ["openai/gpt-5-mini"]

[keys.7]
name = "of the file"
tenant = "1"

[tenants.1]
name = "first"
policy = "agents"
`;

let folder: string;
let config: string;
let operations: readonly Operation[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-entries-'));
  config = join(folder, 'config.toml');
  const secretKey = newSecretKey();
  writeSecret(join(folder, 'signing-1.secret'), { kid: 1, secretKey });
  const publicKey = Buffer.from(publicKeyOf(secretKey)).toString('base64');
  writeFileSync(
    config,
    `data_dir = ${JSON.stringify(folder)}\n[signing_keys]\n1 = "${publicKey}"\n${FILE}`,
  );
  open();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function open(): void {
  const view = gatewayView(config);
  const entries = new KnownEntries(view);
  const denials = new Denials(view);
  operations = [
    ...entryOperations(view, entries),
    ...keyOperations(view, entries, denials),
    ...tenantOperations(entries, denials),
  ];
}

type Entry = z.output<typeof ENTRY>;
type Key = z.output<typeof KEY>;

const call = (id: string, said: Parameters<typeof called>[2] = {}) => called(operations, id, said);

describe('policies, routes and prices', () => {
  test('one of the file is told with its members, and may be laid over, member by member', async () => {
    const path = { name: 'agents' };
    const before = await call('policy', { path });
    expect(before).toMatchObject({
      etag: '0',
      body: {
        value: { rpm: 60 },
        members: { rpm: 'file' },
        origin: { file: true, overlay: null, locked: false },
      },
    });
    const body = { value: { rpm: 60, tpm: 1_000 }, reason: 'a test' };
    const after = await call('putPolicy', { path, body, ifMatch: '0' });
    expect(after.body).toMatchObject({
      value: { rpm: 60, tpm: 1_000 },
      // What the file says the same is left to it.
      members: { rpm: 'file', tpm: 'overlay' },
      origin: { file: true, overlay: { author: 'olive', reason: 'a test' } },
    });
    expect(after.audited).toEqual({ before: { rpm: 60 }, after: { rpm: 60, tpm: 1_000 } });
    expect((await call('policy', { path })).etag).toBe(after.etag);
  });

  test('of two writers who have read the same one, the second is told that it was changed', async () => {
    const path = { name: 'mine' };
    const { etag = '' } = await call('putPolicy', { path, body: { value: { rpm: 1 } } });
    const again = { path, body: { value: { rpm: 2 } } };
    await expect(call('putPolicy', again)).rejects.toMatchObject({ code: 'changed_meanwhile' });
    await call('putPolicy', { ...again, ifMatch: etag });
    await expect(call('putPolicy', { ...again, ifMatch: etag })).rejects.toMatchObject({
      code: 'changed_meanwhile',
    });
    await expect(call('deletePolicy', { path, ifMatch: etag })).rejects.toMatchObject({
      code: 'changed_meanwhile',
    });
  });

  test('what a gateway would refuse is refused with what is wrong, and nothing is written', async () => {
    const path = { name: 'mine' };
    const came = call('putRoute', { path, body: { value: { targets: ['nobody/at-all'] } } });
    await expect(came).rejects.toMatchObject({
      code: 'invalid',
      parts: [expect.objectContaining({ key: expect.stringContaining('routes.mine') })],
    });
    await expect(call('route', { path })).rejects.toMatchObject({ code: 'not_found' });
  });

  test('what the file has locked is refused as locked', async () => {
    const body = { value: { rpm: 6 } };
    const came = call('putPolicy', { path: { name: 'held' }, body, ifMatch: '0' });
    await expect(came).rejects.toMatchObject({ code: 'locked' });
    expect((await call('policy', { path: { name: 'held' } })).body).toMatchObject({
      origin: { locked: true },
    });
  });

  test('what was said at run time can be taken away, what the file says cannot', async () => {
    const path = { name: 'mine' };
    const { etag = '' } = await call('putRoute', {
      path,
      body: { value: { targets: ['openai/gpt-5'] } },
    });
    await expect(call('deleteRoute', { path })).rejects.toMatchObject({
      code: 'precondition_required',
    });
    await call('deleteRoute', { path, ifMatch: etag });
    await expect(call('route', { path })).rejects.toMatchObject({ code: 'not_found' });
    await expect(
      call('deleteRoute', { path: { name: 'chat' }, ifMatch: '0' }),
    ).rejects.toMatchObject({ code: 'conflict' });
  });

  test('prices are told from the book where nobody writes one, and what is written stands before it', async () => {
    const asked = async (q: string) =>
      ((await call('prices', { query: { q } })).body as z.output<typeof ENTRIES_PAGE>).rows;
    const [book] = (await asked('openai/gpt-5-mini')).filter(
      ({ name }) => name === 'openai/gpt-5-mini',
    );
    expect(book?.value).toMatchObject({
      input: expect.stringMatching(/^\d/),
      output: expect.stringMatching(/^\d/),
    });
    await call('putPrice', {
      path: { name: 'openai/gpt-5-mini' },
      body: { value: { input: '9', output: '10' } },
    });
    const found = (await asked('openai/gpt-5-mini')).filter(
      ({ name }) => name === 'openai/gpt-5-mini',
    );
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ value: { input: '9' }, members: { input: 'overlay' } });
  });

  test('an entry that ends is told with its end', async () => {
    const expires = new Date(Date.now() + 3_600_000).toISOString();
    const path = { name: 'mine' };
    await call('putPolicy', { path, body: { value: { rpm: 1 }, expires } });
    expect(((await call('policy', { path })).body as Entry).origin.overlay?.expires).toBe(expires);
  });

  test('a file that has become invalid changes nothing that is told', async () => {
    await call('policies');
    writeFileSync(config, `${readFileSync(config, 'utf8')}\n[nonsense`);
    expect((await call('policy', { path: { name: 'agents' } })).status).toBe(200);
    const came = call('putPolicy', { path: { name: 'new' }, body: { value: { rpm: 1 } } });
    await expect(came).rejects.toMatchObject({ code: 'invalid' });
  });

  test('as CSV a list has a line for each', async () => {
    const { body } = await call('policies', { query: { format: 'csv' } });
    expect(
      String(body)
        .trimEnd()
        .split('\r\n')
        .map((line) => line.split(',')[0]),
    ).toEqual(['name', 'agents', 'held']);
  });
});

describe('keys', () => {
  test('one that is minted is shown once, verifies, and is written down with its author', async () => {
    const wish = { name: 'ci', tenant: '1', class: 'agent', policy: 'agents', reason: 'a test' };
    const { status, body, location } = await call('mintKey', { body: wish });
    const { key, secret } = body as z.output<typeof MINTED_KEY>;
    expect(status).toBe(201);
    expect(location).toBe(`/admin/v1/keys/${key.id}`);
    expect(parseToken(secret)?.claims).toMatchObject({
      keyText: key.id,
      tenantText: '1',
      keyClass: 'agent',
    });
    expect(key).toMatchObject({
      name: 'ci',
      state: 'active',
      origin: { file: false, overlay: { author: 'olive' } },
    });
    expect(JSON.stringify(await call('key', { path: { id: key.id } }))).not.toContain(secret);
  });

  test('without its signing secret none is minted, and it is said why', async () => {
    rmSync(join(folder, 'signing-1.secret'));
    const came = call('mintKey', { body: { name: 'ci', tenant: '1' } });
    await expect(came).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('keygen'),
    });
  });

  test('one of the file is ended, and one that nobody wrote down too', async () => {
    for (const id of ['7', '123456']) {
      const { body } = await call('expireKey', { path: { id }, body: { reason: 'left' } });
      expect(body).toMatchObject({ id, state: 'expired', origin: { overlay: { reason: 'left' } } });
    }
  });

  test('a change says its revision, and null takes back what was said', async () => {
    const path = { id: '7' };
    const first = await call('changeKey', { path, body: { policy: 'agents' }, ifMatch: '0' });
    expect(first.body).toMatchObject({ policy: 'agents', name: 'of the file' });
    await expect(
      call('changeKey', { path, body: { policy: 'held' }, ifMatch: '0' }),
    ).rejects.toMatchObject({ code: 'changed_meanwhile' });
    const second = await call('changeKey', {
      path,
      body: { policy: null },
      ifMatch: first.etag ?? null,
    });
    expect(second.body).toMatchObject({ policy: null });
    const bad = call('changeKey', {
      path,
      body: { policy: 'nothing' },
      ifMatch: second.etag ?? null,
    });
    await expect(bad).rejects.toMatchObject({ code: 'invalid' });
  });

  test('whoever is held to tenants sees and changes their keys alone', async () => {
    const foreign = { caller: viewerOf('2') };
    const own = { caller: viewerOf('1') };
    const rows = async (said: object) =>
      ((await call('keys', said)).body as z.output<typeof KEYS_PAGE>).rows.map(
        (row: Key) => row.id,
      );
    expect(await rows(own)).toEqual(['7']);
    expect(await rows(foreign)).toEqual([]);
    const path = { id: '7' };
    for (const [id, body] of [
      ['key', null],
      ['changeKey', { policy: 'agents' }],
      ['expireKey', {}],
      ['denyKey', {}],
      ['allowKey', null],
    ] as const)
      await expect(call(id, { path, body, ...foreign })).rejects.toMatchObject({
        code: 'not_found',
      });
    await expect(
      call('mintKey', { body: { name: 'x', tenant: '1' }, ...foreign }),
    ).rejects.toMatchObject({ code: 'not_allowed' });
    await expect(call('tenant', { path: { id: '1' }, ...foreign })).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  test('without NATS nobody can be cut off, and it is said what to do', async () => {
    const came = call('denyKey', { path: { id: '7' }, body: {} });
    await expect(came).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('nats_url'),
    });
  });
});

test("a tenant gets a policy at run time, and its name stays the file's", async () => {
  const { body, etag } = await call('putTenant', {
    path: { id: '1' },
    body: { value: { policy: 'held' } },
    ifMatch: '0',
  });
  expect(body as z.output<typeof TENANT>).toMatchObject({ id: '1', name: 'first', policy: 'held' });
  expect((await call('deleteTenant', { path: { id: '1' }, ifMatch: etag ?? null })).status).toBe(
    204,
  );
  expect((await call('tenant', { path: { id: '1' } })).body).toMatchObject({ policy: 'agents' });
});

test('without a place for it nothing can be written, and everything can be read', async () => {
  writeFileSync(config, FILE);
  open();
  expect((await call('policies')).status).toBe(200);
  const came = call('putPolicy', { path: { name: 'new' }, body: { value: { rpm: 1 } } });
  await expect(came).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('data_dir'),
  });
});

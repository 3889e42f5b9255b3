import { readFileSync, statSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { inLanes } from '../support/lanes.ts';
import { facts, poolKeys, signingKeys, token } from '../support/managed.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

/** Facts of 0.7 KB: together far more than a pipe and the buffers around it take (64 KiB each). */
const REQUESTS = 1_500;
const TOKEN = token();

let upstream: ScriptedUpstream;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-facts-'));
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer('{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
});
afterAll(async () => await upstream.close());

/** A gateway whose stdout nobody reads any more. */
async function stalledGateway(spill: string | null): Promise<Gateway> {
  const gateway = await startGateway({
    config:
      `workers = 2\naccess_log = true\n${spill === null ? '' : `usage_spill_path = "${spill}"\n`}` +
      authorities({ openai: upstream.port }) +
      poolKeys({ openai: 'sk-pool' }) +
      signingKeys(),
  });
  gateway.child.stdout?.pause();
  return gateway;
}

const REQUEST = post(TOKEN, CHAT, '{"model":"m"}');

/** @returns the ids of the responses */
async function ask({ port }: Gateway, requests: number): Promise<readonly string[]> {
  const ids: string[] = [];
  const connection = () => new RawClient(port);
  await inLanes(Array.from({ length: requests }), 8, connection, async (_, client) => {
    const response = await client.send(REQUEST).response();
    expect(response.status).toBe(200);
    ids.push(response.field('x-sluice-request-id') ?? '');
  });
  return ids;
}

const idsOf = (lines: readonly { readonly [field: string]: unknown }[]): readonly string[] =>
  lines.map((line) => String(line['request_id']));

/** The ids in a spill file; every line of it must be a whole fact. */
function spilledIds(file: string): readonly string[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  expect(lines.pop()).toBe('');
  return idsOf(lines.map((line) => JSON.parse(line)));
}

describe('a reader of stdout that stalls', () => {
  it('stops no request, and gets every fact once it reads again', async () => {
    const gateway = await stalledGateway(null);
    const ids = await ask(gateway, REQUESTS);
    const metrics = await gateway.metrics();
    expect(metrics.get('ai_usage_facts_total{source="reported"}')).toBe(REQUESTS);
    expect(facts(gateway).length).toBeLessThan(REQUESTS);
    gateway.child.stdout?.resume();
    const told = await until('every fact', () => {
      const list = facts(gateway);
      return list.length >= REQUESTS && list;
    });
    expect([...idsOf(told)].sort()).toEqual([...ids].sort());
    expect((await gateway.metrics()).get('ai_usage_facts_lost_total')).toBe(0);
    await gateway.stop();
  });

  it('and never comes back: SIGTERM still ends the process, and the spill file has what it did not read', async () => {
    const file = join(folder, 'stalled.ndjson');
    const gateway = await stalledGateway(file);
    const ids = await ask(gateway, REQUESTS);
    gateway.signal('SIGTERM');
    expect(await gateway.exited).toEqual({ code: 0, signal: null });
    // What the pipe itself had taken is for whoever reads it.
    gateway.child.stdout?.resume();
    const spilled = spilledIds(file);
    expect(spilled.length).toBeGreaterThan(0);
    await until('the rest of the pipe', () => {
      const known = new Set([...idsOf(facts(gateway)), ...spilled]);
      return ids.every((id) => known.has(id));
    });
    expect(new Set(spilled).size).toBe(spilled.length);
    expect(gateway.stderr).toBe('');
    expect(statSync(file).mode & 0o077).toBe(0);
  });

  it('and there is no spill file: the process says how many facts were lost', async () => {
    const gateway = await stalledGateway(null);
    const ids = await ask(gateway, REQUESTS);
    gateway.signal('SIGTERM');
    expect((await gateway.exited).code).toBe(0);
    const lost = Number(/^(\d+) usage facts were lost/m.exec(gateway.stderr)?.[1]);
    gateway.child.stdout?.resume();
    await until(
      'the rest of the pipe',
      () => gateway.child.stdout?.closed === true || gateway.child.stdout?.readableEnded,
    );
    const told = new Set(idsOf(facts(gateway)));
    const missing = ids.filter((id) => !told.has(id)).length;
    expect(missing).toBeGreaterThan(0);
    // Facts in the write that was under way may have arrived, and are counted as lost all the same.
    expect(lost).toBeGreaterThanOrEqual(missing);
    expect(gateway.stderr).toContain('usage_spill_path');
  });
});

describe('a reader of stdout that went away', () => {
  it('stops no request: the facts go to the spill file', async () => {
    const file = join(folder, 'gone.ndjson');
    const gateway = await stalledGateway(file);
    gateway.child.stdout?.destroy();
    const ids = await ask(gateway, 50);
    const metrics = await until('the facts to be spilled', async () => {
      const scraped = await gateway.metrics();
      return scraped.get('ai_usage_facts_spilled_total') === 50 && scraped;
    });
    expect(metrics.get('ai_usage_facts_lost_total')).toBe(0);
    expect([...spilledIds(file)].sort()).toEqual([...ids].sort());
    await gateway.stop();
  });
});

describe('usage_spill_path', () => {
  it('that cannot be written stops the start, and says which key', async () => {
    const failure = await stalledGateway(join(folder, 'nowhere', 'x.ndjson')).then(
      () => null,
      (error: Error) => error.message,
    );
    expect(failure).toMatch(/usage_spill_path: cannot append to .*nowhere.* \(ENOENT\)/);
  });

  it('that is a full disk keeps facts waiting, and those that never got there are counted at the end', async () => {
    const gateway = await stalledGateway('/dev/full');
    gateway.child.stdout?.destroy();
    await ask(gateway, 20);
    const metrics = await gateway.idle();
    expect(metrics.get('ai_usage_facts_lost_total')).toBe(0);
    expect(metrics.get('ai_usage_facts_spilled_total')).toBe(0);
    gateway.signal('SIGTERM');
    expect((await gateway.exited).code).toBe(0);
    expect(gateway.stderr).toMatch(/^20 usage facts were lost/m);
  });
});

it('a second SIGTERM ends what is open, and its facts are told', async () => {
  const silent = await startUpstream(async (turn) => {
    await turn.stream();
    await turn.chunk('data: {"choices":[{"delta":{"content":"x"}}]}\n\n');
  });
  const gateway = await startGateway({
    config: `workers = 2\n${authorities({ openai: silent.port })}${poolKeys({ openai: 'sk-pool' })}${signingKeys()}`,
  });
  const clients = Array.from({ length: 20 }, () => new RawClient(gateway.port).send(REQUEST));
  for (const client of clients) await until('its stream', () => client.receivedBytes > 0);
  gateway.signal('SIGTERM');
  await gateway.waitForLog(({ event }) => event === 'draining');
  // Two at once would be one.
  await pause(600);
  gateway.signal('SIGTERM');
  await gateway.exited;
  await until('twenty facts', () => facts(gateway).length === 20);
  for (const fact of facts(gateway)) expect(fact).toMatchObject({ outcome: 'drained' });
  for (const client of clients) client.close();
  await silent.close();
});

it('SIGTERM flushes what was settled last', async () => {
  const gateway = await stalledGateway(null);
  gateway.child.stdout?.resume();
  for (let round = 0; round < 20; round++) await ask(gateway, 1);
  const ids = await ask(gateway, 50);
  gateway.signal('SIGTERM');
  expect((await gateway.exited).code).toBe(0);
  await until(
    'the last facts',
    () => idsOf(facts(gateway)).filter((id) => ids.includes(id)).length === 50,
  );
});

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeSnapshot } from '../../src/deny/deny-snapshot.ts';
import { until } from '../support/conditions.ts';
import { denyScene, settles, synced } from '../support/deny-scene.ts';
import { authorities, type Gateway, MAIN, startGateway } from '../support/gateway.ts';
import { inLanes } from '../support/lanes.ts';
import { facts, poolKeys, signingKeys, token } from '../support/managed.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { NO_DISK, SmallDisk } from '../support/small-disk.ts';

const DISK_BYTES = 65_536;
const TOKEN = token();

let upstream: ScriptedUpstream;
let small: SmallDisk;
/** Where it is; null where none can be made. */
let disk: string | null = null;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer('{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
  small = new SmallDisk(DISK_BYTES);
  disk = small.path;
});
afterAll(async () => {
  await upstream.close();
  small.unmount();
});

const config = (lines: string): string =>
  `workers = 1\naccess_log = true\n${lines}${authorities({ openai: upstream.port })}${poolKeys({ openai: 'sk-pool-disk' })}${signingKeys()}`;

async function ask(gateway: Gateway, count: number): Promise<readonly string[]> {
  const ids: string[] = [];
  const connection = () => new RawClient(gateway.port);
  await inLanes(Array.from({ length: count }), 8, connection, async (_, client) => {
    const response = await client.send(post(TOKEN, CHAT, '{"model":"m"}')).response();
    expect(response.status).toBe(200);
    ids.push(response.field('x-sluice-request-id') ?? '');
  });
  return ids;
}

describe('a disk that fills up', () => {
  it('holds whole facts up to its end, and the rest waits until there is room: none is lost', async (ctx) => {
    if (disk === null) return ctx.skip(NO_DISK);
    const file = join(disk, 'spill.ndjson');
    const gateway = await startGateway({ config: config(`usage_spill_path = "${file}"\n`) });
    gateway.child.stdout?.destroy();
    const ids = await ask(gateway, 300);
    const loaded: string[] = [];
    // Full, or all of it: then nothing is written while the file is loaded and emptied.
    const isStill = async (): Promise<boolean> => {
      const spilled = (await gateway.metrics()).get('ai_usage_facts_spilled_total');
      return (
        spilled === 300 || (spilled > loaded.length && statSync(file).size > DISK_BYTES - 4_096)
      );
    };
    let rounds = 0;
    await until('every fact', async () => {
      if (!(await isStill())) return false;
      rounds++;
      expect(statSync(file).size).toBeLessThanOrEqual(DISK_BYTES);
      const lines = readFileSync(file, 'utf8').split('\n');
      // It is being tried again just now: part of a line, which is taken back.
      if (lines.pop() !== '') return false;
      truncateSync(file);
      loaded.push(...lines.map((line) => JSON.parse(line).request_id));
      return loaded.length === 300;
    });
    expect(rounds).toBeGreaterThan(1);
    expect([...loaded].sort()).toEqual([...ids].sort());
    expect((await gateway.metrics()).get('ai_usage_facts_lost_total')).toBe(0);
    await gateway.stop();
    rmSync(file);
  });
});

describe('a snapshot on a full disk', () => {
  const scene = denyScene();

  it('is told once, leaves the last one whole, and is written when there is room', async (ctx) => {
    if (disk === null) return ctx.skip(NO_DISK);
    const snapshot = join(disk, 'deny.snapshot');
    const gateway = await scene.gateway({ snapshot });
    await synced(gateway);
    await scene.writer.tenant(42, 'fraud');
    await settles([gateway], TOKEN, 403);
    const saved = (count: number) =>
      until(`a snapshot of ${count}`, () => {
        try {
          return decodeSnapshot(readFileSync(snapshot)).count === count;
        } catch {
          return false;
        }
      });
    await saved(1);
    const ballast = join(disk, 'ballast');
    const filler = spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4096', 'count=32']);
    expect(filler.status).not.toBe(0);
    for (let id = 100; id < 700; id++) await scene.writer.tenant(id, 'spend');
    await gateway.waitForLog(({ event }) => event === 'deny_snapshot_failed');
    // Enforced from memory, all the same.
    await settles([gateway], token({ tenantId: 699n }), 402);
    expect(decodeSnapshot(readFileSync(snapshot)).count).toBe(1);
    rmSync(ballast);
    await scene.writer.tenant(700, 'spend');
    await saved(602);
    expect(gateway.count('deny_snapshot_failed')).toBe(1);
    await gateway.stop();
  });
});

describe('a process without file descriptors to spare', () => {
  /** What the gateway itself has open, and some 60 more. */
  const LIMIT = 110;

  it('says overloaded or waits, does not die, and serves as before when others have left', async (ctx) => {
    if (spawnSync('prlimit', ['--version']).status !== 0) return ctx.skip('needs prlimit');
    const gateway = await startGateway({
      config: config(''),
      command: ['prlimit', `--nofile=${LIMIT}`, process.execPath, MAIN, 'serve'],
    });
    const told = facts(gateway).length;
    const before = gateway.descriptors();
    // As many connections as there are descriptors but one: what each asks needs another one.
    const clients = Array.from({ length: LIMIT - before - 1 }, () => new RawClient(gateway.port));
    const requests = clients.map((client) => client.send(post(TOKEN)).response());
    const statuses = (await Promise.all(requests)).map(({ status }) => status);
    expect(statuses.filter((status) => status !== 200 && status !== 503)).toEqual([]);
    expect(statuses).toContain(503);
    for (const client of clients) client.close();
    await until('the descriptors to be free', () => gateway.descriptors() < before + 20);
    const ids = await ask(gateway, 20);
    await gateway.idle();
    const served = statuses.filter((status) => status === 200).length + ids.length;
    await until('their facts', () => facts(gateway).length >= told + served);
    expect(facts(gateway).length).toBe(told + served);
    const overloaded = gateway.access().filter(({ status }) => status === 503);
    expect(overloaded.length).toBe(statuses.filter((status) => status === 503).length);
    expect((await gateway.metrics()).get('ai_worker_restarts_total')).toBe(0);
    await gateway.stop();
  });
});

import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { authorities, type Gateway, sluice, startGateway } from '../support/gateway.ts';
import { inLanes } from '../support/lanes.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { NO_DISK, SmallDisk } from '../support/small-disk.ts';

const DISK_BYTES = 4 * 1_048_576;
/** Asked at a time while a disk is full: its files have some room left in them. */
const AT_ONCE = 100;
const TOKEN = token();

let upstream: ScriptedUpstream;
let small: SmallDisk;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer('{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
  small = new SmallDisk(DISK_BYTES);
});
afterAll(async () => {
  await upstream.close();
  small.unmount();
});

/** Each is answered. */
async function ask(gateway: Gateway, count: number): Promise<void> {
  const connection = () => new RawClient(gateway.port);
  await inLanes(Array.from({ length: count }), 8, connection, async (_, client) => {
    const response = await client.send(post(TOKEN, CHAT, '{"model":"m"}')).response();
    expect(response.status).toBe(200);
  });
}

function fill(ballast: string): void {
  const blocks = ['if=/dev/zero', `of=${ballast}`, 'bs=4096'];
  expect(spawnSync('dd', blocks).stderr.toString()).toContain('No space left');
}

/** @returns how many requests that took */
async function askUntilFailed(gateway: Gateway): Promise<number> {
  for (let asked = AT_ONCE; ; asked += AT_ONCE) {
    await ask(gateway, AT_ONCE);
    const isFailing = await until('the ledger to keep them, or to fail', async () => {
      const metrics = await gateway.metrics();
      if (metrics.get('ai_ledger_up') === 0) return 'failing';
      const kept = metrics.get('ai_ledger_facts_total');
      return kept === metrics.sum('ai_usage_facts_total') && 'keeping';
    });
    if (isFailing === 'failing') return asked;
    if (asked > 10_000) expect.fail('A disk that is full took ten thousand facts.');
  }
}

it('D2: while the ledger’s disk is full requests go on and facts wait; what a stop then loses is told to the fact', async (ctx) => {
  const { path: disk } = small;
  if (disk === null) return ctx.skip(NO_DISK);
  const ballast = join(disk, 'ballast');
  const data = join(disk, 'data');
  const config = `workers = 1\ndata_dir = "${data}"\n${authorities({ openai: upstream.port })}${poolKeys({ openai: 'sk-pool-disk' })}${signingKeys()}`;
  const requests = (): number => {
    const { stdout } = sluice(['usage', '--by', 'tenant', '--json'], {
      env: { AI_DATA_DIR: data },
    });
    return (JSON.parse(stdout) as readonly { readonly requests: number }[]).reduce(
      (sum, row) => sum + row.requests,
      0,
    );
  };
  const gateway = await startGateway({ config });
  try {
    await ask(gateway, 20);
    await until('the first', async () => {
      return (await gateway.metrics()).get('ai_ledger_facts_total') === 20;
    });
    fill(ballast);
    let asked = 20 + (await askUntilFailed(gateway));
    await ask(gateway, AT_ONCE);
    asked += AT_ONCE;
    const full = await gateway.metrics();
    expect(full.get('ai_ledger_facts_lost_total')).toBe(0);
    await until('facts that wait', async () => {
      return (await gateway.metrics()).get('ai_ledger_backlog_bytes') > 0;
    });
    rmSync(ballast);
    await until('all of them', async () => {
      return (await gateway.metrics()).get('ai_ledger_facts_total') === asked;
    });
    expect(requests()).toBe(asked);
    await gateway.waitForLog(({ event }) => event === 'ledger_recovered');
    expect(gateway.count('ledger_failed')).toBe(gateway.count('ledger_recovered'));

    fill(ballast);
    asked += await askUntilFailed(gateway);
    gateway.signal('SIGTERM');
    await gateway.exited;
    const told = /(\d+) usage facts are not in the ledger/.exec(gateway.stderr);
    const lost = Number(told?.[1]);
    expect(lost).toBeGreaterThan(0);
    rmSync(ballast);
    // What was on the disk already is taken up.
    const next = await startGateway({ config });
    try {
      await until('what is left', () => requests() === asked - lost);
    } finally {
      await next.stop();
    }
  } finally {
    await gateway.stop();
  }
});

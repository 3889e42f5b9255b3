import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { startDeafListener } from '../support/deaf-listener.ts';
import { denyScene } from '../support/deny-scene.ts';
import { ask, statuses } from '../support/every-worker.ts';
import { freePort } from '../support/free-port.ts';
import { authorities, Gateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { BUCKET } from '../support/nats.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

interface Readyz {
  readonly status: number;
  readonly text: string;
}

async function readyz({ metricsPort }: Gateway): Promise<Readyz> {
  const response = await fetch(`http://127.0.0.1:${metricsPort}/readyz`);
  return { status: response.status, text: await response.text() };
}

/** @returns what it said until it was ready */
async function saidBefore(gateway: Gateway): Promise<string> {
  const before = new Set<string>();
  await until('readiness', async () => {
    const { status, text } = await readyz(gateway);
    if (status !== 200) before.add(text);
    return status === 200;
  });
  return [...before].join('');
}

/** A port on which a connection is taken, and nothing said. */
async function startMute(): Promise<{ readonly port: number; close(): void }> {
  const taken = new Set<Socket>();
  const server = createServer((socket) => {
    taken.add(socket.on('error', () => {}));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    close() {
      server.close();
      for (const socket of taken) socket.destroy();
    },
  };
}

describe('/readyz at the start', () => {
  const scene = denyScene();
  const ENTRIES = 3_000;

  it('says no until the deny-set was read: whoever is cut off is never served by a gateway that is ready', async () => {
    for (let id = 1_000; id < 1_000 + ENTRIES; id++)
      void scene.writer.tenant(id, 'fraud').catch(() => {});
    await scene.writer.connection.flush();
    await scene.writer.tenant(42, 'spend');
    const gateway = await scene.gateway();
    const before = await saidBefore(gateway);
    expect(await statuses(gateway, token())).toEqual([402]);
    expect(before).toMatch(/^not ready\ndeny_set_pending: /);
  });

  it('waits for nobody where NATS refuses: it is ready once it knows', async () => {
    const gateway = await scene.gateway({ url: `nats://127.0.0.1:${await freePort()}` });
    await gateway.waitForLog(({ event }) => event === 'nats_lost');
    expect(await readyz(gateway)).toEqual({ status: 200, text: 'ready\n' });
  });

  it('does not wait until it knows where NATS takes a connection, or does not even that, and says nothing', async () => {
    // Each is tried for 1.5 s before it is told that none answers: ready comes long before.
    const silent = [await startDeafListener()];
    for (let count = 0; count < 11; count++) silent.push(await startMute());
    try {
      const url = silent.map(({ port }) => `nats://127.0.0.1:${port}`).join(',');
      const gateway = await scene.gateway({ url });
      await saidBefore(gateway);
      expect(gateway.count('nats_lost')).toBe(0);
      expect(await statuses(gateway, token())).toEqual([200]);
    } finally {
      for (const one of silent) one.close();
    }
  });

  it('waits for no bucket that does not exist', async () => {
    const manager = await scene.writer.connection.jetstreamManager();
    await manager.streams.delete(`KV_${BUCKET}`);
    const gateway = await scene.gateway();
    await gateway.waitForLog(({ event }) => event === 'deny_bucket_missing');
    expect(await saidBefore(gateway)).not.toContain('deny_set_pending');
  });

  it('says nothing but ready where no NATS is configured', async () => {
    const gateway = await scene.gateway({ url: null });
    expect(await readyz(gateway)).toEqual({ status: 200, text: 'ready\n' });
  });
});

describe('facts that have nowhere to go', () => {
  let upstream: ScriptedUpstream;
  let gateway: Gateway;
  const folder = mkdtempSync(join(tmpdir(), 'sluice-nowhere-'));
  beforeAll(async () => {
    upstream = await startUpstream(async (turn) => {
      await turn.bodyDone();
      await turn.answer('{"usage":{"prompt_tokens":1,"completion_tokens":1}}');
    });
  });
  afterAll(async () => await upstream.close());
  afterEach(async () => await gateway.stop());

  const config = (extra: string): string =>
    `workers = 2\naccess_log = true\n${extra}${authorities({ openai: upstream.port })}${poolKeys({ openai: 'sk-pool' })}${signingKeys()}`;

  /** A gateway whose stdout has lost its reader, and has noticed. */
  async function unread(extra: string): Promise<void> {
    gateway = await new Gateway({ config: config(extra) }).ready();
    gateway.child.stdout?.destroy();
    await until('that it is noticed', async () => {
      await ask(gateway, 'sk-own');
      return (await readyz(gateway)).text.includes('stdout_gone');
    });
  }

  it('are counted by default: every key is served, and /readyz tells that they are lost', async () => {
    await unread('');
    expect(await statuses(gateway, token())).toEqual([200]);
    const { status, text } = await readyz(gateway);
    expect([status, text.split('\n').map((line) => line.split(':')[0])]).toEqual([
      200,
      ['ready', 'facts_nowhere', 'stdout_gone', ''],
    ]);
    await until('the count', async () => {
      return (await gateway.metrics()).get('ai_usage_facts_lost_total') > 0;
    });
  });

  it('with facts_lost = "refuse" stop virtual keys on every worker, and nobody else', async () => {
    await unread('facts_lost = "refuse"\n');
    expect(await statuses(gateway, token())).toEqual([503]);
    const refused = await ask(gateway, token());
    expect(refused.json()).toMatchObject({ error: { code: 'metering_unavailable' } });
    expect(await statuses(gateway, 'sk-own')).toEqual([200]);
    const { status, text } = await readyz(gateway);
    expect([status, text]).toEqual([503, expect.stringMatching(/^not ready\nfacts_nowhere: /)]);
    expect((await gateway.metrics()).get('ai_usage_facts_lost_total')).toBe(0);
    expect(gateway.stderr).toContain('Usage facts have nowhere to go');
  });

  it('are none where nobody has a virtual key: the relay stays ready', async () => {
    gateway = await new Gateway({
      config: `workers = 1\naccess_log = true\nfacts_lost = "refuse"\n${authorities({ openai: upstream.port })}`,
    }).ready();
    gateway.child.stdout?.destroy();
    const seen = await until('that it is noticed', async () => {
      await ask(gateway, 'sk-own');
      const page = await readyz(gateway);
      return page.text.includes('stdout_gone') && page;
    });
    expect([seen.status, seen.text]).toEqual([200, expect.stringMatching(/^ready\nstdout_gone: /)]);
    expect(gateway.stderr).not.toContain('nowhere');
  });

  it('are none while the spill takes them, whatever facts_lost says', async () => {
    const spill = join(folder, 'spill.ndjson');
    await unread(`facts_lost = "refuse"\nusage_spill_path = "${spill}"\n`);
    expect(await statuses(gateway, token())).toEqual([200]);
    const { status, text } = await readyz(gateway);
    expect([status, text]).toEqual([200, expect.stringMatching(/^ready\nstdout_gone: .*spill/)]);
  });

  it('are treated as a reload says from then on', async () => {
    await unread('');
    expect(await statuses(gateway, token())).toEqual([200]);
    gateway.configure(config('facts_lost = "refuse"\n'));
    gateway.signal('SIGHUP');
    await until('the refusal', async () => (await statuses(gateway, token())).join() === '503');
    gateway.configure(config('facts_lost = "count"\n'));
    gateway.signal('SIGHUP');
    await until('the service', async () => (await statuses(gateway, token())).join() === '200');
  });
});

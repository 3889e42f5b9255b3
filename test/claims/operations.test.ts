import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { DyingWorkers } from '../support/dying-worker.ts';
import { freePort } from '../support/free-port.ts';
import { authorities, Gateway, MAIN, startGateway } from '../support/gateway.ts';
import { head, RawClient } from '../support/raw-client.ts';
import { startUpstream } from '../support/scripted-upstream.ts';

const status = async (gateway: Gateway, path: string): Promise<number> =>
  (await fetch(`http://127.0.0.1:${gateway.metricsPort}${path}`)).status;

const answering = () => startUpstream(async (turn) => await turn.answer('ok'));

async function get(gateway: Gateway, target = '/v1/x') {
  const client = new RawClient(gateway.port).send(head('GET', target));
  const response = await client.response();
  client.close();
  return response;
}

describe('the admin listener', () => {
  it('shows the names of the contract, and both workers in one scrape', async () => {
    const upstream = await answering();
    const gateway = await startGateway({
      config: `workers = 2\n${authorities({ openai: upstream.port })}`,
    });
    // The kernel spreads connections by a hash: enough of them reach both workers.
    for (let i = 0; i < 40; i++) await get(gateway);
    const metrics = await gateway.idle();
    expect(metrics.get('ai_requests_total')).toBe(40);
    for (const name of [
      'ai_requests_total',
      'ai_rejections_total',
      'ai_upstream_responses_total',
      'ai_connect_failures_total',
      'ai_ttft_seconds_bucket',
      'ai_upstream_latency_seconds_bucket',
      'ai_overhead_seconds_bucket',
      'ai_active_streams',
      'ai_requests_in_flight',
      'ai_build_info',
    ]) {
      expect(metrics.has(name), name).toBe(true);
    }
    expect(metrics.get('ai_upstream_responses_total{provider="openai",status="2xx"}')).toBe(40);
    expect(metrics.get('ai_ttft_seconds_count{provider="openai"}')).toBe(40);
    expect(metrics.get('ai_overhead_seconds_count')).toBe(40);
    expect(await status(gateway, '/livez')).toBe(200);
    expect(await status(gateway, '/readyz')).toBe(200);
    expect(await status(gateway, '/other')).toBe(404);
    await gateway.stop();
    await upstream.close();
  });
});

describe('a worker that dies', () => {
  it('is replaced and counted while the other serves on', async () => {
    const workers = new DyingWorkers();
    const upstream = await answering();
    const gateway = await startGateway({
      config: `workers = 2\n${authorities({ openai: upstream.port })}`,
      nodeArgs: workers.nodeArgs,
    });
    workers.killOne();
    await gateway.waitForLog(({ event }) => event === 'worker_died');
    expect((await get(gateway)).status).toBe(200);
    await gateway.waitForLog(({ event }) => event === 'worker_restarted');
    expect((await gateway.metrics()).get('ai_worker_restarts_total')).toBe(1);
    for (let i = 0; i < 20; i++) expect((await get(gateway)).status).toBe(200);
    gateway.signal('SIGTERM');
    expect(await gateway.exited).toEqual({ code: 0, signal: null });
    await upstream.close();
  });
});

describe('a worker that cannot start', () => {
  it('stops the start instead of hanging', async () => {
    const { nodeArgs } = new DyingWorkers().killAtStart();
    const gateway = new Gateway({ nodeArgs });
    expect(await gateway.exited).toEqual({ code: 1, signal: null });
    await until('its reason', () =>
      gateway.stderr.includes('a worker ended while it was starting'),
    );
  });
});

describe('a stop', () => {
  it('is one wish when the same signal comes twice at once, as Ctrl-C under npm does', async () => {
    const upstream = await startUpstream(async (turn) => {
      await turn.stream();
      await turn.chunk('data: 1\n\n');
      await until('the gateway to drain', () =>
        gateway.logs.some(({ event }) => event === 'draining'),
      );
      await turn.chunk('data: 2\n\n');
      await turn.lastChunk();
    });
    const gateway = await startGateway({ config: authorities({ openai: upstream.port }) });
    const client = new RawClient(gateway.port).send(head('GET', '/v1/x'));
    await until('the stream', () => client.receivedBytes > 0);
    gateway.signal('SIGINT');
    gateway.signal('SIGTERM');
    const response = await client.response();
    expect([response.complete, response.body.toString()]).toEqual([true, 'data: 1\n\ndata: 2\n\n']);
    expect(await gateway.exited).toEqual({ code: 0, signal: null });
    await upstream.close();
  });

  it('by SIGTERM lets streams finish, refuses the rest and exits 0', async () => {
    let finish = false;
    const upstream = await startUpstream(async (turn) => {
      await turn.stream();
      await turn.chunk('data: 1\n\n');
      await until('the word to finish', () => finish);
      await turn.chunk('data: 2\n\n');
      await turn.lastChunk();
    });
    const gateway = await startGateway({
      config: `workers = 2\n${authorities({ openai: upstream.port })}`,
    });
    const clients = Array.from({ length: 10 }, () =>
      new RawClient(gateway.port).send(head('GET', '/v1/x')),
    );
    await until('all to stream', () => clients.every(({ receivedBytes }) => receivedBytes > 0));
    gateway.signal('SIGTERM');
    await gateway.waitForLog(({ event }) => event === 'draining');
    expect(await status(gateway, '/readyz')).toBe(503);
    expect(await status(gateway, '/livez')).toBe(200);
    await until('new connections to be refused', async () => {
      const late = new RawClient(gateway.port);
      await pause(20);
      const refused = late.reset;
      late.close();
      return refused;
    });
    finish = true;
    const responses = await Promise.all(clients.map((client) => client.response()));
    for (const response of responses) {
      expect(response.complete).toBe(true);
      expect(response.body.toString()).toBe('data: 1\n\ndata: 2\n\n');
    }
    expect(await gateway.exited).toEqual({ code: 0, signal: null });
    await upstream.close();
  });

  it('serves what comes on a kept connection, and says that it was the last', async () => {
    let finish = false;
    const upstream = await startUpstream(async (turn) => {
      if (turn.request.target === '/v1/held') await until('the word to finish', () => finish);
      await turn.answer('ok');
    });
    const gateway = await startGateway({
      config: `workers = 2\n${authorities({ openai: upstream.port })}`,
    });
    const others = Array.from({ length: 8 }, () => new RawClient(gateway.port));
    for (const client of others) {
      client.send(head('GET', '/v1/x'));
      expect((await client.response()).status).toBe(200);
    }
    const held = new RawClient(gateway.port).send(head('GET', '/v1/held'));
    const kept = new RawClient(gateway.port).send(head('GET', '/v1/x'));
    expect((await kept.response()).status).toBe(200);
    await until('the held one', () =>
      upstream.requests.some(({ target }) => target === '/v1/held'),
    );
    gateway.signal('SIGTERM');
    await gateway.waitForLog(({ event }) => event === 'draining');
    await until('the worker to drain', async () => {
      kept.send(head('GET', '/v1/x'));
      const response = await kept.response();
      expect(response).toMatchObject({ status: 200, complete: true });
      return response.field('connection') === 'close';
    });
    // Which worker a kept connection is on makes no difference: the node is not done.
    for (const client of others) {
      client.send(head('GET', '/v1/x'));
      expect((await client.response()).status).toBe(200);
    }
    const late = new RawClient(gateway.port);
    await until('a new connection to be refused', () => late.reset);
    finish = true;
    expect((await held.response()).status).toBe(200);
    expect((await gateway.exited).code).toBe(0);
    await upstream.close();
  });

  it('cuts what is still running after the grace period and exits 0', async () => {
    const upstream = await startUpstream(async (turn) => {
      await turn.stream();
      await turn.chunk('data: 1\n\n');
    });
    const gateway = await startGateway({
      config: `workers = 1\naccess_log = true\nshutdown_grace_secs = 0.2\n${authorities({ openai: upstream.port })}`,
    });
    const client = new RawClient(gateway.port).send(head('GET', '/v1/x'));
    await until('it to stream', () => client.receivedBytes > 0);
    gateway.signal('SIGTERM');
    expect((await client.response()).complete).toBe(false);
    expect((await gateway.exited).code).toBe(0);
    expect(gateway.access()).toMatchObject([{ outcome: 'drained' }]);
    await upstream.close();
  });

  it('by a second signal ends at once also as the first process of a container', async (ctx) => {
    // The kernel gives that one no signal which it sends to itself, SIGKILL included.
    const unshare = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'] as const;
    const [file, ...args] = unshare;
    if (spawnSync(file, [...args, 'true']).status !== 0)
      ctx.skip('needs the right to make a process namespace (root)');
    const upstream = await startUpstream(() => {});
    const gateway = await startGateway({
      config: `workers = 2\n${authorities({ openai: upstream.port })}`,
      command: [...unshare, process.execPath, MAIN, 'serve'],
    });
    const client = new RawClient(gateway.port).send(head('GET', '/v1/x'));
    await upstream.request(0);
    const pid = gateway.child.pid;
    const first = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'));
    process.kill(first, 'SIGTERM');
    await gateway.waitForLog(({ event }) => event === 'draining');
    // Two at once would be one.
    await pause(600);
    process.kill(first, 'SIGTERM');
    expect(await gateway.exited).toEqual({ code: 137, signal: null });
    client.close();
    await upstream.close();
  });

  it('by a second signal ends at once', async () => {
    const upstream = await startUpstream(async (turn) => {
      await turn.stream();
      await turn.chunk('data: 1\n\n');
    });
    const gateway = await startGateway({
      config: `workers = 2\n${authorities({ openai: upstream.port })}`,
    });
    const client = new RawClient(gateway.port).send(head('GET', '/v1/x'));
    await until('it to stream', () => client.receivedBytes > 0);
    gateway.signal('SIGINT');
    await gateway.waitForLog(({ event }) => event === 'draining');
    // Two at once would be one.
    await pause(600);
    gateway.signal('SIGINT');
    expect((await gateway.exited).signal).toBe('SIGKILL');
    client.close();
    await upstream.close();
  });
});

describe('limits', () => {
  it('max_in_flight sheds with overloaded and takes the next when one is done', async () => {
    let finish = false;
    const upstream = await startUpstream(async (turn) => {
      await until('the word to finish', () => finish);
      await turn.answer('ok');
    });
    const gateway = await startGateway({
      config: `workers = 1\nmax_in_flight = 2\n${authorities({ openai: upstream.port })}`,
    });
    const held = [0, 1].map(() => new RawClient(gateway.port).send(head('GET', '/v1/x')));
    await upstream.request(1);
    const shed = await get(gateway);
    expect(shed.status).toBe(503);
    expect(shed.json()).toMatchObject({ error: { code: 'overloaded' } });
    expect(shed.field('retry-after')).toBe('1');
    finish = true;
    for (const client of held) expect((await client.response()).status).toBe(200);
    await gateway.idle();
    expect((await get(gateway)).status).toBe(200);
    await gateway.stop();
    await upstream.close();
  });

  it('a log that nobody reads stalls nothing', async () => {
    const upstream = await answering();
    const folder = mkdtempSync(join(tmpdir(), 'sluice-log-'));
    const file = join(folder, 'config.toml');
    const [port, metricsPort] = [await freePort(), await freePort()];
    writeFileSync(
      file,
      `listen = "127.0.0.1:${port}"\nmetrics_listen = "127.0.0.1:${metricsPort}"\nworkers = 1\naccess_log = true\n${authorities({ openai: upstream.port })}`,
    );
    // Its stdout is a pipe of 64 KiB from which nothing is ever read.
    const child = spawn(process.execPath, [MAIN, 'serve', '--config', file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await until('readiness', async () => {
      const answer = await fetch(`http://127.0.0.1:${metricsPort}/readyz`).catch(() => null);
      return answer?.status === 200;
    });
    for (let i = 0; i < 600; i++) {
      const answer = await fetch(`http://127.0.0.1:${port}/v1/x${'y'.repeat(300)}`, {
        headers: { authorization: 'Bearer k' },
      });
      expect(answer.status).toBe(200);
      await answer.arrayBuffer();
    }
    child.kill('SIGKILL');
    await upstream.close();
  });
});

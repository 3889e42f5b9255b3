import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { startDeafListener } from '../support/deaf-listener.ts';
import { statuses } from '../support/every-worker.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { head, post, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { tlsFiles } from '../support/tls-files.ts';

let upstream: ScriptedUpstream;
let gateway: Gateway;

/** Answers, says nothing, or falls silent within its answer, as the path says. */
beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    if (turn.request.target.includes('silent')) return;
    if (!turn.request.target.includes('stops')) return await turn.answer('{}');
    await turn.stream();
    await turn.chunk('data: 1\n\n');
  });
});
afterAll(async () => await upstream.close());
beforeEach(async () => {
  gateway = await startGateway({ config: configOf('') });
});
afterEach(async () => await gateway.stop());

const configOf = (settings: string): string =>
  `workers = 2\n${settings}\n${authorities({ openai: upstream.port })}${poolKeys({ openai: 'sk-pool' })}${signingKeys()}`;

const SILENT = '/v1/chat/completions?silent';

/** Told without a line of the log, which may say nothing of it. */
async function reloadedQuietly(settings: string): Promise<void> {
  const sample = 'ai_config_reload_total{result="ok"}';
  const before = (await gateway.metrics()).get(sample);
  gateway.configure(configOf(settings));
  gateway.signal('SIGHUP');
  await until('the reload', async () => (await gateway.metrics()).get(sample) > before);
}

describe('a reload without a restart', () => {
  it.each([
    ['rate_limit_rps', token()],
    ['byo_rate_limit_rps', 'sk-own'],
  ])('changes %s, both ways', async (name, key) => {
    expect(await statuses(gateway, key)).toEqual([200]);
    await gateway.reload(configOf(`${name} = 1\n`));
    await until('a 429', async () => (await statuses(gateway, key)).includes(429));
    await gateway.reload(configOf(`${name} = 0\n`));
    expect(await statuses(gateway, key)).toEqual([200]);
  });

  it('changes verify_rate_limit_rps, both ways', async () => {
    // What counts are tokens that were never seen.
    let tenantId = 1n;
    const unseen = async (): Promise<number> => {
      const client = new RawClient(gateway.port).send(post(token({ tenantId: tenantId++ })));
      const { status } = await client.response();
      client.close();
      return status;
    };
    const round = () => Promise.all(Array.from({ length: 15 }, unseen));
    expect(new Set(await round())).toEqual(new Set([200]));
    await gateway.reload(configOf('rate_limit_rps = 0\nverify_rate_limit_rps = 1\n'));
    await until('a 429', async () => (await round()).includes(429));
    await gateway.reload(configOf('rate_limit_rps = 0\nverify_rate_limit_rps = 0\n'));
    expect(new Set(await round())).toEqual(new Set([200]));
  });

  it('changes first_byte_timeout_secs for what begins then, and for nothing that runs', async () => {
    const running = new RawClient(gateway.port).send(post(token(), SILENT));
    await upstream.request(upstream.requests.length);
    await gateway.reload(configOf('first_byte_timeout_secs = 0.2\n'));
    expect(await statuses(gateway, token(), SILENT)).toEqual([504]);
    expect([running.receivedBytes, running.closed]).toEqual([0, false]);
    running.close();
  });

  it('changes connect_timeout_secs', async () => {
    const deaf = await startDeafListener();
    const config = (seconds: number) =>
      configOf(`connect_timeout_secs = ${seconds}\n`).replaceAll(
        `:${upstream.port}`,
        `:${deaf.port}`,
      );
    try {
      await gateway.reload(config(600));
      // Nobody can wait for the one that counted before.
      await gateway.reload(config(0.2));
      expect(await statuses(gateway, token())).toEqual([504]);
    } finally {
      deaf.close();
    }
  });

  it('changes idle_timeout_secs for what begins then, and for nothing that runs', async () => {
    const start = () => new RawClient(gateway.port).send(head('GET', '/v1/stops'));
    const running = start();
    await until('its stream', () => running.receivedBytes > 0);
    await gateway.reload(configOf('idle_timeout_secs = 0.2\n'));
    const later = await start().response();
    expect([later.status, later.complete]).toEqual([200, false]);
    expect(running.closed).toBe(false);
    running.close();
  });

  it('changes log_level, both ways', async () => {
    await reloadedQuietly('log_level = "error"');
    await reloadedQuietly('log_level = "error"\nmax_in_flight = 9');
    await gateway.reload(configOf('log_level = "nonsense"'), 'config_reload_failed');
    expect(gateway.count('config_reloaded')).toBe(0);
    await gateway.reload(configOf('log_level = "info"'));
    expect(gateway.count('config_reloaded')).toBe(1);
  });

  it('changes access_log, both ways', async () => {
    await gateway.reload(configOf('access_log = true'));
    expect(await statuses(gateway, 'sk-own')).toEqual([200]);
    await until('its lines', () => gateway.count('access') === 15);
    await gateway.reload(configOf('access_log = false'));
    expect(await statuses(gateway, 'sk-own')).toEqual([200]);
    await gateway.reload(configOf('access_log = true'));
    expect(await statuses(gateway, 'sk-own')).toEqual([200]);
    await until('the lines of the third round', () => gateway.count('access') >= 30);
    expect(gateway.count('access')).toBe(30);
  });
});

describe('what only a restart changes', () => {
  it('is named in one line, all of it, and nothing of it happens', async () => {
    const files = tlsFiles();
    const credsFile = join(mkdtempSync(join(tmpdir(), 'sluice-creds-')), 'nats.creds');
    writeFileSync(credsFile, 'none');
    const { port, metricsPort } = gateway;
    gateway.configure(
      `allow_empty = true\nlisten = "127.0.0.1:1"\nmetrics_listen = "127.0.0.1:2"\nworkers = 3\n${files.config}` +
        `nats_url = "nats://127.0.0.1:9"\nnats_creds_file = "${credsFile}"\nconfig_bucket = "other"\n` +
        'snapshot_path = "/nowhere/deny"\nusage_spill_path = "/nowhere/spill"\n' +
        authorities({ openai: upstream.port }),
    );
    gateway.signal('SIGHUP');
    await gateway.waitForLog(({ event }) => event === 'config_reloaded');
    const [line, ...more] = gateway.events('config_needs_restart');
    expect(more).toEqual([]);
    expect(line?.['level']).toBe('warn');
    expect(new Set(line?.['keys'] as readonly string[])).toEqual(
      new Set([
        'listen',
        'metrics_listen',
        'workers',
        'tls_cert_file',
        'tls_key_file',
        'nats_url',
        'nats_creds_file',
        'config_bucket',
        'snapshot_path',
        'usage_spill_path',
      ]),
    );
    const client = new RawClient(port).send(head('GET', '/v1/x'));
    expect((await client.response()).status).toBe(200);
    client.close();
    expect((await fetch(`http://127.0.0.1:${metricsPort}/readyz`)).status).toBe(200);
    files.remove();
  });
});

describe('a certificate that is renewed in its place', () => {
  it('is named as what a restart takes', async () => {
    const files = tlsFiles();
    const own = await startGateway({
      config: `workers = 1\n${files.config}${authorities({ openai: upstream.port })}`,
    });
    const [, certFile = ''] = /tls_cert_file = "([^"]+)"/.exec(files.config) ?? [];
    writeFileSync(certFile, files.ca);
    const line = await own.waitForLog(({ event }) => event === 'config_needs_restart');
    expect(line['keys']).toEqual(['tls_cert_file']);
    await own.stop();
    files.remove();
  });
});

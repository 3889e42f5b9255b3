import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mintToken, publicKeyOf } from '../../src/keys/minting.ts';
import { until } from '../support/conditions.ts';
import { ask, statuses } from '../support/every-worker.ts';
import { authorities, Gateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { post, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { keepSecret } from '../support/secrets.ts';

const OTHER_SECRET = new Uint8Array(32).fill(2);
const OTHER_TOKEN = keepSecret(
  mintToken(OTHER_SECRET, { kid: 8, tenantId: 1n, vpcId: 1n, keyId: null }),
);
const OTHER_KEY = `8 = "${Buffer.from(publicKeyOf(OTHER_SECRET)).toString('base64')}"\n`;

let upstream: ScriptedUpstream;
let second: ScriptedUpstream;

beforeAll(async () => {
  const answer = (name: string) => async (turn: Parameters<ScriptedUpstream['script']>[0]) => {
    await turn.bodyDone();
    await turn.answer(`{"model":"${name}","usage":{"prompt_tokens":1,"completion_tokens":1}}`);
  };
  upstream = await startUpstream(answer('first'));
  second = await startUpstream(answer('second'));
});
afterAll(async () => {
  await upstream.close();
  await second.close();
});

const base = (keys: string | readonly string[] = 'sk-pool-one'): string =>
  `workers = 2\n${authorities({ openai: upstream.port })}${poolKeys({ openai: keys })}${signingKeys()}`;

async function started(config: string): Promise<Gateway> {
  return await new Gateway({ config }).ready();
}

describe('SIGHUP', () => {
  it('changes keys, providers, endpoints and limits for every worker, and the log says so', async () => {
    const gateway = await started(base());
    expect(await statuses(gateway, token())).toEqual([200]);
    expect(await statuses(gateway, OTHER_TOKEN)).toEqual([401]);
    expect(await statuses(gateway, token(), '/mine/v1/chat/completions')).toEqual([404]);
    const at = upstream.requests.length;
    await gateway.reload(
      `log_level = "debug"\nmax_request_body_bytes = 1\nmanaged_endpoints = ["/rerank"]\n` +
        `workers = 2\n${authorities({ openai: upstream.port, mine: second.port })}` +
        `${poolKeys({ openai: 'sk-pool-two', mine: 'sk-pool-mine' })}${signingKeys()}${OTHER_KEY}`,
    );
    expect(await statuses(gateway, token())).toEqual([413]);
    await gateway.reload(
      `managed_endpoints = ["/rerank"]\nworkers = 2\n${authorities({ openai: upstream.port, mine: second.port })}` +
        `${poolKeys({ openai: 'sk-pool-two', mine: 'sk-pool-mine' })}${signingKeys()}${OTHER_KEY}`,
    );
    expect(await statuses(gateway, OTHER_TOKEN)).toEqual([200]);
    expect(await statuses(gateway, token(), '/v1/rerank')).toEqual([200]);
    const used = upstream.requests.slice(at).map((request) => request.field('authorization'));
    expect(new Set(used)).toEqual(new Set(['Bearer sk-pool-two']));
    expect((await ask(gateway, token(), '/mine/v1/chat/completions')).json()).toMatchObject({
      model: 'second',
    });
    await gateway.reload(
      `workers = 2\n${authorities({ openai: second.port })}${poolKeys({ openai: 'sk-pool-two' })}[signing_keys]\n${OTHER_KEY}`,
    );
    expect(await statuses(gateway, token())).toEqual([401]);
    expect((await ask(gateway, OTHER_TOKEN)).json()).toMatchObject({ model: 'second' });
    expect(await statuses(gateway, OTHER_TOKEN, '/mine/v1/chat/completions')).toEqual([404]);
    const metrics = await gateway.metrics();
    expect(metrics.get('ai_config_reload_total{result="ok"}')).toBe(3);
    // What was counted for a provider that is gone stays its own.
    expect(metrics.get('ai_upstream_responses_total{provider="mine",status="2xx"}')).toBe(1);
    await gateway.stop();
  });

  it('with a configuration that is wrong anywhere changes nothing, and says file, key and reason', async () => {
    const gateway = await started(base());
    const failed = await gateway.reload(
      `max_inflight = 3\n${base('sk-pool-two')}`,
      'config_reload_failed',
    );
    expect(String(failed['problems'])).toMatch(/config\.toml.*max_inflight.*max_in_flight/);
    const at = upstream.requests.length;
    expect(await statuses(gateway, token())).toEqual([200]);
    expect(upstream.requests[at]?.field('authorization')).toBe('Bearer sk-pool-one');
    const metrics = await gateway.metrics();
    expect(metrics.get('ai_config_reload_total{result="failed"}')).toBe(1);
    expect(metrics.get('ai_config_reload_total{result="ok"}')).toBe(0);
    await gateway.stop();
  });

  it('names what only a restart changes, and changes the rest', async () => {
    const gateway = await started(base());
    gateway.configure(
      `workers = 3\nmetrics_listen = "127.0.0.1:1"\nusage_spill_path = "/tmp/x"\nmax_request_body_bytes = 1\n${base().replace('workers = 2\n', '')}`,
    );
    gateway.signal('SIGHUP');
    const line = await gateway.waitForLog(({ event }) => event === 'config_needs_restart');
    expect(line['keys']).toEqual(['metrics_listen', 'workers', 'usage_spill_path']);
    await gateway.waitForLog(({ event }) => event === 'config_reloaded');
    expect(await statuses(gateway, token())).toEqual([413]);
    await gateway.stop();
  });

  it('leaves what runs to what it started with', async () => {
    let go = false;
    const slow = await startUpstream(async (turn) => {
      await turn.stream();
      await turn.chunk('data: {"choices":[]}\n\n');
      await until('the word to go on', () => go);
      await turn.chunk('data: [DONE]\n\n');
      await turn.lastChunk();
    });
    const gateway = await started(
      `workers = 2\n${authorities({ openai: slow.port })}${poolKeys({ openai: 'sk-pool-one' })}${signingKeys()}`,
    );
    const client = new RawClient(gateway.port).send(post(token()));
    await until('its stream', () => client.receivedBytes > 0);
    await gateway.reload(
      `workers = 2\nidle_timeout_secs = 0.2\nallow_empty = true\n${authorities({ openai: second.port })}${poolKeys({ openai: 'sk-pool-two' })}`,
    );
    expect((await ask(gateway, 'sk-own')).json()).toMatchObject({ model: 'second' });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    go = true;
    const response = await client.response();
    expect(response.complete).toBe(true);
    expect(response.body.toString()).toContain('[DONE]');
    await gateway.stop();
    await slow.close();
  });
});

describe('a file that is in the way', () => {
  it('is a failed reload, not the end of the process, and its coming is noticed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-mount-'));
    const path = join(folder, 'key');
    writeFileSync(path, keepSecret('sk-mounted-number-one'));
    const config = `workers = 2\n${authorities({ openai: upstream.port })}[pool_keys]\nopenai = "file:${path}"\n${signingKeys()}`;
    const gateway = await started(config);
    rmSync(path);
    symlinkSync(path, path);
    await gateway.waitForLog(({ event }) => event === 'config_reload_failed');
    expect(await statuses(gateway, token())).toEqual([200]);
    rmSync(path);
    await until('the second failure', () => gateway.count('config_reload_failed') === 2);
    // Named before it is there: the reload fails, and is made up for when it comes.
    const late = join(folder, 'late');
    gateway.configure(config.replace(path, late));
    await until('the third failure', () => gateway.count('config_reload_failed') === 3);
    writeFileSync(late, keepSecret('sk-mounted-number-two'));
    await gateway.waitForLog(({ event }) => event === 'config_reloaded');
    const at = upstream.requests.length;
    await ask(gateway, token());
    expect(upstream.requests[at]?.field('authorization')).toBe('Bearer sk-mounted-number-two');
    await gateway.stop();
  });
});

describe('the configuration that is found by its place', () => {
  it('is not taken for none when it goes, and its return is noticed', async () => {
    const gateway = await new Gateway({ config: base(), place: 'found' }).ready();
    gateway.unconfigure();
    const line = await gateway.waitForLog(({ event }) => event === 'config_reload_failed');
    expect(line['problems']).toEqual([
      'config.toml: ./config.toml: found no such file, expected a readable TOML file',
    ]);
    expect(await statuses(gateway, token())).toEqual([200]);
    gateway.configure(base('sk-pool-two'));
    await gateway.waitForLog(({ event }) => event === 'config_reloaded');
    const at = upstream.requests.length;
    await ask(gateway, token());
    expect(upstream.requests[at]?.field('authorization')).toBe('Bearer sk-pool-two');
    await gateway.stop();
  });

  it('is taken when it comes after the start', async () => {
    const env = { AI_LISTEN: '127.0.0.1:0', AI_METRICS_LISTEN: '127.0.0.1:0' };
    const gateway = await new Gateway({ place: 'absent', env }).ready();
    expect(await statuses(gateway, token())).toEqual([401]);
    gateway.configure(base());
    await gateway.waitForLog(({ event }) => event === 'config_reloaded');
    expect(await statuses(gateway, token())).toEqual([200]);
    await gateway.stop();
  });
});

describe('a file that changes', () => {
  it('is read by itself: the configuration', async () => {
    const gateway = await started(base());
    gateway.configure(base('sk-pool-two'));
    const line = await gateway.waitForLog(({ event }) => event === 'config_reloaded');
    expect(line).toMatchObject({ trigger: 'file' });
    const at = upstream.requests.length;
    await ask(gateway, token());
    expect(upstream.requests[at]?.field('authorization')).toBe('Bearer sk-pool-two');
    await gateway.stop();
  });

  it('is read by itself: a secret that is mounted, replaced as orchestrators do it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-mount-'));
    const put = (version: string, key: string): void => {
      mkdirSync(join(folder, version));
      writeFileSync(join(folder, version, 'openai'), keepSecret(key));
      symlinkSync(version, join(folder, '..next'));
      renameSync(join(folder, '..next'), join(folder, '..data'));
    };
    put('v1', 'sk-mounted-number-one');
    symlinkSync(join('..data', 'openai'), join(folder, 'openai'));
    const gateway = await started(
      `workers = 2\n${authorities({ openai: upstream.port })}[pool_keys]\nopenai = "file:${folder}/openai"\n${signingKeys()}`,
    );
    let at = upstream.requests.length;
    await ask(gateway, token());
    expect(upstream.requests[at]?.field('authorization')).toBe('Bearer sk-mounted-number-one');
    put('v2', 'sk-mounted-number-two');
    await gateway.waitForLog(({ event }) => event === 'config_reloaded');
    at = upstream.requests.length;
    expect(await statuses(gateway, token())).toEqual([200]);
    const used = upstream.requests.slice(at).map((request) => request.field('authorization'));
    expect(new Set(used)).toEqual(new Set(['Bearer sk-mounted-number-two']));
    await gateway.stop();
  });
});

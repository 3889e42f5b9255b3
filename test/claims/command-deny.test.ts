import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { holds } from '../support/deny-scene.ts';
import { freePort } from '../support/free-port.ts';
import { authorities, type Gateway, MAIN, sluice, startGateway } from '../support/gateway.ts';
import { poolKeys, signingKeys } from '../support/managed.ts';
import { NATS_MISSING, type NatsServer, startNats } from '../support/nats.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { tlsFiles } from '../support/tls-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-command-deny-'));
let nats: NatsServer;
let upstream: ScriptedUpstream;

beforeAll(async () => {
  upstream = await startUpstream(() => {});
  if (NATS_MISSING === null) nats = await startNats();
});
afterAll(async () => {
  await nats?.kill();
  await upstream.close();
});
beforeEach((ctx) => {
  if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
});

const run = (...argv: readonly string[]) => sluice(argv, { env: { AI_NATS_URL: nats.url } });

describe('sluice deny', () => {
  it('cuts off and lets in, lists, and a gateway that follows the same NATS obeys', async () => {
    expect(run('deny', 'list').stdout).toMatch(/nobody is cut off/i);
    const gateway: Gateway = await startGateway({ config: `nats_url = "${nats.url}"\n` });
    expect(run('deny', 'tenant', '42', '--reason', 'spend', '--for', '1h')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^tenant 42 gets 402 spend_limit until 20\d\d-/),
    });
    expect(run('deny', 'key', '7').stdout).toBe('key 7 gets 403 denied.\n');
    const { stdout } = run('deny', 'list');
    expect(stdout).toMatch(/^tenant 42 +402 .*until 20/m);
    expect(stdout).toMatch(/^key 7 +403 {2}fraud$/m);
    await holds(gateway, 2);
    run('deny', 'tenant', '43', '--reason', '{"reason":"spend","exp":1}');
    expect(run('deny', 'list').stdout).toMatch(/^tenant 43 +403 /m);
    expect(run('allow', 'tenant', '43').status).toBe(0);
    expect(run('allow', 'tenant', '42').stdout).toBe('tenant 42 is allowed.\n');
    expect(run('allow', 'key', '7').status).toBe(0);
    expect(run('deny', 'list').stdout).toBe('Nobody is cut off.\n');
    await holds(gateway, 0);
    await gateway.stop();
  });

  it.each([
    [['deny'], /"tenant" or "key"/],
    [['deny', 'tenant'], /decimal id/],
    [['deny', 'tenant', '042'], /decimal id/],
    [['deny', 'tenant', '18446744073709551616'], /decimal id/],
    [['deny', 'tenant', '1', '2'], /decimal id/],
    [['deny', 'tenant', '1', '--for', 'soon'], /--for/],
    [['deny', 'tenant', '1', '--for', '999999999d'], /at most 20 years/],
    [['allow', 'list'], /"tenant" or "key"/],
  ])('says in one line how %j is written', (argv, said) => {
    const { status, stderr } = run(...argv);
    expect(status).toBe(1);
    expect(stderr).toMatch(said);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });

  it('needs nothing of the configuration but where NATS is: no pool key, no variable of the gateway', () => {
    const file = join(folder, 'gateway.toml');
    writeFileSync(
      file,
      `nats_url = "${nats.url}"\ntls_cert_file = "/nowhere.pem"\nusage_spill_path = "\${NOT_HERE}"\nkey_of_a_newer_one = 1\n` +
        '[pool_keys]\nopenai = "${OPENAI_KEY_OF_THE_GATEWAY}"\nnobody = "file:/run/secrets/none"\n[signing_keys]\n1 = "short"\n',
    );
    const asked = (...argv: readonly string[]) =>
      sluice([...argv, '--config', file], { env: { AI_POOL_KEYS_TYPO: 'x' } });
    expect(asked('deny', 'tenant', '4711')).toMatchObject({ status: 0, stderr: '' });
    expect(asked('deny', 'list').stdout).toMatch(/^tenant 4711 /m);
    expect(asked('allow', 'tenant', '4711')).toMatchObject({ status: 0, stderr: '' });
    writeFileSync(file, 'nats_url = "http://x"\n');
    expect(asked('deny', 'list').stderr).toMatch(/nats_url: found/);
  });

  it('says what is missing without NATS', async () => {
    expect(sluice(['deny', 'tenant', '1']).stderr).toMatch(/set nats_url/);
    const nobody = `nats://127.0.0.1:${await freePort()}`;
    const { status, stderr } = sluice(['deny', 'tenant', '1'], { env: { AI_NATS_URL: nobody } });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^sluice: Cannot reach NATS at nats:.*\n$/);
  });

  it('says that JetStream is off, and how it is turned on', async () => {
    // What stands later in its configuration counts.
    const plain = await startNats('jetstream: disabled');
    const { status, stderr } = sluice(['deny', 'tenant', '1'], { env: { AI_NATS_URL: plain.url } });
    const gateway = await startGateway({ config: `nats_url = "${plain.url}"\n` });
    const line = await gateway.waitForLog(({ event }) => event === 'nats_lost');
    await gateway.stop();
    await plain.kill();
    expect(status).toBe(1);
    expect(stderr).toMatch(/\(JetStream is off there: nats-server -js turns it on\)/);
    expect(line).toMatchObject({
      reason: 'JetStream is off there: nats-server -js turns it on',
      nats_url: plain.url,
    });
  });
});

describe('sluice doctor', () => {
  const config = (text: string): string => {
    const file = join(folder, 'config.toml');
    writeFileSync(file, `listen = "127.0.0.1:0"\nmetrics_listen = "127.0.0.1:0"\n${text}`);
    return file;
  };

  it('says a line for each thing, and 0 when all is well', () => {
    run('deny', 'tenant', '1');
    const file = config(
      `nats_url = "${nats.url}"\nsnapshot_path = "${folder}/s"\nusage_spill_path = "${folder}/u"\n` +
        authorities({ openai: upstream.port }) +
        poolKeys({ openai: 'sk-pool-doctor' }) +
        signingKeys(),
    );
    const { status, stdout } = sluice(['doctor', '--config', file]);
    const lines = stdout.trim().split('\n');
    expect(lines.map((line) => line.slice(0, 5).trim())).toEqual(lines.map(() => 'ok'));
    for (const name of [
      'configuration',
      'front end',
      'open files',
      'listen',
      'metrics_listen',
      'keys',
      'openai',
      'NATS',
      'snapshot',
      'spill file',
    ])
      expect(stdout).toMatch(new RegExp(`^ok +${name} `, 'm'));
    expect(status).toBe(0);
  });

  it('says what fails and what to do, and 1', async () => {
    const closed = await freePort();
    const file = config(
      `nats_url = "nats://127.0.0.1:${closed}"\nsnapshot_path = "${folder}/nowhere/s"\n` +
        `[provider_authorities]\nopenai = "http://127.0.0.1:${closed}"\nmine = "https://name.invalid"\nplain = "https://127.0.0.1:${upstream.port}"\n` +
        signingKeys(),
    );
    const { status, stdout, stderr } = sluice(['doctor', '--config', file]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^WARN +keys +.*\[pool_keys\]/m);
    expect(stdout).toMatch(
      /^FAIL +openai +.*is not reached directly .*\(ECONNREFUSED\): .*provider_authorities/m,
    );
    expect(stdout).toMatch(/^FAIL +mine +the name name\.invalid is not found/m);
    expect(stdout).toMatch(
      /^FAIL +plain +.*is not reached directly .*http:\/\/ in provider_authorities/m,
    );
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^FAIL +NATS +.*is not reached/m);
    expect(stdout).toMatch(/^FAIL +snapshot +.*cannot be written \(ENOENT\)/m);
  });

  it('finds nothing wrong beside a running gateway, with TLS too, or on a NATS without a bucket', async () => {
    const fresh = await startNats();
    const tls = tlsFiles();
    const text = `${tls.config}nats_url = "${fresh.url}"\n${authorities({ openai: upstream.port })}`;
    const gateway = await startGateway({ config: text });
    const file = join(folder, 'beside.toml');
    writeFileSync(
      file,
      `listen = "127.0.0.1:${gateway.port}"\nmetrics_listen = "127.0.0.1:${gateway.metricsPort}"\n${text}`,
    );
    const { status, stdout } = sluice(['doctor', '--config', file]);
    expect(stdout).toMatch(/^ok +listen +.*the Sluice that runs here$/m);
    expect(stdout).toMatch(/^ok +metrics_listen +.*the Sluice that runs here$/m);
    expect(stdout).toMatch(/^WARN +NATS +.*no bucket ai-gateway yet.*sluice deny/m);
    expect(status).toBe(0);
    await gateway.stop();
    await fresh.kill();
    tls.remove();
  });

  it('warns of providers that cannot be reached and that nobody has configured, as in a closed network', (ctx) => {
    // No name can be found in a namespace without a network.
    if (spawnSync('unshare', ['-rn', 'true']).status !== 0) return ctx.skip('needs unshare -rn');
    const file = join(folder, 'closed.toml');
    writeFileSync(file, 'listen = "0.0.0.0:0"\nmetrics_listen = "0.0.0.0:0"\n');
    const doctor = [process.execPath, MAIN, 'doctor', '--config', file];
    const { status, stdout } = spawnSync('unshare', ['-rn', ...doctor], { encoding: 'utf8' });
    expect(stdout).not.toMatch(/^FAIL/m);
    expect(stdout).toMatch(/^WARN +openai +.*No key of the configuration asks for it$/m);
    expect(status).toBe(0);
  });

  it('warns of a snapshot that will be ignored', () => {
    const snapshot = join(folder, 'torn.snapshot');
    writeFileSync(snapshot, 'torn');
    const file = join(folder, 'torn.toml');
    writeFileSync(
      file,
      `listen = "127.0.0.1:0"\nmetrics_listen = "127.0.0.1:0"\nsnapshot_path = "${snapshot}"\n${authorities({ openai: upstream.port })}`,
    );
    const { status, stdout } = sluice(['doctor', '--config', file]);
    expect(stdout).toMatch(/^WARN +snapshot +.*ignored.*too short/m);
    expect(status).toBe(0);
  });

  it('says that a port is taken', () => {
    const file = join(folder, 'taken.toml');
    writeFileSync(
      file,
      `listen = "127.0.0.1:${upstream.port}"\nmetrics_listen = "127.0.0.1:0"\n${authorities({ openai: upstream.port })}`,
    );
    const { status, stdout } = sluice(['doctor', '--config', file]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^FAIL +listen +.*EADDRINUSE/m);
  });
});

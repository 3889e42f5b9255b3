import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { authorities, type Gateway, MAIN, startGateway } from '../support/gateway.ts';
import { head, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const PRELOAD = new URL('../support/no-koffi.ts', import.meta.url).href;

describe.skipIf(process.platform !== 'linux')('a gateway without koffi', () => {
  let gateway: Gateway;
  let upstream: ScriptedUpstream;

  beforeAll(async () => {
    upstream = await startUpstream((turn) => turn.answer('{}'));
    gateway = await startGateway({
      config: `workers = 2\n${authorities({ here: upstream.port })}`,
      nodeArgs: ['--import', PRELOAD],
    });
  });
  afterAll(async () => {
    await gateway.stop();
    await upstream.close();
  });

  async function get(): Promise<number> {
    const client = new RawClient(gateway.port).send(head('GET', '/here/v1/x'));
    const { status } = await client.response();
    client.close();
    return status;
  }

  it('starts, relays, and goes on over kept connections', async () => {
    for (let at = 0; at < 10; at++) expect(await get()).toBe(200);
    // One for each worker, at most: a look at each of them found it alive.
    expect(upstream.connections).toBeLessThanOrEqual(2);
  });

  it('says once what it lacks and what to do, and counts the workers that do', async () => {
    const said = () => gateway.logs.filter((line) => line['event'] === 'client_buffers_unbounded');
    await until('the warning', () => said().length > 0 || undefined);
    expect(said()).toHaveLength(1);
    expect(said()[0]).toMatchObject({ reason: expect.stringContaining('net.ipv4.tcp_wmem') });
    expect((await gateway.metrics()).get('ai_client_buffers_unbounded')).toBe(2);
  });

  it('is told so by the doctor, as a warning and no failure', () => {
    const doctor = (...nodeArgs: string[]) =>
      spawnSync(process.execPath, [...nodeArgs, MAIN, 'doctor', '--config', gateway.file], {
        encoding: 'utf8',
      }).stdout;
    expect(doctor('--import', PRELOAD)).toMatch(/^WARN +client buffers +koffi does not load/m);
    expect(doctor()).toMatch(/^ok +client buffers /m);
  });
});

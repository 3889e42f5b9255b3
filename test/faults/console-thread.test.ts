import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { admin, ConsoleScene } from '../support/console-scene.ts';
import { beforeWorkers } from '../support/dying-worker.ts';
import { ask } from '../support/every-worker.ts';
import { authorities } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { startUpstream } from '../support/scripted-upstream.ts';

const owner = admin('olga', 'owner');

/** Code that the console's thread alone runs when this file is there. */
function fault(code: string) {
  const file = join(mkdtempSync(join(tmpdir(), 'sluice-console-fault-')), 'now');
  return {
    inject: () => writeFileSync(file, ''),
    nodeArgs: beforeWorkers(
      `const { workerData } = await import('node:worker_threads');
       if (workerData?.tables !== undefined) setInterval(() => {
         try { unlinkSync(${JSON.stringify(file)}); } catch { return; }
         ${code}
       }, 10);`,
    ),
  };
}

describe('the console’s thread', () => {
  it('that dies is replaced: calls under way are 503, live screens end, and the relay notices nothing', async () => {
    const upstream = await startUpstream(async (turn) => {
      await turn.bodyDone();
      await turn.answer('{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":1}}');
    });
    const { inject, nodeArgs } = fault("throw new Error('injected');");
    const scene = await new ConsoleScene([owner], {
      nodeArgs,
      config: `${authorities({ openai: upstream.port })}${poolKeys({ openai: 'sk-pool-of-the-thread' })}${signingKeys()}`,
    }).ready();
    const headers = { authorization: `Bearer ${owner.token}` };
    const live = await fetch(`${scene.origin}/admin/v1/live`, { headers });
    const events = live.text();
    const signedIn = await scene.call(null, 'POST', '/session', { body: { token: owner.token } });
    const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? '';
    inject();
    await until('the thread to have died', () => scene.gateway.count('console_died') === 1);
    expect((await ask(scene.gateway, token())).status).toBe(200);
    expect((await scene.page('/readyz')).status).toBe(200);
    // A whole stream, not a broken one: EventSource comes back to it.
    expect(await events).toMatch(/^event: now\ndata: \{.*\}\n\n/);
    await until(
      'another one',
      async () => (await scene.call(owner, 'GET', '/node')).status === 200,
    );
    expect((await scene.call(null, 'GET', '/node', { fields: { cookie } })).status).toBe(401);
    await scene.stop();
    await upstream.close();
  });

  it('that hangs is replaced, and whoever waited for it is told 503', async () => {
    const { inject, nodeArgs } = fault('for (;;);');
    const scene = await new ConsoleScene([owner], { nodeArgs }).ready();
    inject();
    const told = await until(
      'a call that is not answered',
      async () => {
        const one = await scene.call(owner, 'GET', '/node');
        return one.status !== 200 && one;
      },
      60_000,
    );
    expect([told.status, told.json()['code']]).toEqual([503, 'unavailable']);
    await until('the thread to be replaced', () => scene.gateway.count('console_hangs') === 1);
    await until(
      'another one',
      async () => (await scene.call(owner, 'GET', '/node')).status === 200,
    );
    await scene.stop();
  });

  it('answers 503 to a call that comes while there is none, with when to come again', async () => {
    const { inject, nodeArgs } = fault("throw new Error('injected');");
    const scene = await new ConsoleScene([owner], { nodeArgs }).ready();
    inject();
    const told = await until('a call in between', async () => {
      const one = await scene.call(owner, 'GET', '/node');
      return one.status === 503 && one;
    });
    expect(told.headers.get('retry-after')).toBe('1');
    await scene.stop();
  });
});

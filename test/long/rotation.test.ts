import { afterAll, beforeAll, expect, it } from 'vitest';
import { mintToken, publicKeyOf } from '../../src/keys/minting.ts';
import { pause, until } from '../support/conditions.ts';
import { authorities, Gateway } from '../support/gateway.ts';
import { facts, poolKeys } from '../support/managed.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { keepSecret } from '../support/secrets.ts';

const STREAMS = 500;
const TENANTS = 20;
const BODY = '{"model":"m","stream":true}';
const secretOf = (kid: number) => new Uint8Array(32).fill(kid);
const tokenOf = (kid: number, tenant: number): string =>
  keepSecret(mintToken(secretOf(kid), { kid, tenantId: BigInt(tenant), vpcId: 1n, keyId: null }));
const signing = (...kids: readonly number[]): string =>
  `[signing_keys]\n${kids.map((kid) => `${kid} = "${Buffer.from(publicKeyOf(secretOf(kid))).toString('base64')}"`).join('\n')}\n`;

let upstream: ScriptedUpstream;
let gateway: Gateway;
let go = false;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    if (!turn.request.target.includes('slow')) {
      await turn.answer('{"usage":{"prompt_tokens":1,"completion_tokens":1}}');
      return;
    }
    await turn.stream();
    await turn.chunk('data: {"choices":[{"delta":{"content":"x"}}]}\n\n');
    await until('the word to go on', () => go, 120_000);
    await turn.chunk(
      'data: {"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":3}}\n\ndata: [DONE]\n\n',
    );
    await turn.lastChunk();
  });
  gateway = await new Gateway({ config: configOf('sk-pool-old', 1) }).ready();
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

function configOf(poolKey: string | readonly string[], ...kids: readonly number[]): string {
  return `workers = 2\nmanaged_prefixes = ["/v1/slow"]\n${authorities({ openai: upstream.port })}${poolKeys({ openai: poolKey })}${signing(...kids)}`;
}

const request = (key: string, target = CHAT): Buffer => post(key, target, BODY);

it(`keys are rotated under ${STREAMS} open streams and steady load without one failed request`, async () => {
  const streams = Array.from({ length: STREAMS }, (_, i) =>
    new RawClient(gateway.port).send(request(tokenOf(1, i % TENANTS), '/v1/slow/chat/completions')),
  );
  for (const stream of streams) await until('a stream', () => stream.receivedBytes > 0);

  let over = false;
  /** Which kid the steady callers use: they change over in the middle. */
  let kid = 1;
  const steady = Array.from({ length: 8 }, async (_, lane) => {
    let count = 0;
    const client = new RawClient(gateway.port);
    while (!over) {
      const response = await client
        .send(request(tokenOf(kid, (lane + count) % TENANTS)))
        .response();
      expect(response.status).toBe(200);
      count++;
      await pause(1);
    }
    client.close();
    return count;
  });

  await pause(500);
  await gateway.reload(configOf(['sk-pool-old', 'sk-pool-new'], 1));
  await pause(300);
  await gateway.reload(configOf('sk-pool-new', 1));
  const at = upstream.requests.length;
  await pause(500);
  const used = upstream.requests.slice(at + 20).map((request) => request.field('authorization'));
  expect(new Set(used)).toEqual(new Set(['Bearer sk-pool-new']));

  await gateway.reload(configOf('sk-pool-new', 1, 2));
  kid = 2;
  await pause(500);
  // Old tokens verify until their kid goes.
  const old = await new RawClient(gateway.port).send(request(tokenOf(1, 1))).response();
  expect(old.status).toBe(200);
  await gateway.reload(configOf('sk-pool-new', 2));
  await until('the old kid to be gone on every worker', async () => {
    const answers = await Promise.all(
      Array.from({ length: 15 }, () =>
        new RawClient(gateway.port).send(request(tokenOf(1, 1))).response(),
      ),
    );
    return answers.every(({ status }) => status === 401);
  });
  await pause(300);
  over = true;
  const counts = await Promise.all(steady);
  expect(Math.min(...counts)).toBeGreaterThan(50);

  go = true;
  for (const stream of streams) {
    const response = await stream.response();
    expect(response.complete).toBe(true);
    expect(response.body.toString()).toContain('[DONE]');
    stream.close();
  }
  await gateway.idle();
  const slow = facts(gateway).filter((fact) => String(fact['endpoint']).includes('slow'));
  expect(slow).toHaveLength(STREAMS);
  for (const fact of slow)
    expect(fact).toMatchObject({ usage_source: 'reported', output_tokens: 3 });
  expect(gateway.stderr).toBe('');
});

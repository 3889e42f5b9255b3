import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { facts, poolKeys, signingKeys, token } from '../support/managed.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const EVENT = 'data: {"choices":[{"delta":{"content":"Hello you"}}]}\n\n';
const PROMPT = 'Tell me what you know of the sea and of the sky above it. '.repeat(11_000);
const PROMPT_TOKENS = 160_000;

describe('a client that leaves early does not leave the bill', () => {
  let gateway: Gateway;
  let upstream: ScriptedUpstream;

  beforeAll(async () => {
    upstream = await startUpstream(async (turn) => {
      await turn.bodyDone();
      await turn.stream();
      await turn.chunk(EVENT);
      if (turn.request.target.endsWith('?whole')) {
        await turn.chunk(
          `data: {"model":"m","choices":[],"usage":{"prompt_tokens":${PROMPT_TOKENS},"completion_tokens":4}}\n\ndata: [DONE]\n\n`,
        );
        await turn.lastChunk();
      }
    });
    gateway = await startGateway({
      config: `workers = 1\n${authorities({ openai: upstream.port })}${poolKeys({ openai: 'sk-pool-left' })}${signingKeys()}`,
    });
  });

  afterAll(async () => {
    await gateway.stop();
    await upstream.close();
  });

  async function ask(model: string, act: string, content: unknown) {
    const before = facts(gateway).length;
    const body = JSON.stringify({ model, stream: true, messages: [{ role: 'user', content }] });
    const client = new RawClient(gateway.port).send(post(token(), `${CHAT}?${act}`, body));
    if (act === 'whole') await client.response();
    else await until('the first token', () => client.receivedBytes > 0);
    client.close();
    return await until('the fact', () => facts(gateway)[before]);
  }

  it('its whole prompt is counted, however long, and not a picture in it', async () => {
    const fact = await ask('unknown', 'leave', PROMPT);
    expect(fact).toMatchObject({ outcome: 'client_gone', usage_source: 'estimated' });
    expect(fact['input_tokens']).toBeGreaterThan(PROMPT_TOKENS / 4);
    expect(fact['input_tokens']).toBeLessThanOrEqual(PROMPT_TOKENS);
    const url = `data:image/png;base64,${'iVBORw0KGgoAAAANSUhEUgAA'.repeat(40_000)}`;
    const pictured = await ask('unknown', 'leave', [{ type: 'image_url', image_url: { url } }]);
    expect(pictured['input_tokens']).toBeLessThan(2_500);
  });

  it('and by what that model\u2019s tokens are, once they were reported', async () => {
    await ask('known', 'whole', PROMPT);
    const fact = await ask('known', 'leave', PROMPT);
    expect(fact).toMatchObject({ outcome: 'client_gone', usage_source: 'estimated' });
    const far = Math.abs(Number(fact['input_tokens']) - PROMPT_TOKENS) / PROMPT_TOKENS;
    expect(far).toBeLessThan(0.02);
  });
});

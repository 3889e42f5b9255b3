import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { sluice } from '../support/gateway.ts';
import { token } from '../support/managed.ts';
import {
  type Act,
  answers,
  type RoutedScene,
  startRoutedScene,
  WHOLE,
} from '../support/routed-scene.ts';

// Two a minute: what was taken comes back in half of one, which is longer than any of these tests.
const TABLES = `rate_limit_rps = 0
[routes.chat]
targets = ["openai/gpt-4o"]
[policies.few]
rpm = 2
tpm = 100
max_in_flight = 5
[policies.soft]
rpm = 2
mode = "warn"
[keys.1]
policy = "few"
class = "agent"
[keys.2]
policy = "soft"
[limits.models."openai/gpt-4o"]
rpm = 4
[limits.shares]
agent = 0.5
`;

let scene: RoutedScene;
beforeAll(async () => {
  scene = await startRoutedScene(['openai'], TABLES, {}, 2);
});
afterAll(async () => await scene.stop());

async function ask(key: string): Promise<number> {
  const { status } = await fetch(`${scene.gateway.origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'chat', messages: [] }),
  });
  return status;
}

/** What explain says of the limits of a key, beside a gateway that has this admin port. */
function explained(key: string, port: number): string {
  const whose = ['--key', key, '--tenant', '42', '--config', scene.gateway.file];
  const env = { AI_METRICS_LISTEN: `127.0.0.1:${port}` };
  const { stdout } = sluice(['explain', 'chat', ...whose], { env });
  return stdout;
}

describe('sluice explain --key', () => {
  test('says what is left of each limit that a request takes from, as the running gateway has it', async () => {
    const port = scene.gateway.metricsPort;
    const before = explained('1', port);
    expect(before).toContain(
      'limit of the key: 2 of 2 requests a minute left, 100 of 100 tokens a minute left, 0 of 5 in flight\n',
    );
    expect(before).toContain('limit of the model openai/gpt-4o: 2 of 2 requests a minute left\n');
    const ways: (() => void)[] = [];
    const waits: Act = async (turn) => {
      await turn.bodyDone();
      await new Promise<void>((resolve) => ways.push(resolve));
      await answers(200, WHOLE)(turn);
    };
    scene.plays({ openai: waits });
    const asked = ask(token({ keyId: 1n }));
    await until('the provider to be asked', () => ways.length === 1);
    const under = explained('1', port);
    expect(under).toMatch(
      /limit of the key: 1 of 2 requests a minute left, \d\d of 100 tokens a minute left, 1 of 5 in flight\n/,
    );
    expect(under).toContain('limit of the model openai/gpt-4o: 1 of 2 requests a minute left\n');
    expect(under).toContain(
      `what is left of them is what the gateway at 127.0.0.1:${port} has left`,
    );
    ways[0]?.();
    expect(await asked).toBe(200);
  });

  test('looks only: whoever is asked about has what it had', async () => {
    const key = token({ keyId: 2n });
    scene.plays({ openai: answers(200, WHOLE) });
    for (let at = 0; at < 3; at++)
      expect(explained('2', scene.gateway.metricsPort)).toContain(
        '2 of 2 requests a minute left, counted only\n',
      );
    expect(await ask(key)).toBe(200);
    expect(explained('2', scene.gateway.metricsPort)).toContain('1 of 2 requests');
  });

  test('where no gateway answers it says what the limits are, and that what is left is not known', () => {
    const told = explained('1', 1);
    expect(told).toContain(
      'limit of the key: 2 requests a minute, 100 tokens a minute, 5 in flight\n',
    );
    expect(told).toContain('what is left of them is not known: no gateway answers at 127.0.0.1:1');
  });
});

import { describe, expect, test } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { DyingWorkers } from '../support/dying-worker.ts';
import { token } from '../support/managed.ts';
import { type Act, answers, EVENTS, startRoutedScene, WHOLE } from '../support/routed-scene.ts';

const CHAT = '/v1/chat/completions';

/** The same numbers each run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const usage = (output: number): string =>
  JSON.stringify({
    id: 'c',
    model: 'm',
    choices: [{ index: 0, message: { role: 'assistant', content: 'w' }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 10, completion_tokens: output, total_tokens: 10 + output },
  });

describe('limits under a storm', () => {
  test('T2: of 1,000 clients at once no more tokens get through than one minute’s worth and what came back meanwhile, by the provider’s own count', async () => {
    const TPM = 100_000;
    const CLIENTS = 1_000;
    const next = random(3);
    const config = `rate_limit_rps = 0\n[policies.tokens]\ntpm = ${TPM}\n[keys.1]\npolicy = "tokens"\n`;
    const scene = await startRoutedScene(['openai'], config, {}, 2);
    let tokens = 0;
    let most = 0;
    try {
      scene.plays({
        openai: async (turn) => {
          await turn.bodyDone();
          // What is kept for an answer of which nothing is known: 1,024.
          const output = 1 + Math.floor(next() * 1_024);
          tokens += 10 + output;
          most = Math.max(most, 10 + output);
          await answers(200, usage(output))(turn);
        },
      });
      const key = token({ keyId: 1n });
      const came = { served: 0, refused: 0 };
      const ask = async (): Promise<void> => {
        const response = await fetch(`${scene.gateway.origin}${CHAT}`, {
          method: 'POST',
          headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
          body: '{"model":"m","messages":[]}',
        });
        await response.text();
        expect([200, 429]).toContain(response.status);
        if (response.status === 200) came.served++;
        else came.refused++;
      };
      const beganMs = performance.now();
      await Promise.all(
        Array.from({ length: CLIENTS }, async () => {
          await ask();
          await pause(next() * 2_000);
          await ask();
        }),
      );
      const minutes = (performance.now() - beganMs) / 60_000;
      console.info(
        `${tokens} tokens of ${TPM} a minute within ${(minutes * 60).toFixed(1)} s: ${came.served} served, ${came.refused} refused`,
      );
      expect(came.served + came.refused).toBe(2 * CLIENTS);
      expect(came.refused).toBeGreaterThan(0);
      expect(tokens).toBeLessThanOrEqual(TPM * (1 + minutes) + most);
      // What was reserved too much came back, and others were served by it.
      expect(tokens).toBeGreaterThan(TPM * 0.9);
    } finally {
      await scene.stop();
    }
  });

  test('T4: of 3,000 streams that complete, are cut, left or silent, and whose workers die, none keeps its place or its reservation', async () => {
    // Of the 100,000 that the demand names, what fits into a few seconds.
    const STREAMS = 3_000;
    const AT_ONCE = 48;
    const PLACES = 64;
    const next = random(5);
    const workers = new DyingWorkers();
    const config = `rate_limit_rps = 0
idle_timeout_secs = 0.3
[prices."openai/m"]
input = "1"
output = "10"
[policies.both]
max_in_flight = ${PLACES}
budget_usd_per_day = 1000
[keys.1]
policy = "both"
[limits]
max_in_flight = 1000
`;
    const scene = await startRoutedScene(['openai'], config, {}, 2, workers.nodeArgs);
    const ends: Record<string, number> = {};
    const waiting: (() => void)[] = [];
    try {
      const { gateway } = scene;
      const acts: Readonly<Record<string, (turn: Parameters<Act>[0]) => Promise<void>>> = {
        complete: async (turn) => {
          await turn.chunk(EVENTS.chat.end);
          await turn.lastChunk();
        },
        cut: async (turn) => turn.reset(),
        left: async () => {},
        silent: async () => {},
      };
      const kinds = Object.keys(acts);
      scene.plays({
        openai: async (turn) => {
          await turn.bodyDone();
          const { user } = JSON.parse(turn.request.body.toString()) as { readonly user: string };
          await turn.stream(['content-type: text/event-stream']);
          await turn.chunk(EVENTS.chat.opening);
          await turn.chunk(EVENTS.chat.word('one'));
          await acts[user]?.(turn);
        },
      });
      const key = token({ keyId: 1n });
      const stream = async (): Promise<void> => {
        const kind = kinds[Math.floor(next() * (next() < 0.1 ? 4 : 3))] ?? 'complete';
        const leaves = new AbortController();
        const path = next() < 0.5 ? CHAT : `/openai${CHAT}`;
        try {
          const response = await fetch(`${gateway.origin}${path}`, {
            method: 'POST',
            signal: leaves.signal,
            headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
            body: JSON.stringify({
              model: 'm',
              stream: true,
              max_tokens: 10,
              user: kind,
              messages: [],
            }),
          });
          const reader = response.body?.getReader();
          await reader?.read();
          if (kind === 'left') leaves.abort();
          while ((await reader?.read())?.done === false);
          ends[`${kind} ${response.status}`] = (ends[`${kind} ${response.status}`] ?? 0) + 1;
        } catch {
          ends[kind] = (ends[kind] ?? 0) + 1;
        }
      };
      let begun = 0;
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          while (begun < STREAMS) {
            begun++;
            if (begun === STREAMS / 3 || begun === (STREAMS * 2) / 3) workers.killOne();
            await stream();
          }
        }),
      );
      console.info(JSON.stringify(ends));
      await until('both workers are back', () => gateway.events('worker_restarted').length === 2);
      await gateway.idle();
      await until('nothing is reserved', async () => {
        const metrics = await gateway.metrics();
        return metrics.get('ai_budget_reserved_usd') === 0;
      });
      // No place is taken: as many as there are can be had at once, and not one more.
      scene.plays({
        openai: async (turn) => {
          await turn.bodyDone();
          await new Promise<void>((resolve) => waiting.push(resolve));
          await answers(200, WHOLE)(turn);
        },
      });
      const ask = async (): Promise<number> => {
        const response = await fetch(`${gateway.origin}${CHAT}`, {
          method: 'POST',
          headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
          body: '{"model":"m","max_tokens":10,"messages":[]}',
        });
        await response.text();
        return response.status;
      };
      const held: Promise<number>[] = [];
      // One after the other: of two that come at once for the last place both may be refused.
      for (let at = 0; at < PLACES; at++) {
        held.push(ask());
        await until('it is under way', () => waiting.length === at + 1);
      }
      expect(await ask()).toBe(429);
      for (const go of waiting) go();
      expect(new Set(await Promise.all(held))).toEqual(new Set([200]));
    } finally {
      for (const go of waiting) go();
      await scene.stop();
    }
  }, 120_000);
});

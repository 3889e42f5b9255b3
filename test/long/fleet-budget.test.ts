import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { pause } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { NATS_MISSING, type NatsServer, startNats } from '../support/nats.ts';
import { answers } from '../support/routed-scene.ts';
import { startUpstream } from '../support/scripted-upstream.ts';

/** Of ten tokens that a request may have, its answer has seven; a thousandth of a dollar each. */
const RESERVED_USD = 0.01;
const COST_USD = 0.007;
const LIMIT_USD = 12;

const NODES = 3;
const CLIENTS = 3;
const RUN_MS = 30_000;
/** What a node that nobody asks holds is free again behind that. */
const REST_MS = 9_000;
/** What a killed node forgets: what was settled since its journal was written last. */
const FORGOTTEN_MS = 300;

const ANSWER = JSON.stringify({
  id: 'c',
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: 'w' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 0, completion_tokens: 7, total_tokens: 7 },
});

/** One of the fleet, in all its lives. */
interface Life {
  gateway: Gateway | null;
  readonly folder: string;
  /** When its requests of late were sent. */
  readonly sent: number[];
}

it('three gateways spend one budget to its end and not beyond, while they, NATS and the way to it die at random', async (ctx) => {
  if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
  let billed = 0;
  const upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    billed++;
    await answers(200, ANSWER)(turn);
  });
  const nats: NatsServer = await startNats();
  const config = (folder: string): string =>
    `workers = 1\nnats_url = "${nats.url}"\ndata_dir = ${JSON.stringify(folder)}\n` +
    `[prices."openai/m"]\ninput = "0"\noutput = "1000"\n` +
    `[policies.day]\nbudget_usd_per_day = ${LIMIT_USD}\n[keys.1]\npolicy = "day"\n` +
    authorities({ openai: upstream.port }) +
    poolKeys({ openai: 'sk-one-pool-key' }) +
    signingKeys();
  const lives: Life[] = Array.from({ length: NODES }, () => ({
    gateway: null,
    folder: mkdtempSync(join(tmpdir(), 'sluice-fleet-')),
    sent: [],
  }));
  const begin = async (life: Life): Promise<void> => {
    life.gateway = await startGateway({ config: config(life.folder) });
  };
  let isOver = false;
  /** What killed nodes may have forgotten. */
  let forgotten = 0;
  let kills = 0;
  const reasons = new Map<string, number>();
  const told = (what: string): void => {
    reasons.set(what, (reasons.get(what) ?? 0) + 1);
  };
  const client = async (life: Life): Promise<void> => {
    while (!isOver) {
      const origin = life.gateway?.origin;
      if (origin === undefined) {
        await pause(50);
        continue;
      }
      life.sent.push(performance.now());
      try {
        const response = await fetch(`${origin}/v1/chat/completions`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${token({ keyId: 1n })}`,
            'content-type': 'application/json',
          },
          body: '{"model":"m","max_tokens":10,"messages":[]}',
        });
        const text = await response.text();
        if (response.status === 402) {
          told(/"reason":"(\w+)"/.exec(text)?.[1] ?? 'unknown');
          life.sent.pop();
          await pause(50);
        } else told(String(response.status));
        await pause(5);
      } catch {
        await pause(20);
      }
    }
  };
  const die = async (life: Life): Promise<void> => {
    const { gateway } = life;
    if (gateway === null) return;
    life.gateway = null;
    kills++;
    await gateway.stop();
    const now = performance.now();
    forgotten += life.sent.filter((at) => now - at < FORGOTTEN_MS).length + CLIENTS;
    await begin(life);
  };
  try {
    await Promise.all(lives.map(begin));
    const clients = lives.flatMap((life) => Array.from({ length: CLIENTS }, () => client(life)));
    const endMs = performance.now() + RUN_MS;
    while (performance.now() < endMs) {
      await pause(500 + random(1_500));
      switch (random(4)) {
        case 0:
        case 1: {
          const life = lives[random(NODES)];
          if (life !== undefined) await die(life);
          break;
        }
        case 2:
          await nats.kill();
          await pause(random(1_500));
          await nats.start();
          break;
        default:
          nats.freeze();
          await pause(random(2_500));
          nats.thaw();
      }
    }
    await pause(REST_MS);
    isOver = true;
    await Promise.all(clients);
    const spent = billed * COST_USD;
    const bound = LIMIT_USD + forgotten * RESERVED_USD;
    console.log(
      `seed ${seed}: of $${LIMIT_USD} $${spent.toFixed(3)} were spent (bound $${bound.toFixed(2)}: ${kills} kills, ${forgotten} requests ` +
        `may be forgotten), under-use $${Math.max(0, LIMIT_USD - spent).toFixed(3)}; ` +
        [...reasons].map(([what, count]) => `${count} x ${what}`).join(', '),
    );
    expect(reasons.has('unknown')).toBe(false);
    expect(spent).toBeLessThanOrEqual(bound);
    // Three slices of a twentieth each.
    expect(spent).toBeGreaterThanOrEqual(LIMIT_USD * (1 - 3 / 20));
  } finally {
    isOver = true;
    nats.thaw();
    for (const life of lives) {
      await life.gateway?.stop();
      rmSync(life.folder, { recursive: true, force: true });
    }
    await upstream.close();
    await nats.kill();
  }
});

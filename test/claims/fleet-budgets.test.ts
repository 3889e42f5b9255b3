import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { NATS_MISSING, type NatsServer, startNats } from '../support/nats.ts';
import { type Act, answers, EVENTS } from '../support/routed-scene.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

/** A thousandth of a dollar a token: an answer is a cent, and as much is reserved for it. */
const ANSWER = JSON.stringify({
  id: 'c',
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: 'w' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 0, completion_tokens: 10, total_tokens: 10 },
});

/** A cent a word, by its text: two bytes are a token. */
const WORD = 'twenty bytes of text';
const WORDS = 100;

let upstream: ScriptedUpstream;
let nats: NatsServer;
let folder: string;
const gateways: Gateway[] = [];

beforeAll(async () => {
  const streams = streamsApart(WORDS);
  upstream = await startUpstream(
    async (turn) => {
      await turn.bodyDone();
      const isStream = turn.request.body.includes('"stream":true');
      await (isStream ? streams : answers(200, ANSWER))(turn);
    },
    { keepBodies: true },
  );
});
afterAll(async () => await upstream.close());
beforeEach(async (ctx) => {
  if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
  nats = await startNats();
  folder = mkdtempSync(join(tmpdir(), 'sluice-fleet-'));
});
afterEach(async () => {
  for (const gateway of gateways.splice(0)) await gateway.stop();
  await nats?.kill();
  rmSync(folder, { recursive: true, force: true });
});

async function node(usd: number, more = ''): Promise<Gateway> {
  const gateway = await startGateway({
    config:
      `workers = 1\nnats_url = "${nats.url}"\n${more}[prices."openai/m"]\ninput = "0"\noutput = "1000"\n` +
      `[policies.day]\nbudget_usd_per_day = ${usd}\nbudget_usd_per_month = ${usd * 2}\n[keys.1]\npolicy = "day"\n` +
      `[policies.stopped]\nbudget_usd_per_day = ${usd}\nhard_stop = true\n[keys.2]\npolicy = "stopped"\n` +
      authorities({ openai: upstream.port }) +
      poolKeys({ openai: 'sk-one-pool-key' }) +
      signingKeys(),
  });
  gateways.push(gateway);
  return gateway;
}

/** Words, each in a piece of its own as far as the machine lets them be. */
function streamsApart(words: number): Act {
  return async (turn) => {
    await turn.stream(['content-type: text/event-stream']);
    await turn.chunk(EVENTS.chat.opening);
    for (let at = 0; at < words && !turn.socket.destroyed; at++) {
      await turn.chunk(EVENTS.chat.word(WORD));
      await pause(2);
    }
    if (turn.socket.destroyed) return;
    await turn.chunk(EVENTS.chat.end);
    await turn.lastChunk();
  };
}

async function reachable(gateway: Gateway, is: 0 | 1): Promise<void> {
  await until('the bucket', async () => {
    return (await gateway.metrics()).get('ai_budget_grants_reachable') === is;
  });
}

/** As it is told. */
interface Budget {
  readonly window: string;
  readonly limit_usd: string;
  readonly spent_usd: string;
  readonly left_usd: string;
  readonly granted_elsewhere_usd: string;
  readonly here: {
    readonly granted_usd: string;
    readonly spent_usd: string;
    readonly left_usd: string;
  };
}

interface Told {
  readonly status: number;
  readonly reason: string | null;
}

/** One cent. */
async function spend({ origin }: Gateway): Promise<Told> {
  const response = await fetch(`${origin}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token({ keyId: 1n })}`,
      'content-type': 'application/json',
    },
    body: '{"model":"m","max_tokens":10,"messages":[]}',
  });
  const text = await response.text();
  return { status: response.status, reason: /"reason":"(\w+)"/.exec(text)?.[1] ?? null };
}

/** One cent, however long this machine takes to grant it. */
async function spendOne(gateway: Gateway): Promise<void> {
  await until('a cent', async () => {
    const { status, reason } = await spend(gateway);
    if (status !== 200) expect({ status, reason }).toEqual({ status: 402, reason: 'partition' });
    return status === 200;
  });
}

/** Until it is refused for that reason: how often it was served. */
async function spendAll(gateway: Gateway, why: 'spent' | 'partition'): Promise<number> {
  let served = 0;
  await until(`it to be refused: ${why}`, async () => {
    const { status, reason } = await spend(gateway);
    if (status === 200) served++;
    else expect(status).toBe(402);
    return reason === why;
  });
  return served;
}

describe('a budget of two gateways', () => {
  it('is one: what the first one spends the second one has not, and the first request anywhere waits for its grant', async () => {
    const [first, second] = [await node(0.3), await node(0.3)];
    await reachable(first, 1);
    await reachable(second, 1);
    await spendOne(first);
    await spendOne(second);
    const served = await spendAll(first, 'spent');
    const rest = await spendAll(second, 'spent');
    expect(2 + served + rest).toBeLessThanOrEqual(30);
    // At most a slice is left at the first one.
    expect(2 + served + rest).toBeGreaterThanOrEqual(27);
  });

  it('tells what is left for all, with what others hold counted as spent, and beside it its own part', async () => {
    const [first, second] = [await node(2), await node(2)];
    await reachable(first, 1);
    await reachable(second, 1);
    for (let at = 0; at < 10; at++) await spendOne(first);
    await spendOne(second);
    const day = async ({ origin }: Gateway) => {
      const headers = { authorization: `Bearer ${token({ keyId: 1n })}` };
      const page = await (await fetch(`${origin}/sluice/budget`, { headers })).json();
      const { budgets } = page as { readonly budgets: readonly Budget[] };
      return budgets.find(({ window }) => window === 'day');
    };
    const told = await until('the second to know what the first one holds', async () => {
      const budget = await day(second);
      const elsewhere = Number(budget?.granted_elsewhere_usd);
      return elsewhere >= 0.1 && budget;
    });
    const { limit_usd: limit, spent_usd: spent, left_usd: left, here } = told;
    expect(here.spent_usd).toBe('0.01');
    expect(Number(spent)).toBeCloseTo(0.01 + Number(told.granted_elsewhere_usd), 9);
    expect(Number(left)).toBeCloseTo(Number(limit) - Number(spent), 9);
    // Its own part is of what is left for all.
    expect(Number(here.left_usd)).toBeCloseTo(Number(here.granted_usd) - 0.01, 9);
    expect(Number(here.left_usd)).toBeLessThanOrEqual(Number(left));
    const { origin } = second;
    const refused = await fetch(`${origin}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token({ keyId: 1n })}`,
        'content-type': 'application/json',
      },
      body: '{"model":"m","max_tokens":5000,"messages":[]}',
    });
    expect(refused.status).toBe(402);
    const { error } = (await refused.json()) as { readonly error: { readonly budget: Budget } };
    expect(error.budget).toMatchObject({ window: 'day', here: { spent_usd: '0.01' } });
    expect(Number(error.budget.granted_elsewhere_usd)).toBeGreaterThanOrEqual(0.1);
  });

  it('is granted on to a stream under hard_stop while it runs: it goes on far beyond what its node had when it began', async () => {
    // What there is room for is never the reason: only that it was not granted yet.
    const [first, second] = [await node(1_000, 'assumed_output_tokens = 10\n'), await node(1_000)];
    await reachable(first, 1);
    await reachable(second, 1);
    // More than 50 ms without a grant, which a busy machine may need, end a stream as well: another one is tried.
    await until('a stream that comes to its end', async () => {
      const response = await fetch(`${first.origin}/v1/chat/completions`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${token({ keyId: 2n })}`,
          'content-type': 'application/json',
        },
        body: '{"model":"m","stream":true,"messages":[]}',
      });
      const text = await response.text().catch(() => '');
      if (text.includes('"error"')) expect(text).toContain('"reason":"partition"');
      return text.split(WORD).length - 1 === WORDS && text.endsWith('[DONE]\n\n');
    });
  });

  it('that one of them held and did not spend is the other’s when it ends', async () => {
    const [first, second] = [await node(2), await node(2)];
    await reachable(first, 1);
    await reachable(second, 1);
    for (let at = 0; at < 20; at++) await spendOne(first);
    first.signal('SIGTERM');
    expect((await first.exited).code).toBe(0);
    expect(await spendAll(second, 'spent')).toBe(180);
  });

  it('is spent up to the grant and not beyond where NATS is away, and the reason is told', async () => {
    const gateway = await node(10);
    await reachable(gateway, 1);
    for (let at = 0; at < 20; at++) await spendOne(gateway);
    await nats.kill();
    await reachable(gateway, 0);
    // A twentieth of what is left is the largest slice.
    expect(await spendAll(gateway, 'partition')).toBeLessThanOrEqual(50);
    await nats.start();
    await spendOne(gateway);
  });

  it('is each one’s own where NATS is away and budget_without_nats is "open"', async () => {
    const gateway = await node(0.2, 'budget_without_nats = "open"\n');
    await reachable(gateway, 1);
    await spendOne(gateway);
    await nats.kill();
    await reachable(gateway, 0);
    await until('to be alone', async () => gateway.count('budgets_alone') > 0);
    expect(await spendAll(gateway, 'spent')).toBe(19);
  });

  it('goes on where it stood at a gateway that was killed and has its data_dir', async () => {
    const more = `data_dir = ${JSON.stringify(folder)}\n`;
    const before = await node(0.3, more);
    await reachable(before, 1);
    for (let at = 0; at < 10; at++) await spendOne(before);
    const journal = join(folder, 'budgets');
    await until('the journal to have it', () =>
      readFileSync(journal, 'utf8').includes(' 100000000 '),
    );
    await before.stop();
    const again = await node(0.3, more);
    await reachable(again, 1);
    expect(await spendAll(again, 'spent')).toBe(20);
  });
});

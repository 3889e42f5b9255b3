import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { authorities, type Gateway, type LogLine, startGateway } from '../support/gateway.ts';
import { facts, poolKeys, signingKeys } from '../support/managed.ts';
import {
  isSound,
  LoggingMock,
  type StormEnd,
  type StormRequest,
  storm,
  stormRequest,
  truthOf,
} from '../support/metering-storm.ts';

const REQUESTS = 100_000;
/** Of the second storm, which a SIGTERM meets. */
const INTERRUPTED = 30_000;
const GRACE_SECONDS = 2;

let mock: LoggingMock;

beforeAll(async () => {
  mock = await new LoggingMock().ready();
});
afterAll(async () => await mock.stop());

async function gatewayBefore({ port }: LoggingMock): Promise<Gateway> {
  return await startGateway({
    config:
      `workers = 2\nrate_limit_rps = 0\nshutdown_grace_secs = ${GRACE_SECONDS}\n` +
      authorities({ openai: port, anthropic: port }) +
      poolKeys({ openai: ['sk-pool-a', 'sk-pool-b'], anthropic: 'ant-pool' }) +
      signingKeys(),
  });
}

const requestsOf = (count: number, run: string): readonly StormRequest[] =>
  Array.from({ length: count }, (_, number) => stormRequest(number, run));

interface Sums {
  input: number;
  output: number;
}

/** The facts against what the mock read and what the clients saw. */
function reconcile(
  told: readonly LogLine[],
  ends: readonly StormEnd[],
  reached: readonly string[],
): void {
  const byModel = new Map(told.map((fact) => [String(fact['requested_model']), fact]));
  // One fact each, and none for what the mock never saw but where the client had left while it was under way.
  expect(byModel.size).toBe(told.length);
  expect(new Set(reached).size).toBe(reached.length);
  expect(reached.filter((model) => !byModel.has(model))).toEqual([]);
  const atMock = new Set(reached);
  const underWay = told.filter((fact) => !atMock.has(String(fact['requested_model'])));
  expect(underWay.filter((fact) => fact['outcome'] !== 'client_gone')).toEqual([]);
  expect(underWay.length).toBeLessThan(told.length / 50);

  const wrong: unknown[] = [];
  const given: Sums[] = [];
  const metered: Sums[] = [];
  const add = (sums: Sums[], tenant: number, input: number, output: number): void => {
    sums[tenant] = {
      input: (sums[tenant]?.input ?? 0) + input,
      output: (sums[tenant]?.output ?? 0) + output,
    };
  };
  for (const { asked, status, complete } of ends) {
    const fact = byModel.get(asked.model);
    if (fact === undefined) {
      if (status !== 0 && status !== 503) wrong.push({ asked, status, fact: 'none' });
      continue;
    }
    const { input, output } = asked.said.counts;
    const truth = truthOf(fact, { input, output });
    if (truth === null) wrong.push({ asked, fact });
    if (String(asked.tenant) !== fact['tenant_id']) wrong.push({ asked, fact });
    if (status === 200 && complete && isSound(asked)) {
      if (truth !== 'told') wrong.push({ asked, fact });
      add(given, asked.tenant, input, output);
      add(metered, asked.tenant, Number(fact['input_tokens']), Number(fact['output_tokens']));
    }
  }
  expect(wrong.slice(0, 5)).toEqual([]);
  expect(metered).toEqual(given);
}

describe('a storm of metered requests', () => {
  it(`${REQUESTS} over 50 keys, with clients that leave and providers that fail, leave one true fact each`, async () => {
    const gateway = await gatewayBefore(mock);
    const ends = await storm(gateway.port, requestsOf(REQUESTS, 'a'));
    const metrics = await gateway.idle();
    const count = metrics.sum('ai_usage_facts_total');
    const told = await until('every fact', () => {
      const list = facts(gateway);
      return list.length >= count && list;
    });
    expect(told.length).toBe(count);
    reconcile(told, ends, await allReached('a', told));
    const sources = ['reported', 'estimated', 'none'].map(
      (source) => told.filter((fact) => fact['usage_source'] === source).length,
    );
    // The storm did what it is for.
    expect(Math.min(...sources)).toBeGreaterThan(REQUESTS / 100);
    expect(ends.filter(({ complete }) => complete).length).toBeGreaterThan(REQUESTS / 2);
    expect(gateway.stderr).toBe('');
    await gateway.stop();
  });

  it('a SIGTERM in its middle loses no fact', async () => {
    const gateway = await gatewayBefore(mock);
    const running = storm(
      gateway.port,
      requestsOf(INTERRUPTED, 'b'),
      () => gateway.child.exitCode !== null,
    );
    await until('half of the storm', () => facts(gateway).length > INTERRUPTED / 2, 120_000);
    gateway.signal('SIGTERM');
    expect(await gateway.exited).toEqual({ code: 0, signal: null });
    const ends = await running;
    const told = facts(gateway);
    expect(told.length).toBeLessThan(INTERRUPTED);
    reconcile(told, ends, await allReached('b', told));
    expect(gateway.stderr).toBe('');
  });
});

/** What the mock has read of a run; its log comes through a pipe, so the last lines may be on their way. */
async function allReached(run: string, told: readonly LogLine[]): Promise<readonly string[]> {
  const mine = (): readonly string[] => mock.models.filter((model) => model.startsWith(run));
  const complete = told.filter((fact) => fact['outcome'] === 'complete').length;
  await until('the log of the mock', () => mine().length >= complete);
  return mine();
}

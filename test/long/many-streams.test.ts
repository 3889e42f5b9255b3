import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { authorities, type Gateway, ROOT, startGateway } from '../support/gateway.ts';
import { facts, poolKeys, signingKeys, token } from '../support/managed.ts';

/** Each end of each stream is a descriptor in the gateway and in the swarm. */
const NEEDED_FILES = 11_000;

function openFilesLimit(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  return Number(/Max open files\s+(\d+)/.exec(limits)?.[1] ?? 0);
}

interface Asked {
  readonly streams: number;
  readonly events: number;
  readonly gapMs: number;
  /** Makes them metered. Default: a caller's own key. */
  readonly key?: string;
}

interface Swarm {
  readonly gateway: Gateway;
  /** Resident memory of the gateway before the first of them, in bytes. */
  readonly idleBytes: number;
  /** Resolves with what the swarm counted, once all have ended. */
  result(): Promise<unknown>;
}

/** A process that is client and provider of so many streams through a gateway; resolves when all of them stream. */
async function swarm({ streams, events, gapMs, key = '' }: Asked): Promise<Swarm> {
  const script = join(ROOT, 'test/support/stream-swarm.ts');
  const child = spawn(process.execPath, [script, ...[streams, events, gapMs, key].map(String)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  createInterface(child.stdout).on('line', (line) => lines.push(line));
  await until('the upstream', () => lines[0]);
  const managed = key === '' ? '' : poolKeys({ openai: 'sk-pool' }) + signingKeys();
  const gateway = await startGateway({
    config: `workers = 2\n${authorities({ openai: Number(lines[0]) })}${managed}`,
  });
  const idleBytes = gateway.rssBytes();
  child.stdin.write(`${gateway.port}\n`);
  await until(
    'all to stream',
    async () => (await gateway.metrics()).get('ai_active_streams') === streams,
    60_000,
  );
  const result = async () => JSON.parse(await until('all to end', () => lines[1], 180_000));
  return { gateway, idleBytes, result };
}

it('5,000 concurrent event streams of 30 s complete exactly on two workers', async (ctx) => {
  if (openFilesLimit() < NEEDED_FILES) {
    ctx.skip(`needs ${NEEDED_FILES} open files, the limit here is ${openFilesLimit()}`);
  }
  const { gateway, result } = await swarm({ streams: 5_000, events: 30, gapMs: 1_000 });
  expect(await result()).toEqual({ exact: 5_000, wrong: 0, failed: 0 });
  const metrics = await gateway.idle();
  expect(metrics.get('ai_active_streams')).toBe(0);
  expect(metrics.get('ai_exchanges_settled_total{outcome="complete"}')).toBe(5_000);
  await gateway.stop();
});

it('5,000 metered streams complete exactly, without the event that was asked for behind their backs, and with a fact each', async (ctx) => {
  if (openFilesLimit() < NEEDED_FILES) {
    ctx.skip(`needs ${NEEDED_FILES} open files, the limit here is ${openFilesLimit()}`);
  }
  const asked = { streams: 5_000, events: 15, gapMs: 1_000, key: token() };
  const { gateway, idleBytes, result } = await swarm(asked);
  const each = (gateway.rssBytes() - idleBytes) / 5_000;
  process.stderr.write(`${(each / 1_024).toFixed(1)} KiB resident for each metered stream\n`);
  expect(await result()).toEqual({ exact: 5_000, wrong: 0, failed: 0 });
  await gateway.idle();
  await until('every fact', () => facts(gateway).length === 5_000);
  for (const fact of facts(gateway)) {
    expect(fact).toMatchObject({ usage_source: 'reported', input_tokens: 3, output_tokens: 4 });
  }
  await gateway.stop();
});

it('SIGTERM under 500 open streams lets all complete and exits 0', async () => {
  const { gateway, result } = await swarm({ streams: 500, events: 10, gapMs: 500 });
  gateway.signal('SIGTERM');
  expect(await result()).toEqual({ exact: 500, wrong: 0, failed: 0 });
  expect(await gateway.exited).toEqual({ code: 0, signal: null });
});

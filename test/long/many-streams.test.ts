import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { authorities, ROOT, startGateway } from '../support/gateway.ts';
import { facts, poolKeys, signingKeys, token } from '../support/managed.ts';

/** Each end of each stream is a descriptor in the gateway and in the swarm. */
const NEEDED_FILES = 11_000;

function openFilesLimit(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  return Number(/Max open files\s+(\d+)/.exec(limits)?.[1] ?? 0);
}

interface Swarm {
  readonly child: ChildProcess;
  readonly lines: string[];
}

function swarm(streams: number, events: number, gapMs: number, key = ''): Swarm {
  const script = join(ROOT, 'test/support/stream-swarm.ts');
  const child = spawn(process.execPath, [script, ...[streams, events, gapMs, key].map(String)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  if (child.stdout !== null) createInterface(child.stdout).on('line', (line) => lines.push(line));
  return { child, lines };
}

it('5,000 concurrent event streams of 30 s complete exactly on two workers', async (ctx) => {
  if (openFilesLimit() < NEEDED_FILES) {
    ctx.skip(`needs ${NEEDED_FILES} open files, the limit here is ${openFilesLimit()}`);
  }
  const { child, lines } = swarm(5_000, 30, 1_000);
  await until('the upstream', () => lines[0]);
  const gateway = await startGateway({
    config: `workers = 2\n${authorities({ openai: Number(lines[0]) })}`,
  });
  child.stdin?.write(`${gateway.port}\n`);
  await until(
    'all to stream',
    async () => (await gateway.metrics()).get('ai_active_streams') === 5_000,
    60_000,
  );
  const result = await until('all to end', () => lines[1], 180_000);
  expect(JSON.parse(result)).toEqual({ exact: 5_000, wrong: 0, failed: 0 });
  const metrics = await gateway.idle();
  expect(metrics.get('ai_active_streams')).toBe(0);
  expect(metrics.get('ai_exchanges_settled_total{outcome="complete"}')).toBe(5_000);
  await gateway.stop();
});

it('5,000 metered streams complete exactly, without the event that was asked for behind their backs, and with a fact each', async (ctx) => {
  if (openFilesLimit() < NEEDED_FILES) {
    ctx.skip(`needs ${NEEDED_FILES} open files, the limit here is ${openFilesLimit()}`);
  }
  const { child, lines } = swarm(5_000, 15, 1_000, token());
  await until('the upstream', () => lines[0]);
  const gateway = await startGateway({
    config: `workers = 2\n${authorities({ openai: Number(lines[0]) })}${poolKeys({ openai: 'sk-pool' })}${signingKeys()}`,
  });
  const idleBytes = gateway.rssBytes();
  child.stdin?.write(`${gateway.port}\n`);
  await until(
    'all to stream',
    async () => (await gateway.metrics()).get('ai_active_streams') === 5_000,
    60_000,
  );
  const each = (gateway.rssBytes() - idleBytes) / 5_000;
  process.stderr.write(`${(each / 1_024).toFixed(1)} KiB resident for each metered stream\n`);
  const result = await until('all to end', () => lines[1], 180_000);
  expect(JSON.parse(result)).toEqual({ exact: 5_000, wrong: 0, failed: 0 });
  await gateway.idle();
  await until('every fact', () => facts(gateway).length === 5_000);
  for (const fact of facts(gateway)) {
    expect(fact).toMatchObject({ usage_source: 'reported', input_tokens: 3, output_tokens: 4 });
  }
  await gateway.stop();
});

it('SIGTERM under 500 open streams lets all complete and exits 0', async () => {
  const { child, lines } = swarm(500, 10, 500);
  await until('the upstream', () => lines[0]);
  const gateway = await startGateway({
    config: `workers = 2\n${authorities({ openai: Number(lines[0]) })}`,
  });
  child.stdin?.write(`${gateway.port}\n`);
  await until(
    'all to stream',
    async () => (await gateway.metrics()).get('ai_active_streams') === 500,
  );
  gateway.signal('SIGTERM');
  const result = await until('all to end', () => lines[1], 60_000);
  expect(JSON.parse(result)).toEqual({ exact: 500, wrong: 0, failed: 0 });
  expect(await gateway.exited).toEqual({ code: 0, signal: null });
});

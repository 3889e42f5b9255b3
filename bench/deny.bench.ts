// The deny-set: how long a deny takes to hold everywhere, and what a million entries cost.
// npm run bench:deny   (needs nats-server; decides nothing)   A lookup alone: npm run bench:admission
import { mkdtempSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DenySet } from '../src/deny/deny-set.ts';
import { encodeSnapshot, readSnapshot, writeSnapshot } from '../src/deny/deny-snapshot.ts';
import { createDenyTable, DenyHalves } from '../src/deny/deny-table.ts';
import { until } from '../test/support/conditions.ts';
import { authorities, Gateway } from '../test/support/gateway.ts';
import { poolKeys, signingKeys, token } from '../test/support/managed.ts';
import { denyWriter, NATS_MISSING, startNats } from '../test/support/nats.ts';
import { RawClient } from '../test/support/raw-client.ts';
import { startUpstream } from '../test/support/scripted-upstream.ts';
import { commandLine } from './command-line.ts';
import { mebibytes, printTable, writeSection } from './results.ts';
import { median, percentile } from './statistics.ts';

commandLine('npm run bench:deny (takes no options)', {});

const MILLION = 1_000_000;
const CHANGES = 200;
/** Connections to each gateway, so that both of its workers are asked. */
const ASKERS = 8;

interface Finding {
  readonly name: string;
  readonly value: string;
}
const findings: Finding[] = [];

function say(name: string, value: string): void {
  findings.push({ name, value });
}

const mib = (bytes: number): string => `${mebibytes(bytes, 1)} MiB`;

function memory(): void {
  const half = new DenyHalves(createDenyTable()).active;
  const before = process.memoryUsage().rss;
  for (let id = 0; id < MILLION; id++) half.deny('tenant', id, 0, 'spend');
  say(`memory of ${MILLION} entries`, mib(process.memoryUsage().rss - before));
}

function millionSet() {
  const memory = createDenyTable();
  const set = new DenySet(memory);
  const rescan = set.rescan();
  for (let id = 0; id < MILLION; id++)
    rescan.apply({ kind: 'tenant', low: id, high: 0 }, { reason: 'spend', exp: 0 });
  rescan.commit();
  return set;
}

async function snapshotStart(): Promise<void> {
  const path = join(mkdtempSync(join(tmpdir(), 'sluice-bench-')), 'deny.snapshot');
  const set = millionSet();
  let began = performance.now();
  const cursor = { bucketCreated: 'x', revision: 1 };
  const bytes = encodeSnapshot({
    bucket: 'ai-gateway',
    cursor,
    records: set.records(),
    count: set.size,
  });
  await writeSnapshot(path, bytes);
  say(
    'a snapshot of a million entries, written',
    `${(performance.now() - began).toFixed(0)} ms, ${mib(statSync(path).size)}`,
  );
  began = performance.now();
  const snapshot = readSnapshot(path);
  say(
    'the same, read and checked',
    `${(performance.now() - began).toFixed(0)} ms, ${snapshot?.count} entries`,
  );
  for (const withSnapshot of [false, true]) {
    const times: number[] = [];
    for (let round = 0; round < 5; round++) {
      began = performance.now();
      const gateway = await new Gateway({
        config: `workers = 2\n${withSnapshot ? `snapshot_path = "${path}"\n` : ''}`,
      }).ready();
      times.push(performance.now() - began);
      await gateway.stop();
    }
    say(
      `start to listening, ${withSnapshot ? 'with that snapshot' : 'without'}`,
      `${median(times).toFixed(0)} ms`,
    );
  }
}

/** From the write's acknowledgement to the first refusal on the last of four workers. */
async function propagation(): Promise<void> {
  const nats = await startNats();
  const writer = await denyWriter(nats);
  const upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer('{}');
  });
  const gateways: Gateway[] = [];
  for (let i = 0; i < 2; i++) {
    gateways.push(
      await new Gateway({
        config: `workers = 2\nnats_url = "${nats.url}"\n${authorities({ openai: upstream.port })}${poolKeys({ openai: 'sk-pool' })}${signingKeys()}`,
      }).ready(),
    );
  }
  for (const gateway of gateways)
    await gateway.waitForLog(({ event }) => event === 'deny_set_synced');
  const clients = gateways.flatMap(({ port }) =>
    Array.from({ length: ASKERS }, () => new RawClient(port)),
  );
  const times: number[] = [];
  for (let id = 1; id <= CHANGES; id++) {
    const request = `POST /v1/chat/completions HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${token({ tenantId: BigInt(id) })}\r\nContent-Length: 2\r\n\r\n{}`;
    for (const client of clients) await client.send(request).response();
    const began = performance.now();
    await writer.tenant(id, 'fraud');
    await Promise.all(
      clients.map((client) =>
        until('403', async () => (await client.send(request).response()).status === 403),
      ),
    );
    times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  const at = (share: number): string => `${percentile(times, share).toFixed(0)} ms`;
  say(
    `a deny holds on 2 gateways of 2 workers (${CHANGES} times)`,
    `p50 ${at(0.5)}, p99 ${at(0.99)}, polled every 10 ms`,
  );
  for (const client of clients) client.close();
  for (const gateway of gateways) await gateway.stop();
  await writer.close();
  await nats.kill();
  await upstream.close();
}

memory();
await snapshotStart();
if (NATS_MISSING === null) await propagation();
else say('propagation', NATS_MISSING);
printTable(
  'The deny-set',
  [
    { title: '', cell: ({ name }) => name },
    { title: '', cell: ({ value }) => value },
  ],
  findings,
);
writeSection('deny', { rows: findings });
process.exit(0);

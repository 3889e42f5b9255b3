// What a relayed event costs, beside nginx: npm run bench:streams [-- --streams 500 --events 60 --gap 50 --rounds 3]
// Each round starts peer and swarm anew: many streams, events at a pace, each one checked. CPU from the kernel's
// accounting of the peer's process, from the moment when all streams are open to the end of the last one.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { until } from '../test/support/conditions.ts';
import { freePort } from '../test/support/free-port.ts';
import { authorities, ROOT } from '../test/support/gateway.ts';
import { poolKeys, signingKeys, token } from '../test/support/managed.ts';
import { cpuMicros, residentBytes } from './e2e/process-cpu.ts';

const { values } = parseArgs({
  options: {
    streams: { type: 'string', default: '500' },
    events: { type: 'string', default: '60' },
    gap: { type: 'string', default: '50' },
    rounds: { type: 'string', default: '3' },
  },
});
const STREAMS = Number(values.streams);
const EVENTS = Number(values.events);
const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

function run(
  command: string,
  args: readonly string[],
  out: number | 'pipe' = 'pipe',
): ChildProcess {
  const child = spawn(command, args, { stdio: ['pipe', out, 'inherit'] });
  running.add(child);
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  running.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

interface Peer {
  readonly name: string;
  /** A virtual key makes streams metered; empty for a key of the caller's own. */
  readonly key: string;
  readonly start: (port: number, upstream: number) => ChildProcess;
}

const nginx = (port: number, upstream: number): ChildProcess => {
  const file = join(folder, 'nginx.conf');
  writeFileSync(
    file,
    `worker_processes 1; daemon off; error_log ${folder}/nginx.log; pid ${folder}/nginx.pid;
events { worker_connections 16384; }
http {
  access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
  server { listen 127.0.0.1:${port} backlog=4096; location / {
    proxy_pass http://127.0.0.1:${upstream}; proxy_http_version 1.1; proxy_set_header connection ""; proxy_buffering off; proxy_read_timeout 600s;
  } }
}`,
  );
  return run('nginx', ['-c', file, '-p', folder]);
};

const sluice = (port: number, upstream: number): ChildProcess => {
  const file = join(folder, 'sluice.toml');
  writeFileSync(
    file,
    `listen = "127.0.0.1:${port}"\nmetrics_listen = "127.0.0.1:0"\nworkers = 1\nrate_limit_rps = 0\nbyo_rate_limit_rps = 0\n` +
      `${authorities({ openai: upstream })}${poolKeys({ openai: 'sk-pool' })}${signingKeys()}`,
  );
  const out = openSync(join(folder, 'sluice.log'), 'w');
  return run(process.execPath, [join(ROOT, 'src/main.ts'), 'serve', '--config', file], out);
};

const floor = (port: number, upstream: number): ChildProcess =>
  run(process.execPath, [join(ROOT, 'bench/e2e/floor.ts'), String(port), String(upstream)]);

const PEERS: readonly Peer[] = [
  { name: 'nginx', key: '', start: nginx },
  { name: 'bare uWS + undici', key: '', start: floor },
  { name: 'Sluice, own key', key: '', start: sluice },
  { name: 'Sluice, virtual key, metered', key: token(), start: sluice },
];

interface Sample {
  readonly cpuUs: number;
  readonly bytesPerStream: number;
}

async function measure({ key, start }: Peer): Promise<Sample> {
  const script = join(ROOT, 'test/support/stream-swarm.ts');
  const args = [STREAMS, EVENTS, Number(values.gap), key].map(String);
  const swarm = run(process.execPath, [script, ...args]);
  const lines: string[] = [];
  if (swarm.stdout !== null) createInterface(swarm.stdout).on('line', (line) => lines.push(line));
  const upstream = Number(await until('the swarm', () => lines[0]));
  const port = await freePort();
  const peer = start(port, upstream);
  const pid = peer.pid ?? 0;
  await until('the peer', async () => {
    const socket = connect(port, '127.0.0.1');
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    return isOpen;
  });
  const idle = residentBytes(pid);
  const before = cpuMicros(pid);
  swarm.stdin?.write(`${port}\n`);
  let most = idle;
  const result = await until(
    'all streams',
    () => {
      most = Math.max(most, residentBytes(pid));
      return lines[1];
    },
    120_000,
  );
  const cpuUs = (cpuMicros(pid) - before) / (STREAMS * EVENTS);
  const { exact } = JSON.parse(result) as { exact: number };
  if (exact !== STREAMS)
    throw new Error(`only ${exact} of ${STREAMS} streams were right: ${result}`);
  await stop(peer);
  await stop(swarm);
  return { cpuUs, bytesPerStream: (most - idle) / STREAMS };
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;

const samples = new Map<string, Sample[]>(PEERS.map(({ name }) => [name, []]));
for (let round = 0; round < Number(values.rounds); round++) {
  for (const peer of PEERS) samples.get(peer.name)?.push(await measure(peer));
}
const of = (name: string): readonly Sample[] => samples.get(name) ?? [];
process.stdout.write(
  `\n${STREAMS} streams, ${EVENTS} events each, one every ${values.gap} ms; opening and closing included\n${'peer'.padEnd(34)}${'CPU : nginx'.padStart(12)}${'spread'.padStart(16)}${'us an event'.padStart(13)}${'KiB a stream'.padStart(14)}\n`,
);
for (const { name } of PEERS) {
  const ratios = of(name).map(
    ({ cpuUs }, round) => cpuUs / (of('nginx')[round]?.cpuUs ?? Number.NaN),
  );
  const sorted = [...ratios].sort((a, b) => a - b);
  const spread = `${sorted[0]?.toFixed(2)} to ${sorted.at(-1)?.toFixed(2)}`;
  const us = median(of(name).map(({ cpuUs }) => cpuUs)).toFixed(1);
  const kib = (median(of(name).map(({ bytesPerStream }) => bytesPerStream)) / 1_024).toFixed(1);
  process.stdout.write(
    `${name.padEnd(34)}${median(ratios).toFixed(2).padStart(12)}${spread.padStart(16)}${us.padStart(13)}${kib.padStart(14)}\n`,
  );
}
process.exit(0);

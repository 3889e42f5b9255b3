// What a relayed request costs, beside what people use: npm run bench:e2e [-- --rounds 5 --seconds 3]
// One upstream (nginx, a static answer, never the bottleneck), one load generator (wrk), one peer after the other, round
// by round; CPU from the kernel's accounting of the peer's process. Medians, with the spread, and ratios to nginx.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, openSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { VERSION } from '../src/control/version.ts';
import { until } from '../test/support/conditions.ts';
import { freePort } from '../test/support/free-port.ts';
import { authorities, ROOT } from '../test/support/gateway.ts';
import { poolKeys, signingKeys, token } from '../test/support/managed.ts';
import { cpuMicros, residentBytes } from './e2e/process-cpu.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '32' },
  },
});
const ROUNDS = Number(values.rounds);
const SECONDS = Number(values.seconds);
const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'));

/** 1 KB up, 0.7 KB down, as the brief's target has it. */
const REQUEST = JSON.stringify({
  model: 'gpt-5-mini',
  messages: [{ role: 'user', content: 'What did the river say to the stone? '.repeat(25) }],
});
const ANSWER = JSON.stringify({
  id: 'chatcmpl-C1hKpZ5vXyT9qLw2',
  object: 'chat.completion',
  created: 1_767_225_600,
  model: 'gpt-5-mini-2025-08-07',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: 'It said that it would be back. '.repeat(11) },
      finish_reason: 'stop',
    },
  ],
  usage: { prompt_tokens: 231, completion_tokens: 88, total_tokens: 319 },
});

interface Peer {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
  readonly key: string;
}

interface Sample {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuUs: number;
  readonly rssBytes: number;
}

const has = (command: string): boolean => spawnSync('which', [command]).status === 0;
const children: ChildProcess[] = [];
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

function run(command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return child;
}

async function listening(port: number): Promise<void> {
  await until(`port ${port}`, async () => {
    const socket = connect(port, '127.0.0.1');
    const isOpen = await Promise.race([
      once(socket, 'connect').then(
        () => true,
        () => false,
      ),
    ]);
    socket.destroy();
    return isOpen;
  });
}

async function nginx(name: string, port: number, location: string, extra = ''): Promise<number> {
  const file = join(folder, `${name}.conf`);
  writeFileSync(
    file,
    `worker_processes 1; daemon off; error_log ${folder}/${name}.log; pid ${folder}/${name}.pid;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; client_body_buffer_size 64k;
  client_body_temp_path ${folder}/${name}-body; proxy_temp_path ${folder}/${name}-proxy;
  fastcgi_temp_path ${folder}/${name}-f; uwsgi_temp_path ${folder}/${name}-u; scgi_temp_path ${folder}/${name}-s;
  ${extra}
  server { listen 127.0.0.1:${port}; location / { ${location} } }
}`,
  );
  const child = run('nginx', ['-c', file, '-p', folder]);
  await listening(port);
  return child.pid ?? 0;
}

async function haproxy(port: number, upstream: number): Promise<number> {
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(
    file,
    `global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  server s 127.0.0.1:${upstream}
`,
  );
  const child = run('haproxy', ['-f', file, '-db']);
  await listening(port);
  return child.pid ?? 0;
}

/** Its facts go into a file: who reads them is not what is measured, and would take a core of this machine. */
async function sluice(port: number, upstream: number, workers: number): Promise<number> {
  const file = join(folder, `sluice-${workers}.toml`);
  writeFileSync(
    file,
    `listen = "127.0.0.1:${port}"\nmetrics_listen = "127.0.0.1:${await freePort()}"\nworkers = ${workers}\n` +
      `rate_limit_rps = 1000000\nbyo_rate_limit_rps = 1000000\n${authorities({ openai: upstream })}` +
      `${poolKeys({ openai: 'sk-pool' })}${signingKeys()}`,
  );
  const out = openSync(join(folder, `sluice-${workers}.log`), 'w');
  const args = [join(ROOT, 'src/main.ts'), 'serve', '--config', file];
  const child = spawn(process.execPath, args, { stdio: ['ignore', out, 'inherit'] });
  children.push(child);
  await listening(port);
  return child.pid ?? 0;
}

/** wrk posts the request over kept connections, as fast as answers come. */
async function load({ port, key }: Peer): Promise<Omit<Sample, 'cpuUs' | 'rssBytes'>> {
  const script = join(folder, 'post.lua');
  writeFileSync(
    script,
    `wrk.method = "POST"; wrk.path = "/v1/chat/completions"; wrk.body = [==[${REQUEST}]==]
wrk.headers["content-type"] = "application/json"; wrk.headers["authorization"] = "Bearer ${key}"
done = function(summary, latency, requests)
  if summary.errors.status > 0 then io.write("ERRORS " .. summary.errors.status .. "\\n") end
  io.write(string.format("RESULT %d %f %f %f\\n", summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end`,
  );
  const args = ['-t1', `-c${values.connections}`, `-d${SECONDS}s`, '-s', script];
  const child = run('wrk', [...args, `http://127.0.0.1:${port}`]);
  let text = '';
  child.stdout?.on('data', (data: Buffer) => {
    text += data.toString();
  });
  await once(child, 'exit');
  const [, requests, seconds, p50, p99] =
    /RESULT (\S+) (\S+) (\S+) (\S+)/.exec(text)?.map(Number) ?? [];
  if (requests === undefined || seconds === undefined || text.includes('ERRORS'))
    throw new Error(`wrk failed: ${text}`);
  return {
    requests,
    perSecond: requests / seconds,
    p50Ms: p50 ?? Number.NaN,
    p99Ms: p99 ?? Number.NaN,
  };
}

async function measure(peer: Peer): Promise<Sample> {
  const before = cpuMicros(peer.pid);
  const result = await load(peer);
  const cpuUs = (cpuMicros(peer.pid) - before) / result.requests;
  return { ...result, cpuUs, rssBytes: residentBytes(peer.pid) };
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;

async function main(): Promise<void> {
  for (const needed of ['nginx', 'wrk']) {
    if (!has(needed)) throw new Error(`bench:e2e needs ${needed}: apt-get install ${needed}`);
  }
  const upstream = await freePort();
  await nginx(
    'upstream',
    upstream,
    `default_type application/json; return 200 '${ANSWER.replaceAll("'", '')}';`,
  );
  const peers: Peer[] = [{ name: 'direct', port: upstream, pid: 0, key: 'sk-own' }];
  const nginxPort = await freePort();
  const nginxPid = await nginx(
    'proxy',
    nginxPort,
    'proxy_pass http://u; proxy_http_version 1.1; proxy_set_header connection ""; proxy_buffering off; proxy_request_buffering off;',
    `upstream u { server 127.0.0.1:${upstream}; keepalive 256; keepalive_requests 100000000; }`,
  );
  peers.push({ name: 'nginx', port: nginxPort, pid: nginxPid, key: 'sk-own' });
  if (has('haproxy')) {
    const port = await freePort();
    peers.push({ name: 'haproxy', port, pid: await haproxy(port, upstream), key: 'sk-own' });
  } else process.stdout.write('haproxy is not there\n');
  const floorPort = await freePort();
  const floor = run(process.execPath, [
    join(ROOT, 'bench/e2e/floor.ts'),
    String(floorPort),
    String(upstream),
  ]);
  await listening(floorPort);
  peers.push({ name: 'bare uWS + undici', port: floorPort, pid: floor.pid ?? 0, key: 'sk-own' });
  for (const workers of [1, 2]) {
    const port = await freePort();
    const pid = await sluice(port, upstream, workers);
    const suffix = `${workers} worker${workers > 1 ? 's' : ''}`;
    peers.push({ name: `Sluice, own key, ${suffix}`, port, pid, key: 'sk-own' });
    peers.push({ name: `Sluice, virtual key, metered, ${suffix}`, port, pid, key: token() });
  }
  for (const peer of peers) await load(peer);

  const samples = new Map<string, Sample[]>(peers.map(({ name }) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const peer of peers) samples.get(peer.name)?.push(await measure(peer));
  }
  const of = (name: string, field: keyof Sample): readonly number[] =>
    (samples.get(name) ?? []).map((sample) => sample[field]);
  // Round by round: a busy machine slows both.
  const ratios = (name: string): readonly number[] =>
    of(name, 'cpuUs').map((us, round) => us / (of('nginx', 'cpuUs')[round] ?? Number.NaN));
  const rows = peers.map(({ name, pid }) => {
    const all = pid === 0 ? [] : [...ratios(name)].sort((a, b) => a - b);
    return {
      name,
      cpuToNginx: pid === 0 ? null : median(all),
      spread: pid === 0 ? null : [all[0] ?? null, all.at(-1) ?? null],
      cpuUs: pid === 0 ? null : median(of(name, 'cpuUs')),
      perSecond: median(of(name, 'perSecond')),
      p50Ms: median(of(name, 'p50Ms')),
      p99Ms: median(of(name, 'p99Ms')),
      rssMiB: median(of(name, 'rssBytes')) / 1_048_576,
    };
  });
  process.stdout.write(
    `\nJSON, ${REQUEST.length} bytes up, ${ANSWER.length} down, ${values.connections} connections, ${ROUNDS} rounds of ${SECONDS} s\n` +
      `${'peer'.padEnd(44)}${'CPU : nginx'.padStart(12)}${'spread'.padStart(14)}${'CPU us'.padStart(9)}${'req/s'.padStart(9)}${'p50 ms'.padStart(9)}${'p99 ms'.padStart(9)}${'RSS MiB'.padStart(9)}\n`,
  );
  const cell = (value: number | null, digits: number, width: number): string =>
    (value === null ? '-' : value.toFixed(digits)).padStart(width);
  for (const row of rows) {
    const spread =
      row.spread === null ? '-' : row.spread.map((value) => value?.toFixed(2)).join(' to ');
    process.stdout.write(
      `${row.name.padEnd(44)}${cell(row.cpuToNginx, 2, 12)}${spread.padStart(14)}${cell(row.cpuUs, 1, 9)}${cell(row.perSecond, 0, 9)}${cell(row.p50Ms, 2, 9)}${cell(row.p99Ms, 2, 9)}${cell(row.rssMiB, 0, 9)}\n`,
    );
  }
  const results = join(ROOT, 'bench/results');
  if (!existsSync(results)) mkdirSync(results);
  const nginxVersion = execFileSync('nginx', ['-v'], { stdio: 'pipe' }).toString();
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
  writeFileSync(
    join(results, 'latest.json'),
    `${JSON.stringify({ date: new Date().toISOString(), sluice: VERSION, machine, nginxVersion, rounds: ROUNDS, seconds: SECONDS, rows }, null, 2)}\n`,
  );
}

await main();
process.exit(0);

// The whole thing for a while, and what grows: npm run soak [-- --minutes 30 --seed N --rate 60 --out FOLDER]
// One gateway of two workers, a nats-server, providers and clients, each a process of its own; mixed traffic, aborts,
// faults, reloads, restarts. Exits with 1 and says why when something grew, a fact is missing or untrue, or a byte is wrong.
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { VERSION } from '../src/version.ts';
import { ROOT } from '../test/support/gateway.ts';
import { NATS_MISSING } from '../test/support/nats.ts';
import { commandLine, giveUp, positive } from './command-line.ts';
import { curve } from './soak/curve.ts';
import { runSoak, type SoakResult } from './soak/run.ts';
import type { Sample } from './soak/sample.ts';
import { median } from './soak/trend.ts';

const USAGE =
  'npm run soak -- [--minutes 30] [--seed N] [--rate 60 (orders a second)] [--out FOLDER]';
const values = commandLine(USAGE, {
  minutes: { type: 'string', default: '30' },
  seed: { type: 'string', default: String(1 + Math.floor(Math.random() * 1e9)) },
  rate: { type: 'string', default: '60' },
  out: { type: 'string', default: join(ROOT, 'bench/results') },
});
const minutes = positive('--minutes', values.minutes, USAGE);
const seed = positive('--seed', values.seed, USAGE);
const rate = positive('--rate', values.rate, USAGE);
if (NATS_MISSING !== null) giveUp(`soak: ${NATS_MISSING}: apt-get install nats-server`);

// What was started is taken down by what runs at an exit, which a signal alone does not bring about.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const print = (text: string): void => void process.stdout.write(`${text}\n`);
const COLUMNS: readonly (readonly [string, number, (sample: Sample) => string])[] = [
  ['min', 6, ({ seconds }) => (seconds / 60).toFixed(1)],
  ['RSS MiB', 9, ({ rssMiB }) => rssMiB.toFixed(1)],
  ['fds', 6, ({ fds }) => String(fds)],
  ['in flight', 11, ({ inFlight }) => String(inFlight)],
  ['streams', 9, ({ streams }) => String(streams)],
  ['req/s', 7, ({ requestsPerSecond }) => requestsPerSecond.toFixed(0)],
  ['facts/s', 9, ({ factsPerSecond }) => factsPerSecond.toFixed(0)],
  ['CPU us/req', 12, ({ cpuUsPerRequest }) => cpuUsPerRequest.toFixed(0)],
  ['p50 ms', 8, ({ trivialP50Ms }) => trivialP50Ms.toFixed(1)],
  ['p99 ms', 8, ({ trivialP99Ms }) => trivialP99Ms.toFixed(1)],
  ['refused', 9, ({ rejections }) => String(rejections)],
  ['left', 6, ({ clientsGone }) => String(clientsGone)],
  ['cut', 5, ({ upstreamErrors }) => String(upstreamErrors)],
];

/** The run in words, for whoever has no picture. */
function inWords({ samples, growth, totals }: SoakResult): string {
  const watched = samples.filter(({ seconds }) => seconds >= growth.fromSeconds);
  const mid = (of: (sample: Sample) => number): string => median(watched.map(of)).toFixed(1);
  const most = (of: (sample: Sample) => number): string => Math.max(...watched.map(of)).toFixed(1);
  const first = samples[0]?.rssMiB.toFixed(1) ?? '-';
  const rise = `${growth.rssRiseMiB.toFixed(1)} MiB by its slope`;
  return (
    `Resident memory: ${first} MiB in the first sample; behind the warm-up (${(growth.fromSeconds / 60).toFixed(1)} min) ` +
    `median ${mid(({ rssMiB }) => rssMiB)}, most ${most(({ rssMiB }) => rssMiB)}, risen by ${rise}.\n` +
    `Descriptors: median ${mid(({ fds }) => fds)}, most ${most(({ fds }) => fds)}. ` +
    `Trivial request: p50 ${mid(({ trivialP50Ms }) => trivialP50Ms)} ms, p99 ${mid(({ trivialP99Ms }) => trivialP99Ms)} ms (median of the samples), worst sample ${most(({ trivialP99Ms }) => trivialP99Ms)} ms.\n` +
    `CPU time: ${mid(({ cpuUsPerRequest }) => cpuUsPerRequest)} us a request, risen by ${(growth.cpuRise * 100).toFixed(0)} %.\n` +
    Object.entries(totals)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ') +
    (growth.unjudged === null ? '' : `\nGrowth was not judged: ${growth.unjudged}.`)
  );
}

function write(result: SoakResult, seconds: number): void {
  const folder = values.out;
  mkdirSync(folder, { recursive: true });
  const { faultCount, samples, marks, growth } = result;
  const verdict = faultCount === 0 ? 'passed' : 'FAILED';
  const caption = `Sluice soak: ${minutes} min at ${rate} orders/s, seed ${seed}, ${verdict}`;
  writeFileSync(join(folder, 'soak.svg'), curve(samples, marks, growth.fromSeconds, caption));
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
  const about = { date: new Date().toISOString(), sluice: VERSION, machine, minutes, seed, rate };
  const json = JSON.stringify({ ...about, seconds, ...result }, null, 1);
  writeFileSync(join(folder, 'soak.json'), `${json}\n`);
  print(`\nThe curve is in ${join(folder, 'soak.svg')}, its numbers are beside it in soak.json.`);
}

const within = (least: number, value: number, most: number): number =>
  Math.min(most, Math.max(least, value));
print(`soak: ${minutes} min, --seed ${seed}, --rate ${rate}`);
print(COLUMNS.map(([name, width]) => name.padStart(width)).join(''));
const startedMs = performance.now();
const result = await runSoak({
  minutes,
  seed,
  rate,
  sampleEverySeconds: within(2, minutes, 15),
  disturbEverySeconds: within(3, (minutes * 60) / 24, 45),
  onSample: (sample) => print(COLUMNS.map(([, width, of]) => of(sample).padStart(width)).join('')),
  onMark: ({ seconds, name }) => print(`${(seconds / 60).toFixed(1).padStart(6)}  ${name}`),
});
print(`\n${inWords(result)}`);
write(result, (performance.now() - startedMs) / 1_000);
for (const fault of result.faults) print(`FAULT ${fault}`);
print(
  result.faultCount === 0
    ? 'PASSED: nothing grew, every fact is there and true, every byte is right.'
    : `FAILED: ${result.faultCount} faults, the first ones above.`,
);
process.exit(result.faultCount === 0 ? 0 : 1);

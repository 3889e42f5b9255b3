// What a relayed request costs, beside what people use: npm run bench:e2e [-- --quick --rounds 5 --seconds 3]
// One upstream that is never the bottleneck, one peer after the other, round by round. Twice in each round: as fast as
// answers come (CPU, requests per second), and at a constant rate (latency, from the moment when a request was due).
import { freePort } from '../test/support/free-port.ts';
import { CHAT_ANSWER, CHAT_PATH, CHAT_REQUEST, CHAT_STREAM, MODEL, requestFor } from './chat.ts';
import {
  callersFile,
  cpuOf,
  flood,
  JsonLoad,
  type OpenLoopResult,
  type Requests,
  warm,
} from './load.ts';
import { startStaticUpstream } from './peers/nginx.ts';
import { FLOOR, lanes, NGINX, otherPeers, type Peer, RELAYED, sluice } from './peers/peer.ts';
import { needCommands, type Running } from './peers/processes.ts';
import { residentBytes } from './process-cpu.ts';
import { fixed, mebibytes, printTable, ranged, writeSection } from './results.ts';
import { extent, interleaved } from './rounds.ts';
import { differences, median, ratios, type Spread, spread } from './statistics.ts';

const { quick, rounds, seconds } = extent({ rounds: 4, seconds: 2 }, { rounds: 2, seconds: 1 });
const CONNECTIONS = 32;
/** Far below what any peer but Portkey can do, so that no queue of its own making is measured. */
const RATE = 2_000;
/** What a peer that cannot do twice that rate is asked for instead: the first that is at most half of what it can. */
const LOWER_RATES = [1_000, 500, 200, 100, 50];

/** A peer that runs. `running` is null for no peer at all: the upstream itself. */
interface Row {
  readonly name: string;
  readonly peer: Peer | null;
  readonly running: Running | null;
  readonly requests: Requests;
  readonly load: JsonLoad;
  readonly caller: readonly [path: string, key: string];
  rate: number;
}

interface Sample {
  readonly cpuUs: number;
  readonly perSecond: number;
  readonly rssBytes: number;
  /** By rate; the upstream itself is asked at each rate that any peer is asked at. */
  readonly open: ReadonlyMap<number, OpenLoopResult>;
}

async function begin(
  name: string,
  peer: Peer | null,
  upstream: number,
  stream = false,
): Promise<Row> {
  const port = peer === null ? upstream : await freePort();
  const running = peer === null ? null : await peer.start(port, upstream);
  const body = requestFor(peer?.model ?? MODEL, stream);
  const requests = { port, fields: peer?.fields(upstream) ?? '', body };
  const load = new JsonLoad();
  const caller = [peer?.path ?? CHAT_PATH, peer?.key ?? 'sk-own'] as const;
  await load.target(requests, callersFile(`caller-${port}`, [caller]));
  const { perSecond } = await warm(running?.pid ?? process.pid, async () => {
    const { requests: units, perSecond } = await flood(requests, caller, CONNECTIONS, 1);
    return { units, perSecond };
  });
  const lower = LOWER_RATES.find((rate) => rate * 2 <= perSecond) ?? 20;
  return {
    name,
    peer,
    running,
    requests,
    load,
    caller,
    rate: perSecond >= 2 * RATE ? RATE : lower,
  };
}

async function measure(row: Row, rates: readonly number[]): Promise<Sample> {
  const { running, requests, load, peer, caller } = row;
  const pid = running?.pid ?? process.pid;
  const { cpuUs, result } = await cpuOf(pid, () => flood(requests, caller, CONNECTIONS, seconds));
  const open = new Map<number, OpenLoopResult>();
  for (const rate of peer === null ? rates : [row.rate]) {
    await load.connect(CONNECTIONS);
    const answers = await load.open(rate, seconds);
    if (answers.refused + answers.broken + answers.unanswered > 0)
      throw new Error(`${row.name} at ${rate}/s: ${JSON.stringify(answers)}`);
    open.set(rate, answers);
  }
  return {
    cpuUs: cpuUs / result.requests,
    perSecond: result.perSecond,
    rssBytes: residentBytes(pid),
    open,
  };
}

async function main(): Promise<void> {
  needCommands('nginx', 'wrk');
  const upstream = await freePort();
  await startStaticUpstream(upstream, CHAT_ANSWER);
  const peers = [...otherPeers(), FLOOR];
  for (const workers of [1, 2]) peers.push(sluice('BYO', workers), sluice('managed', workers));
  const results = await compared([...peers, ...lanes(1)], upstream, false);
  print(results, 'JSON', CHAT_ANSWER.length);
  const streams = await freePort();
  await startStaticUpstream(streams, CHAT_STREAM, 'text/event-stream');
  const streamed = await compared([NGINX, ...lanes(1)], streams, true);
  print(streamed, 'Time to first content of a stream that is written at once', CHAT_STREAM.length);
  const extents = { quick, rounds, seconds, connections: CONNECTIONS };
  writeSection('e2e', { ...extents, rows: results, streamed });
}

async function compared(
  peers: readonly Peer[],
  upstream: number,
  stream: boolean,
): Promise<readonly Summary[]> {
  const rows = [await begin('direct', null, upstream, stream)];
  for (const peer of peers) rows.push(await begin(peer.name, peer, upstream, stream));
  const rates = [...new Set(rows.map(({ rate }) => rate))];
  const samples = await interleaved(rounds, rows, (row) => measure(row, rates));
  for (const { load, running } of rows) {
    await load.stop();
    await running?.stop();
  }
  return rows.map((row) => summary(row, rows, samples));
}

interface Summary {
  readonly name: string;
  readonly cpuToNginx: Spread | null;
  /** Of the metered rows alone. */
  readonly cpuToRelayed: Spread | null;
  readonly cpuUs: Spread | null;
  readonly perSecond: number;
  readonly rate: number;
  /** Milliseconds more than the upstream itself took in the same round; for that row, what it took. */
  readonly p50Ms: Spread;
  readonly p99Ms: Spread;
  readonly p999Ms: Spread;
  readonly rssBytes: number | null;
  /** How late the generator itself was. */
  readonly generatorLateMs: number;
}

function summary(
  row: Row,
  rows: readonly Row[],
  samples: ReadonlyMap<Row, readonly Sample[]>,
): Summary {
  const of = (one: Row | undefined): readonly Sample[] =>
    (one === undefined ? undefined : samples.get(one)) ?? [];
  const cpu = (one: Row | undefined): readonly number[] => of(one).map(({ cpuUs }) => cpuUs);
  const direct = rows.find(({ peer }) => peer === null);
  const open = (one: Row | undefined, field: keyof OpenLoopResult): readonly number[] =>
    of(one).map((sample) => sample.open.get(row.rate)?.[field] ?? Number.NaN);
  const added = (field: keyof OpenLoopResult): Spread =>
    row.peer === null
      ? spread(open(row, field))
      : differences(open(row, field), open(direct, field));
  const yardstick = cpu(rows.find(({ peer }) => peer === NGINX));
  const isMetered = row.peer?.name.startsWith('Sluice') === true && !row.name.includes('BYO');
  const relayed = cpu(rows.find(({ name }) => name.startsWith(RELAYED)));
  return {
    name: row.name,
    cpuToNginx: row.peer === null ? null : ratios(cpu(row), yardstick),
    cpuToRelayed: isMetered ? ratios(cpu(row), relayed) : null,
    cpuUs: row.peer === null ? null : spread(cpu(row)),
    perSecond: median(of(row).map(({ perSecond }) => perSecond)),
    rate: row.rate,
    p50Ms: added('p50Ms'),
    p99Ms: added('p99Ms'),
    p999Ms: added('p999Ms'),
    rssBytes: row.peer === null ? null : median(of(row).map(({ rssBytes }) => rssBytes)),
    generatorLateMs: median(open(row, 'lateMs')),
  };
}

function print(results: readonly Summary[], what: string, answerBytes: number): void {
  const sign = (row: Summary, value: Spread): string =>
    (row.cpuUs === null || value.median < 0 ? '' : '+') + fixed(value.median, 2);
  printTable(
    `${what}, ${CHAT_REQUEST.length} bytes up, ${answerBytes} down, ${CONNECTIONS} connections, ${rounds} rounds.\n` +
      `Latency at a constant rate, more than direct (that row: as it is); each figure is the median of its rounds.`,
    [
      { title: 'peer', cell: ({ name }) => name },
      { title: 'CPU : nginx', cell: ({ cpuToNginx }) => ranged(cpuToNginx, 2) },
      { title: 'CPU : relay', cell: ({ cpuToRelayed }) => ranged(cpuToRelayed, 2) },
      { title: 'CPU us', cell: ({ cpuUs }) => fixed(cpuUs?.median, 1) },
      { title: 'req/s', cell: ({ perSecond }) => fixed(perSecond, 0) },
      { title: 'at /s', cell: ({ rate }) => String(rate) },
      { title: 'p50 ms', cell: (row) => sign(row, row.p50Ms) },
      { title: 'p99 ms', cell: (row) => sign(row, row.p99Ms) },
      { title: 'p99.9 ms', cell: (row) => sign(row, row.p999Ms) },
      { title: 'RSS MiB', cell: ({ rssBytes }) => mebibytes(rssBytes) },
    ],
    results,
  );
}

await main();
process.exit(0);

// What a MiB of a body costs, beside what people use: npm run bench:bodies [-- --quick --rounds 3 --seconds 1]
// Up: a request with a picture in it, read to its end upstream and answered with 1 KB. Down: a small request, and an
// answer of that size. Metered callers have both scanned.
import { freePort } from '../test/support/free-port.ts';
import { answerOf, CHAT_ANSWER, CHAT_PATH, CHAT_REQUEST, requestOf } from './chat.ts';
import { BodyUpstream, callersFile, cpuOf, JsonLoad, warm } from './load.ts';
import { NGINX, otherPeers, type Peer, PORTKEY, sluice } from './peers/peer.ts';
import { needCommands, type Running } from './peers/processes.ts';
import { residentBytes } from './process-cpu.ts';
import { mebibytes, printTable, ranged, writeSection } from './results.ts';
import { extent, interleaved } from './rounds.ts';
import { median, ratios, type Spread, spread } from './statistics.ts';

const { quick, rounds, seconds } = extent({ rounds: 3, seconds: 1 }, { rounds: 2, seconds: 0.5 });
const MIB = 1_048_576;
const CONNECTIONS = 4;
const WARM_SECONDS = 0.5;

interface Kind {
  readonly name: string;
  readonly mebibytes: number;
  readonly request: string;
  readonly answer: string;
}
const KINDS: readonly Kind[] = [1, 64].flatMap((size) => [
  { name: `up ${size} MiB`, mebibytes: size, request: requestOf(size * MIB), answer: CHAT_ANSWER },
  {
    name: `down ${size} MiB`,
    mebibytes: size,
    request: CHAT_REQUEST,
    answer: answerOf(size * MIB),
  },
]);

interface Row {
  readonly peer: Peer;
  readonly running: Running;
  readonly port: number;
  readonly fields: string;
  readonly callers: string;
}

async function begin(peer: Peer, upstream: number): Promise<Row> {
  const port = await freePort();
  const running = await peer.start(port, upstream);
  const callers = callersFile(`caller-${port}`, [[CHAT_PATH, peer.key]]);
  return { peer, running, port, fields: peer.fields(upstream), callers };
}

interface Sample {
  readonly cpuUsPerMiB: number;
  readonly mibPerSecond: number;
  readonly rssBytes: number;
}

/** Fresh connections, since peers close those that wait for their turn. */
async function aim(row: Row, kind: Kind): Promise<void> {
  const { port, fields, callers } = row;
  await load.target({ port, fields, body: kind.request }, callers);
  await load.connect(CONNECTIONS);
}

async function warmUp(row: Row, kind: Kind): Promise<void> {
  await aim(row, kind);
  await warm(row.running.pid, async () => {
    const { answered } = await load.closed({ seconds: WARM_SECONDS });
    return { units: answered };
  });
}

async function measure(row: Row, kind: Kind): Promise<Sample> {
  const { running, peer } = row;
  await aim(row, kind);
  const { cpuUs, result } = await cpuOf(running.pid, () => load.closed({ seconds }));
  if (result.refused > 0) throw new Error(`${peer.name} refused ${kind.name}`);
  const moved = result.answered * kind.mebibytes;
  return {
    cpuUsPerMiB: cpuUs / moved,
    mibPerSecond: moved / result.seconds,
    rssBytes: residentBytes(running.pid),
  };
}

interface BodyCost {
  readonly kind: string;
  readonly name: string;
  readonly cpuToNginx: Spread;
  readonly cpuUsPerMiB: Spread;
  readonly mibPerSecond: number;
  /** At the end of each round; it never goes back, so larger kinds come last. */
  readonly rssBytes: number;
}

needCommands('nginx');
const upstream = new BodyUpstream();
const upstreamPort = await upstream.listen();
const load = new JsonLoad();
const rows: Row[] = [];
for (const peer of [...otherPeers(), sluice('BYO', 1), sluice('managed', 1)])
  rows.push(await begin(peer, upstreamPort));

async function costs(kind: Kind, rows: readonly Row[]): Promise<readonly BodyCost[]> {
  await upstream.answer(kind.answer);
  for (const row of rows) await warmUp(row, kind);
  const samples = await interleaved(rounds, rows, (row) => measure(row, kind));
  const of = (row: Row | undefined, field: keyof Sample): readonly number[] =>
    ((row === undefined ? undefined : samples.get(row)) ?? []).map((sample) => sample[field]);
  const nginx = of(
    rows.find(({ peer }) => peer === NGINX),
    'cpuUsPerMiB',
  );
  return rows.map((row) => ({
    kind: kind.name,
    name: row.peer.name,
    cpuToNginx: ratios(of(row, 'cpuUsPerMiB'), nginx),
    cpuUsPerMiB: spread(of(row, 'cpuUsPerMiB')),
    mibPerSecond: median(of(row, 'mibPerSecond')),
    rssBytes: median(of(row, 'rssBytes')),
  }));
}

const results: BodyCost[] = [];
for (const kind of KINDS) {
  // It makes objects of a body: 2 s of its CPU for each of 64 MiB, and 1.6 GB of memory.
  const able = rows.filter(({ peer }) => peer !== PORTKEY || kind.mebibytes === 1);
  const found = await costs(kind, able);
  results.push(...found);
  printTable(
    `Bodies, ${kind.name}, ${CONNECTIONS} connections, ${rounds} rounds of ${seconds} s`,
    [
      { title: 'peer', cell: ({ name }) => name },
      { title: 'CPU : nginx', cell: ({ cpuToNginx }) => ranged(cpuToNginx, 2) },
      { title: 'CPU us a MiB', cell: ({ cpuUsPerMiB }) => cpuUsPerMiB.median.toFixed(0) },
      { title: 'MiB/s', cell: ({ mibPerSecond }) => mibPerSecond.toFixed(0) },
      { title: 'RSS MiB', cell: ({ rssBytes }) => mebibytes(rssBytes) },
    ],
    found,
  );
}
writeSection('bodies', { quick, rounds, seconds, connections: CONNECTIONS, rows: results });
process.exit(0);

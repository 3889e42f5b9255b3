// What a relayed event costs, beside what people use: npm run bench:streams [-- --quick --rounds 8 --seconds 3]
// Many streams, events in turn at a constant rate, so that they come one by one and not in bursts. First CPU and delay:
// all peers hold their streams open, and are measured in turn. Then memory: fresh peers, one at a time.
import { pause } from '../test/support/conditions.ts';
import { freePort } from '../test/support/free-port.ts';
import { cpuOf, StreamLoad, type StreamRun, warm } from './load.ts';
import { FLOOR, NGINX, otherPeers, type Peer, sluice } from './peers/peer.ts';
import { needCommands, type Running } from './peers/processes.ts';
import { residentBytes } from './process-cpu.ts';
import { fixed, printTable, ranged, writeSection } from './results.ts';
import { extent, interleaved } from './rounds.ts';
import { differences, median, ratios, type Spread, spread } from './statistics.ts';

const { quick, rounds, seconds } = extent({ rounds: 4, seconds: 2 }, { rounds: 2, seconds: 1 });
const STREAMS = 500;
/** Over all streams: 20 a second each. */
const EVENTS_PER_SECOND = 10_000;
/** Streams opened and ended in each round, for what that alone costs. */
const OPENED = 300;
const OPEN_STREAMS = quick ? [1_000] : [1_000, 5_000];
/** Streams opened and closed before memory is first looked at, so that what a process grows to anyway is not counted. */
const WARM_STREAMS = 200;
const HOLD_SECONDS = 2;
const SAMPLE_MS = 100;

interface Row {
  readonly port: number;
  readonly name: string;
  readonly peer: Peer | null;
  readonly running: Running | null;
  readonly load: StreamLoad;
}

/** @param peer null for the client and the upstream with nothing between them */
async function begin(peer: Peer | null): Promise<Row> {
  const load = new StreamLoad();
  const upstream = await load.listen();
  const port = peer === null ? upstream : await freePort();
  const running = peer === null ? null : await peer.start(port, upstream);
  return { port, name: peer?.name ?? 'direct', peer, running, load };
}

async function beginOpen(peer: Peer | null): Promise<Row> {
  const row = await begin(peer);
  await row.load.open(row.port, peer, STREAMS);
  await warm(row.running?.pid ?? process.pid, async () => {
    const { events } = await row.load.run(EVENTS_PER_SECOND, 1);
    return { units: events };
  });
  return row;
}

async function stop({ load, running }: Row): Promise<void> {
  await load.stop();
  await running?.stop();
}

interface Sample extends StreamRun {
  readonly cpuUs: number;
}

async function measure({ load, running }: Row): Promise<Sample> {
  const { cpuUs, result } = await cpuOf(running?.pid ?? process.pid, () =>
    load.run(EVENTS_PER_SECOND, seconds),
  );
  return { ...result, cpuUs: cpuUs / result.events };
}

/** Microseconds of CPU for a whole stream of one event: connection, request, head, event, end. */
async function openingUs(row: Row): Promise<number> {
  const { cpuUs } = await cpuOf(row.running?.pid ?? process.pid, () => opened(row));
  return cpuUs / OPENED;
}

async function opened({ load, port, peer }: Row): Promise<void> {
  await load.open(port, peer, OPENED);
  await load.close();
}

interface EventCost {
  readonly name: string;
  readonly cpuToNginx: Spread | null;
  readonly cpuUs: Spread | null;
  /** Milliseconds from the upstream's write to the client's read, more than with nothing between; direct: as it is. */
  readonly p50Ms: Spread;
  readonly p99Ms: Spread;
  /** Of a stream of one event; as a ratio to nginx, and in microseconds. */
  readonly openingToNginx: Spread | null;
  readonly openingUs: Spread | null;
}

async function events(peers: readonly Peer[]): Promise<readonly EventCost[]> {
  const rows: Row[] = [];
  for (const peer of [null, ...peers]) rows.push(await beginOpen(peer));
  const samples = await interleaved(rounds, rows, measure);
  for (const row of rows) await row.load.close();
  for (const row of rows) {
    // Opened a few hundred times, a gateway still runs code that nothing has optimised: 0.3 ms in place of 0.1.
    await warm(row.running?.pid ?? process.pid, async () => {
      await opened(row);
      return { units: OPENED };
    });
  }
  const openings = await interleaved(rounds, rows, openingUs);
  for (const row of rows) await stop(row);
  const of = (row: Row | undefined, field: keyof Sample): readonly number[] =>
    ((row === undefined ? undefined : samples.get(row)) ?? []).map((sample) => sample[field]);
  const [direct] = rows;
  const yardstick = rows.find(({ peer }) => peer === NGINX);
  const opening = (row: Row | undefined): readonly number[] =>
    (row === undefined ? undefined : openings.get(row)) ?? [];
  return rows.map((row) => {
    const delay = (field: 'p50Ms' | 'p99Ms'): Spread =>
      row === direct ? spread(of(row, field)) : differences(of(row, field), of(direct, field));
    return {
      name: row.name,
      cpuToNginx: row === direct ? null : ratios(of(row, 'cpuUs'), of(yardstick, 'cpuUs')),
      cpuUs: row === direct ? null : spread(of(row, 'cpuUs')),
      p50Ms: delay('p50Ms'),
      p99Ms: delay('p99Ms'),
      openingToNginx: row === direct ? null : ratios(opening(row), opening(yardstick)),
      openingUs: row === direct ? null : spread(opening(row)),
    };
  });
}

/** Resident bytes that an open stream takes, while each has one event a second. */
async function bytesPerStream(peer: Peer, streams: number): Promise<number> {
  const row = await begin(peer);
  const pid = row.running?.pid ?? 0;
  await row.load.open(row.port, peer, WARM_STREAMS);
  await row.load.run(EVENTS_PER_SECOND, 1);
  await row.load.close();
  const idle = residentBytes(pid);
  await row.load.open(row.port, peer, streams);
  const samples: number[] = [];
  let isOver = false;
  const held = row.load.run(streams, HOLD_SECONDS).then(() => {
    isOver = true;
  });
  while (!isOver) {
    await pause(SAMPLE_MS);
    samples.push(residentBytes(pid));
  }
  await held;
  await row.load.close();
  await stop(row);
  return (median(samples) - idle) / streams;
}

interface StreamMemory {
  readonly name: string;
  /** By number of streams. */
  readonly bytes: Readonly<Record<string, number>>;
}

async function memory(peers: readonly Peer[]): Promise<readonly StreamMemory[]> {
  const rows: StreamMemory[] = [];
  for (const peer of peers) {
    const bytes: Record<string, number> = {};
    for (const streams of OPEN_STREAMS) bytes[streams] = await bytesPerStream(peer, streams);
    rows.push({ name: peer.name, bytes });
  }
  return rows;
}

needCommands('nginx');
const peers = [...otherPeers(), FLOOR, sluice('BYO', 1), sluice('managed', 1)];
const costs = await events(peers);
const sign = (row: EventCost, { median: ms }: Spread): string =>
  (row.cpuUs === null || ms < 0 ? '' : '+') + fixed(ms, 3);
printTable(
  `Events of ${STREAMS} open streams, ${EVENTS_PER_SECOND} a second in all, ${rounds} rounds of ${seconds} s.\n` +
    'Delay from the write upstream to the read by the client, more than direct (that row: as it is).\n' +
    'A whole stream: CPU of one with a single event, from its connection to its end.',
  [
    { title: 'peer', cell: ({ name }) => name },
    { title: 'CPU : nginx', cell: ({ cpuToNginx }) => ranged(cpuToNginx, 2) },
    { title: 'us an event', cell: ({ cpuUs }) => fixed(cpuUs?.median, 1) },
    { title: 'p50 ms', cell: (row) => sign(row, row.p50Ms) },
    { title: 'p99 ms', cell: (row) => sign(row, row.p99Ms) },
    { title: 'a whole stream : nginx', cell: ({ openingToNginx }) => ranged(openingToNginx, 2) },
    { title: 'us', cell: ({ openingUs: us }) => fixed(us?.median, 0) },
  ],
  costs,
);
const held = await memory(peers);
printTable(
  'Resident memory of an open stream, KiB, with one event a second',
  [
    { title: 'peer', cell: ({ name }) => name },
    ...OPEN_STREAMS.map((streams) => ({
      title: `${streams} streams`,
      cell: ({ bytes }: StreamMemory) => fixed((bytes[streams] ?? Number.NaN) / 1_024, 1),
    })),
  ],
  held,
);
writeSection('streams', { quick, rounds, seconds, streams: STREAMS, events: costs, memory: held });
process.exit(0);

// What a translated event costs, beside the same stream relayed: npm run bench:translation [-- --quick --rounds 8 --seconds 3]
// Every row is a virtual key's, metered, on a route. All hold their streams open, and are measured in turn; then further streams
// are opened beside these, for the time to their first text; then events come many at once.
import { freePort } from '../test/support/free-port.ts';
import { token } from '../test/support/managed.ts';
import type { CallerWireName, UpstreamWireName } from './ends/stream-wires.ts';
import { cpuOf, type OpeningRun, StreamLoad, type StreamRun, warm } from './load.ts';
import type { Peer } from './peers/peer.ts';
import type { Running } from './peers/processes.ts';
import { startSluice } from './peers/sluice.ts';
import { fixed, printTable, ranged, writeSection } from './results.ts';
import { extent, interleaved } from './rounds.ts';
import { differences, ratios, type Spread, spread } from './statistics.ts';

const { quick, rounds, seconds } = extent({ rounds: 6, seconds: 2 }, { rounds: 2, seconds: 1 });
const STREAMS = 500;
/** Over all streams: 10 a second each. What a worker can do at most would measure its queue. */
const EVENTS_PER_SECOND = 5_000;
const OPENED_PER_SECOND = 250;
/** Of one stream, in one write: a provider that is fast, or a network that is not. */
const AT_ONCE = 20;
/** Four times as many of these: each takes a part of what a lone one does. */
const BURST_EVENTS_PER_SECOND = 20_000;

const ROUTE = 'river';

/** One wire on its way to another, or to itself. */
interface Way {
  readonly from: UpstreamWireName;
  readonly to: CallerWireName;
}

/** What a provider of each wire is called here. */
const TARGETS: Readonly<Record<UpstreamWireName, readonly [provider: string, model: string]>> = {
  'openai-chat': ['openai', 'gpt-5-mini'],
  'anthropic-messages': ['anthropic', 'claude-haiku-5-5'],
  gemini: ['gemini', 'gemini-3-flash'],
  ollama: ['ollama', 'llama3.3'],
};

const RELAYED_CHAT: Way = { from: 'openai-chat', to: 'openai-chat' };
const RELAYED_MESSAGES: Way = { from: 'anthropic-messages', to: 'anthropic-messages' };
/** Each beside the same stream relayed; what nobody may ask for by a route in its own wire, beside chat. */
const WAYS: ReadonlyMap<Way, Way> = new Map<Way, Way>([
  [RELAYED_CHAT, RELAYED_CHAT],
  [RELAYED_MESSAGES, RELAYED_MESSAGES],
  [{ from: 'anthropic-messages', to: 'openai-chat' }, RELAYED_MESSAGES],
  [{ from: 'openai-chat', to: 'anthropic-messages' }, RELAYED_CHAT],
  [{ from: 'gemini', to: 'openai-chat' }, RELAYED_CHAT],
  [{ from: 'ollama', to: 'openai-chat' }, RELAYED_CHAT],
  [{ from: 'openai-chat', to: 'openai-responses' }, RELAYED_CHAT],
  [{ from: 'anthropic-messages', to: 'openai-responses' }, RELAYED_MESSAGES],
]);

interface Row {
  readonly way: Way;
  readonly port: number;
  readonly peer: Peer;
  readonly running: Running;
  readonly load: StreamLoad;
}

const nameOf = ({ from, to }: Way): string => (from === to ? `${to}, relayed` : `${to} of ${from}`);

async function begin(way: Way): Promise<Row> {
  const [provider, model] = TARGETS[way.from];
  // Anthropic's wire is nobody's choice.
  const wires =
    way.from === 'anthropic-messages' ? '' : `[provider_wires]\n${provider} = ["${way.from}"]\n`;
  const tables = `${wires}[routes.${ROUTE}]\ntargets = ["${provider}/${model}"]\n`;
  const peer: Peer = {
    name: nameOf(way),
    key: token(),
    model: ROUTE,
    fields: () => '',
    start: (port, upstream) => startSluice(port, upstream, { providers: [provider], tables }),
  };
  const load = new StreamLoad(way.from, way.to);
  const upstream = await load.listen();
  const port = await freePort();
  const running = await peer.start(port, upstream);
  await load.open(port, peer, STREAMS);
  await warm(running.pid, async () => {
    const { events } = await load.runOpening(EVENTS_PER_SECOND, 1, OPENED_PER_SECOND);
    return { units: events };
  });
  return { way, port, peer, running, load };
}

interface Sample extends StreamRun {
  readonly cpuUs: number;
}

async function events({ load, running }: Row): Promise<Sample> {
  const { cpuUs, result } = await cpuOf(running.pid, () => load.run(EVENTS_PER_SECOND, seconds));
  return { ...result, cpuUs: cpuUs / result.events };
}

/** Microseconds of CPU for an event of many that come at once. */
async function bursts({ load, running }: Row): Promise<number> {
  const run = () => load.run(BURST_EVENTS_PER_SECOND, seconds, AT_ONCE);
  const { cpuUs, result } = await cpuOf(running.pid, run);
  return cpuUs / result.events;
}

async function openings({ load }: Row): Promise<OpeningRun> {
  return await load.runOpening(EVENTS_PER_SECOND, seconds, OPENED_PER_SECOND);
}

interface WayCost {
  readonly name: string;
  readonly cpuToRelayed: Spread;
  readonly cpuUs: Spread;
  /** Of an event of many that come at once. */
  readonly burstToRelayed: Spread;
  readonly burstUs: Spread;
  /** Milliseconds from the upstream's write to the client's read; of translated ones, more than relayed. */
  readonly p50Ms: Spread;
  readonly p99Ms: Spread;
  /** Milliseconds from the moment when a stream was due to be asked for to its first text, likewise. */
  readonly firstP50Ms: Spread;
  readonly firstP99Ms: Spread;
}

async function measured(): Promise<readonly WayCost[]> {
  const rows: Row[] = [];
  for (const way of WAYS.keys()) rows.push(await begin(way));
  const cost = await interleaved(rounds, rows, events);
  const opened = await interleaved(rounds, rows, openings);
  const atOnce = await interleaved(rounds, rows, bursts);
  for (const { load, running } of rows) {
    await load.close();
    await load.stop();
    await running.stop();
  }
  return rows.map((row) => {
    const yardstick = rows.find(({ way }) => way === WAYS.get(row.way)) ?? row;
    const of = (one: Row, field: keyof Sample): readonly number[] =>
      (cost.get(one) ?? []).map((sample) => sample[field]);
    const firstOf = (one: Row, field: keyof OpeningRun): readonly number[] =>
      (opened.get(one) ?? []).map((sample) => sample[field]);
    const added = (own: readonly number[], others: readonly number[]): Spread =>
      row === yardstick ? spread(own) : differences(own, others);
    const delay = (field: 'p50Ms' | 'p99Ms'): Spread => added(of(row, field), of(yardstick, field));
    const first = (field: 'firstP50Ms' | 'firstP99Ms'): Spread =>
      added(firstOf(row, field), firstOf(yardstick, field));
    return {
      name: row.peer.name,
      cpuToRelayed: ratios(of(row, 'cpuUs'), of(yardstick, 'cpuUs')),
      cpuUs: spread(of(row, 'cpuUs')),
      burstToRelayed: ratios(atOnce.get(row) ?? [], atOnce.get(yardstick) ?? []),
      burstUs: spread(atOnce.get(row) ?? []),
      p50Ms: delay('p50Ms'),
      p99Ms: delay('p99Ms'),
      firstP50Ms: first('firstP50Ms'),
      firstP99Ms: first('firstP99Ms'),
    };
  });
}

const costs = await measured();
const sign = ({ name }: WayCost, { median: ms }: Spread): string =>
  (name.endsWith('relayed') || ms < 0 ? '' : '+') + fixed(ms, 3);
printTable(
  `Events of ${STREAMS} open streams on a route, ${EVENTS_PER_SECOND} a second in all, ${rounds} rounds of ${seconds} s: the caller's wire, and the provider's.\n` +
    'Delay from the write upstream to the read by the client; first text of streams opened beside these from the moment when\n' +
    'they were due: more than relayed (those rows: as it is).',
  [
    { title: 'way', cell: ({ name }) => name },
    { title: 'CPU : relayed', cell: ({ cpuToRelayed }) => ranged(cpuToRelayed, 2) },
    { title: 'us an event', cell: ({ cpuUs }) => fixed(cpuUs.median, 1) },
    { title: `${AT_ONCE} at once`, cell: ({ burstToRelayed }) => ranged(burstToRelayed, 2) },
    { title: 'us', cell: ({ burstUs }) => fixed(burstUs.median, 1) },
    { title: 'p50 ms', cell: (row) => sign(row, row.p50Ms) },
    { title: 'p99 ms', cell: (row) => sign(row, row.p99Ms) },
    { title: 'first p50 ms', cell: (row) => sign(row, row.firstP50Ms) },
    { title: 'first p99 ms', cell: (row) => sign(row, row.firstP99Ms) },
  ],
  costs,
);
writeSection('translation', { quick, rounds, seconds, streams: STREAMS, ways: costs });
process.exit(0);

// What it costs to be told an answer again, and to have one kept: npm run bench:cache [-- --quick --rounds 4 --seconds 2]
// Every row is a virtual key's metered request to one upstream that is never the bottleneck, beside one whose policy has no cache.
import { freePort } from '../test/support/free-port.ts';
import { token } from '../test/support/managed.ts';
import { CHAT_ANSWER, CHAT_PATH, CHAT_REQUEST } from './chat.ts';
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
import { needCommands, type Running } from './peers/processes.ts';
import { startSluice } from './peers/sluice.ts';
import { fixed, printTable, ranged, writeSection } from './results.ts';
import { extent, interleaved } from './rounds.ts';
import { differences, median, ratios, type Spread, spread } from './statistics.ts';

const { quick, rounds, seconds } = extent({ rounds: 6, seconds: 2 }, { rounds: 2, seconds: 1 });
const CONNECTIONS = 32;
/** Far below what any row can do, so that no queue is measured. */
const RATE = 2_000;

const COLD = CHAT_REQUEST.replace('{', '{"temperature":0,');
const CACHED = '[policies.default]\ncache = "exact"\n';

/** What a row asks, and under which policy. */
interface Way {
  readonly name: string;
  readonly tables: string;
  readonly body: string;
  readonly fields: string;
}

const NO_CACHE: Way = { name: 'no cache', tables: '', body: COLD, fields: '' };
const WAYS: readonly Way[] = [
  NO_CACHE,
  { name: 'bypass', tables: CACHED, body: CHAT_REQUEST, fields: '' },
  // Made anew and kept with each request: a miss, all of it.
  { name: 'miss, kept', tables: CACHED, body: COLD, fields: 'x-sluice-cache: refresh\r\n' },
  { name: 'hit', tables: CACHED, body: COLD, fields: '' },
  {
    name: 'hit, canonical',
    tables: `${CACHED}cache_match = "canonical"\n`,
    body: COLD,
    fields: '',
  },
];

interface Row {
  readonly way: Way;
  readonly running: Running;
  readonly requests: Requests;
  readonly load: JsonLoad;
}

const CALLER = [CHAT_PATH, token()] as const;

async function begin(way: Way, upstream: number): Promise<Row> {
  const port = await freePort();
  const running = await startSluice(port, upstream, { tables: way.tables });
  const requests = { port, fields: way.fields, body: way.body };
  const load = new JsonLoad();
  await load.target(requests, callersFile(`caller-${port}`, [CALLER]));
  await warm(running.pid, async () => {
    const { requests: units } = await flood(requests, CALLER, CONNECTIONS, 1);
    return { units };
  });
  return { way, running, requests, load };
}

interface Sample extends OpenLoopResult {
  readonly cpuUs: number;
  readonly perSecond: number;
}

async function measure({ running, requests, load, way }: Row): Promise<Sample> {
  const { cpuUs, result } = await cpuOf(running.pid, () =>
    flood(requests, CALLER, CONNECTIONS, seconds),
  );
  await load.connect(CONNECTIONS);
  const open = await load.open(RATE, seconds);
  if (open.refused + open.broken + open.unanswered > 0)
    throw new Error(`${way.name}: ${JSON.stringify(open)}`);
  return { ...open, cpuUs: cpuUs / result.requests, perSecond: result.perSecond };
}

interface Summary {
  readonly name: string;
  readonly cpuUs: Spread;
  readonly cpuToNone: Spread;
  readonly perSecond: number;
  /** Milliseconds; of all but the first row, more than that one in the same round. */
  readonly p50Ms: Spread;
  readonly p99Ms: Spread;
}

async function main(): Promise<void> {
  needCommands('nginx', 'wrk');
  const upstream = await freePort();
  await startStaticUpstream(upstream, CHAT_ANSWER);
  const rows: Row[] = [];
  for (const way of WAYS) rows.push(await begin(way, upstream));
  const samples = await interleaved(rounds, rows, measure);
  for (const { load, running } of rows) {
    await load.stop();
    await running.stop();
  }
  const [none] = rows;
  const of = (row: Row | undefined, field: keyof Sample): readonly number[] =>
    (row === undefined ? [] : (samples.get(row) ?? [])).map((sample) => sample[field]);
  const results = rows.map((row): Summary => {
    const more = (field: keyof Sample): Spread =>
      row === none ? spread(of(row, field)) : differences(of(row, field), of(none, field));
    return {
      name: row.way.name,
      cpuUs: spread(of(row, 'cpuUs')),
      cpuToNone: ratios(of(row, 'cpuUs'), of(none, 'cpuUs')),
      perSecond: median(of(row, 'perSecond')),
      p50Ms: more('p50Ms'),
      p99Ms: more('p99Ms'),
    };
  });
  printTable(
    `${COLD.length} bytes up, ${CHAT_ANSWER.length} down, ${CONNECTIONS} connections, ${rounds} rounds.\n` +
      'Latency at a constant rate, more than without a cache (that row: as it is).',
    [
      { title: 'way', cell: ({ name }) => name },
      { title: 'CPU us', cell: ({ cpuUs }) => ranged(cpuUs, 1) },
      { title: 'CPU : no cache', cell: ({ cpuToNone }) => ranged(cpuToNone, 2) },
      { title: 'req/s', cell: ({ perSecond }) => fixed(perSecond, 0) },
      { title: 'p50 ms', cell: ({ p50Ms }) => fixed(p50Ms.median, 3) },
      { title: 'p99 ms', cell: ({ p99Ms }) => fixed(p99Ms.median, 3) },
    ],
    results,
  );
  writeSection('cache', { quick, rounds, seconds, connections: CONNECTIONS, rows: results });
}

await main();
process.exit(0);

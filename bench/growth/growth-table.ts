import { freePort } from '../../test/support/free-port.ts';
import { callersFile, cpuOf, type JsonLoad, warm } from '../load.ts';
import type { Peer } from '../peers/peer.ts';
import { startSluice } from '../peers/sluice.ts';
import { residentBytes } from '../process-cpu.ts';
import { fixed, mebibytes, printTable, ranged } from '../results.ts';
import type { Extent } from '../rounds.ts';
import { growthExponent, median, type Spread, spread, steepestExponent } from '../statistics.ts';

/** The most that a flat cost differs between its least and its greatest: what rounds differ by on a shared machine. */
const FLAT_FACTOR = 1.25;
/** Of the steepest step. Linear is 1; the rest is noise, a third between sizes 16 times apart. */
const LINEAR_EXPONENT = 1.1;
/** Seconds of load at a time until it gets no cheaper. */
const WARM_SECONDS = 0.5;

/** One size of one table: a process of its own, and who asks it for what. */
export interface Setting {
  readonly size: number;
  /** What is measured: Sluice with one worker, unless said otherwise. */
  readonly start?: Peer['start'];
  /** Made before the gateway starts. */
  readonly callers: () => Iterable<readonly [path: string, key: string]>;
  readonly body: string;
  readonly connections: number;
  readonly upstream: number;
  /** Requests before anything is measured. */
  readonly before?: number;
  readonly prepare?: () => Promise<void>;
}

interface Point {
  readonly size: number;
  readonly cpuUs: Spread;
  readonly perSecond: number;
  readonly rssBytes: number;
  /** More than right after the start. */
  readonly grownBytes: number;
}

interface Growth {
  /** The greatest cost as a multiple of the least. */
  readonly factor: number;
  readonly exponent: number;
  readonly steepest: number;
  readonly verdict: 'flat' | 'at most linear' | 'faster than linear';
}

/** What one table says, as it is printed and kept. */
export interface GrowthTable {
  readonly title: string;
  readonly points: readonly Point[];
  readonly cpu: Growth;
  readonly memory: Growth;
}

async function measure(load: JsonLoad, setting: Setting, extent: Extent): Promise<Point> {
  const { size, callers, body, connections, upstream, before = 0 } = setting;
  await setting.prepare?.();
  const file = callersFile('callers', callers());
  const port = await freePort();
  const running = await (setting.start ?? startSluice)(port, upstream);
  const idleBytes = residentBytes(running.pid);
  await load.target({ port, fields: '', body }, file);
  await load.connect(connections);
  if (before > 0) await load.closed({ requests: before });
  const { seconds, rounds } = extent;
  await warm(running.pid, async () => {
    const { answered } = await load.closed({ seconds: WARM_SECONDS });
    return { units: answered };
  });
  const costs: number[] = [];
  const rates: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const { cpuUs, result } = await cpuOf(running.pid, () => load.closed({ seconds }));
    if (result.refused > 0) throw new Error(`${result.refused} requests were refused`);
    costs.push(cpuUs / result.answered);
    rates.push(result.answered / result.seconds);
  }
  const rssBytes = residentBytes(running.pid);
  await running.stop();
  const grownBytes = rssBytes - idleBytes;
  return { size, cpuUs: spread(costs), perSecond: median(rates), rssBytes, grownBytes };
}

function growth(points: readonly (readonly [size: number, cost: number])[]): Growth {
  const costs = points.map(([, cost]) => cost);
  const factor = Math.max(...costs) / Math.min(...costs);
  const steepest = steepestExponent(points);
  const exponent = growthExponent(points);
  return { factor, exponent, steepest, verdict: verdict(factor, steepest) };
}

function verdict(factor: number, steepest: number): Growth['verdict'] {
  if (factor <= FLAT_FACTOR) return 'flat';
  return steepest <= LINEAR_EXPONENT ? 'at most linear' : 'faster than linear';
}

/** Measures one size after the other, prints the table, and says how it grows. */
export async function growthTable(
  load: JsonLoad,
  extent: Extent,
  [title, unit]: readonly [title: string, unit: string],
  settings: readonly Setting[],
): Promise<GrowthTable> {
  const points: Point[] = [];
  for (const setting of settings) points.push(await measure(load, setting, extent));
  printTable(
    title,
    [
      { title: unit, cell: ({ size }) => size.toLocaleString('en') },
      { title: 'CPU us a request', cell: ({ cpuUs }) => ranged(cpuUs, 1) },
      { title: 'req/s', cell: ({ perSecond }) => fixed(perSecond, 0) },
      { title: 'RSS MiB', cell: ({ rssBytes }) => mebibytes(rssBytes) },
      { title: 'over idle MiB', cell: ({ grownBytes }) => mebibytes(grownBytes) },
    ],
    points,
  );
  const cpu = growth(points.map(({ size, cpuUs }) => [size, cpuUs.median]));
  const memory = growth(points.map(({ size, rssBytes }) => [size, rssBytes]));
  say('CPU', cpu);
  say('memory', memory);
  return { title, points, cpu, memory };
}

function say(what: string, { factor, exponent, steepest, verdict: word }: Growth): void {
  process.stdout.write(
    `${what}: ${word} (the greatest is ${fixed(factor, 2)} x the least; exponent ${fixed(exponent, 2)}, steepest step ${fixed(steepest, 2)})\n`,
  );
}

import { Bench } from 'tinybench';
import { fixed, printTable, writeSection } from '../results.ts';
import { median } from '../statistics.ts';

/** Something that is done for each request, event or chunk. */
export interface Task {
  readonly name: string;
  /** What it gives is kept until the next call, so that no compiler finds it useless. */
  readonly run: () => unknown;
}

export interface TaskCost {
  readonly name: string;
  /** Of the median sample. */
  readonly ns: number;
  /** Bytes on the heap and beside it (buffers); null without --expose-gc. */
  readonly bytes: number | null;
}

/** Calls that one sample is made of take about so long: the clock steps by 40 ns, and a call may take 10. */
const SAMPLE_NS = 50_000;
const CALLS_MAX = 4_096;
const BENCH_OPTIONS = { time: 300, warmupTime: 150 };

/** Below what V8 hands out before it collects, so that nothing is collected while it is counted. */
const COUNTED_BYTES = 131_072;
const COUNTS = 15;
/** Of one count, whatever it finds. */
const COUNT_NS = 20_000_000;

const kept: { value: unknown } = { value: null };

function repeat(run: () => unknown, calls: number): void {
  for (let i = 0; i < calls; i++) kept.value = run();
}

function nsOf(run: () => unknown, calls: number): number {
  const began = process.hrtime.bigint();
  repeat(run, calls);
  return Number(process.hrtime.bigint() - began) / calls;
}

/** Times a task and counts what it allocates. */
export async function taskCost({ name, run }: Task): Promise<TaskCost> {
  repeat(run, 64);
  const calls = Math.max(1, Math.min(CALLS_MAX, Math.round(SAMPLE_NS / nsOf(run, 64))));
  const bench = new Bench(BENCH_OPTIONS).add(name, () => repeat(run, calls));
  await bench.run();
  const result = bench.getTask(name)?.result;
  if (result === undefined || !('latency' in result)) throw new Error(`${name} did not finish`);
  return { name, ns: (result.latency.p50 * 1e6) / calls, bytes: allocated(run) };
}

/** @returns bytes that a call allocates, once it is compiled; null without --expose-gc */
export function allocated(run: () => unknown): number | null {
  const { gc } = globalThis;
  if (gc === undefined) return null;
  const count = (calls: number): number => {
    gc();
    const before = usedBytes();
    repeat(run, calls);
    return (usedBytes() - before) / calls;
  };
  const inTime = Math.ceil(COUNT_NS / nsOf(run, 1));
  const each = Math.max(1, count(Math.min(inTime, 16)));
  const calls = Math.max(1, Math.min(CALLS_MAX, inTime, Math.round(COUNTED_BYTES / each)));
  // Reading the heap allocates as well: what a call of nothing seems to take is subtracted.
  const counts = Array.from({ length: COUNTS }, () => count(calls));
  return Math.max(0, Math.round(median(counts) - emptyBytes() / calls));
}

let empty: number | null = null;
function emptyBytes(): number {
  if (empty !== null) return empty;
  const counts = Array.from({ length: COUNTS }, () => {
    globalThis.gc?.();
    const before = usedBytes();
    return usedBytes() - before;
  });
  empty = median(counts);
  return empty;
}

function usedBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Measures tasks one after the other, prints them, and keeps them as `micro.{section}`. */
export async function taskTable(
  section: string,
  title: string,
  tasks: readonly Task[],
): Promise<void> {
  const rows: TaskCost[] = [];
  for (const task of tasks) rows.push(await taskCost(task));
  printTable(
    title,
    [
      { title: 'a call', cell: ({ name }) => name },
      { title: 'ns', cell: ({ ns }) => fixed(ns, ns < 100 ? 1 : 0) },
      { title: 'bytes', cell: ({ bytes }) => fixed(bytes, 0) },
    ],
    rows,
  );
  writeSection(`micro.${section}`, { rows });
}

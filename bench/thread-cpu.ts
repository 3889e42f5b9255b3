import { readdirSync, readFileSync } from 'node:fs';

/** What a gateway's threads have taken so far, in milliseconds of CPU. */
export interface ThreadCpu {
  /** Passes facts on, and answers the admin listener. */
  readonly main: number;
  /** The console's, which is niced. */
  readonly console: number;
  /** The data plane's, with what the runtime has beside it. */
  readonly workers: number;
}

const NS_PER_MS = 1e6;
/** Of the fields behind the name in brackets, proc(5). */
const NICE = 16;
/** What the console's thread makes itself. */
const CONSOLE_NICE = 10;

export function threadCpu(pid: number): ThreadCpu {
  const sums = { main: 0, console: 0, workers: 0 };
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    const nice = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[NICE]);
    // Time on a CPU in nanoseconds, where `stat` counts in steps of 10 ms.
    const [ns] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
    const ms = Number(ns) / NS_PER_MS;
    if (Number(thread) === pid) sums.main += ms;
    else if (nice === CONSOLE_NICE) sums.console += ms;
    else sums.workers += ms;
  }
  return sums;
}

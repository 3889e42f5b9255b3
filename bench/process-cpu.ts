import { readdirSync, readFileSync } from 'node:fs';
import koffi from 'koffi';

/**
 * The clock of another process's CPU time: what the kernel charged to all of its threads, ended ones included, in
 * nanoseconds (clock_getcpuclockid(3): the id is ~pid << 3, plus 2 for the scheduler's own accounting). /proc/PID/stat
 * says the same in steps of 10 ms, too coarse for a window of a second at a tenth of a core.
 */
const CPUCLOCK_SCHED = 2;
const clockGettime = koffi.load(null).func('int clock_gettime(int clock, _Out_ int64_t *time)');
const time = new BigInt64Array(2);

/** A process and all of its children. */
function family(pid: number): readonly number[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  const members = new Set([pid]);
  for (let grew = true; grew; ) {
    grew = false;
    for (const one of all) {
      if (!members.has(one) && members.has(parentOf(one))) {
        members.add(one);
        grew = true;
      }
    }
  }
  return [...members];
}

function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return -1;
  }
}

/** User and system time of a process and its children so far, in microseconds. */
export function cpuMicros(pid: number): number {
  return family(pid).reduce((sum, one) => {
    if (clockGettime((~one << 3) | CPUCLOCK_SCHED, time) !== 0) return sum;
    return sum + Number(time[0]) * 1e6 + Number(time[1]) / 1e3;
  }, 0);
}

/** Resident memory of a process and its children, in bytes. */
export function residentBytes(pid: number): number {
  return family(pid).reduce((sum, one) => {
    try {
      const status = readFileSync(`/proc/${one}/status`, 'utf8');
      return sum + Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1_024;
    } catch {
      return sum;
    }
  }, 0);
}

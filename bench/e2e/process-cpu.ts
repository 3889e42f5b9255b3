import { readdirSync, readFileSync } from 'node:fs';

/** Of the kernel's accounting: USER_HZ is 100 on every Linux that we know. */
const TICK_US = 10_000;

/** A process and all of its children. */
function family(pid: number): readonly number[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  const members = new Set([pid]);
  for (let grew = true; grew; ) {
    grew = false;
    for (const one of all) {
      const parent = statOf(one)?.parent ?? -1;
      if (members.has(parent) && !members.has(one)) {
        members.add(one);
        grew = true;
      }
    }
  }
  return [...members];
}

function statOf(pid: number): { parent: number; ticks: number } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) };
  } catch {
    return null;
  }
}

/** User and system time of a process and its children so far, in microseconds; steps of 10 ms. */
export function cpuMicros(pid: number): number {
  return family(pid).reduce((sum, one) => sum + (statOf(one)?.ticks ?? 0) * TICK_US, 0);
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

import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';

/** Descriptors that are not for exchanges: connections that clients keep, libraries, logs, the admin listener. */
const SPARE_DESCRIPTORS = 512;

/** One to the client, one to the provider. */
const DESCRIPTORS_PER_EXCHANGE = 2;

/** What one may hold when it goes badly, in bytes: a read each way that is not taken yet, and the kernel's share. */
const BYTES_PER_EXCHANGE = 262_144;

/** Of the machine's memory (or the container's), so much may go to exchanges. */
const MEMORY_SHARE = 0.5;

/** Few enough descriptors make any gateway useless; then their end is what tells. */
const CAPACITY_MIN = 64;

/** How many exchanges at a time this machine carries: what `max_in_flight = "auto"` amounts to. */
export function inFlightCapacity(): number {
  // libuv gives 0 where it cannot tell, and a huge number where nothing is constrained.
  const constrained = process.constrainedMemory();
  const memory = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return capacityOf(openFilesLimit(), memory);
}

/** @param openFiles descriptors that the process may have; null when that cannot be told or is unlimited */
export function capacityOf(openFiles: number | null, memoryBytes: number): number {
  const byMemory = (memoryBytes * MEMORY_SHARE) / BYTES_PER_EXCHANGE;
  const byFiles =
    openFiles === null ? byMemory : (openFiles - SPARE_DESCRIPTORS) / DESCRIPTORS_PER_EXCHANGE;
  return Math.max(CAPACITY_MIN, Math.floor(Math.min(byFiles, byMemory)));
}

/** The soft limit, which Node has raised to the hard one (proc(5)). Null on other systems than Linux. */
function openFilesLimit(): number | null {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === undefined ? null : Number(soft);
  } catch {
    return null;
  }
}

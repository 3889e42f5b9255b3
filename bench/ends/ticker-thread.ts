// Wakes its parent when the next request of an open loop is due. Node's own timers step by whole milliseconds; a thread
// that sleeps in the kernel is woken within 0.1 ms, and takes no CPU meanwhile.
import { parentPort, workerData } from 'node:worker_threads';
import { nowMs } from './jobs.ts';

const { beginMs, gapMs, total } = workerData as {
  readonly beginMs: number;
  readonly gapMs: number;
  readonly total: number;
};
const never = new Int32Array(new SharedArrayBuffer(4));

for (let index = 0; index < total; index++) {
  const waitMs = beginMs + index * gapMs - nowMs();
  if (waitMs > 0) Atomics.wait(never, 0, 0, waitMs);
  parentPort?.postMessage(index);
}

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/**
 * A real worker thread that dies in the middle of what it does to a shared table, with the lock of a row.
 * @param path of the table's module, from this file
 * @param code of a function of its module and `memory`: `process.exit()` where it is to die
 */
export async function diesWithin(
  memory: SharedArrayBuffer,
  path: string,
  code: string,
): Promise<void> {
  const module = new URL(path, import.meta.url).href;
  const thread = new Worker(
    `const { workerData } = require('node:worker_threads');
     import(workerData.module).then((module) => (${code})(module, workerData.memory));`,
    { eval: true, workerData: { memory, module } },
  );
  await once(thread, 'exit');
}

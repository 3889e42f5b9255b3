/** Entry of the cache's thread: one memory, and one table of who makes what, for all workers of a node. */

import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { CacheCounts, type CacheStart } from './cache-counts.ts';
import type { FromCacheThread, ToCache, ToCacheThread } from './cache-messages.ts';
import { Flights } from './flights.ts';
import { MemoryStore } from './memory-store.ts';

const start = workerData as CacheStart;
const counts = new CacheCounts(start.counts);
const store = new MemoryStore(start.maxBytes, counts);
/** By the numbers that they have here: a worker that comes again is another one. */
const ports = new Map<number, MessagePort>();
const flights = new Flights(store, (worker, message) => ports.get(worker)?.postMessage(message));
let connections = 0;

function connect(port: MessagePort): void {
  const worker = ++connections;
  ports.set(worker, port);
  port.on('message', (message: ToCache) => flights.hear(worker, message));
  port.on('close', () => {
    ports.delete(worker);
    flights.forget(worker);
  });
}

counts.holds(0, 0);
parentPort?.on('message', (message: ToCacheThread) => {
  if (message.kind === 'connect') connect(message.port);
  else if (message.kind === 'configure') store.maxBytes = message.maxBytes;
  else {
    const { call } = message;
    store.purge(message.of, (count) =>
      parentPort?.postMessage({ kind: 'purged', call, count } satisfies FromCacheThread),
    );
  }
});

/** Entry of the cache's thread: one memory, and one table of who makes what, for all workers of a node. */

import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { CacheCounts, type CacheStart } from './cache-counts.ts';
import type { FromCacheThread, ToCache, ToCacheThread } from './cache-messages.ts';
import { Flights } from './flights.ts';
import { MemoryStore } from './memory-store.ts';
import { connectRedis, RedisStore } from './redis-store.ts';

const start = workerData as CacheStart;
const counts = new CacheCounts(start.counts);
const memory = start.redisUrl === null ? new MemoryStore(start.maxBytes, counts) : null;
// What is asked before the library is there waits in the ports.
const store = memory ?? (await redisStore(start.redisUrl ?? ''));
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
  switch (message.kind) {
    case 'connect':
      connect(message.port);
      break;
    case 'configure':
      if (memory !== null) memory.maxBytes = message.maxBytes;
      break;
    case 'purge':
      flights.purge(message.of, (count) => tell({ kind: 'purged', call: message.call, count }));
      break;
    case 'survey':
      store.survey(message.limit, (survey) =>
        tell({ kind: 'surveyed', call: message.call, survey }),
      );
      break;
  }
});

function tell(message: FromCacheThread): void {
  parentPort?.postMessage(message);
}

async function redisStore(url: string): Promise<RedisStore> {
  let wasUp: boolean | null = null;
  return new RedisStore(await connectRedis(url), {
    fault: (fault) => counts.redisFault(fault),
    isUp: (isUp, reason) => {
      counts.redisUp(isUp);
      if (isUp !== wasUp && (isUp || reason !== null || wasUp !== null)) {
        tell({ kind: 'redis', isUp, reason });
        wasUp = isUp;
      }
    },
  });
}

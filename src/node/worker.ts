/** Entry of a worker thread: builds the data plane from the configuration, and listens. */

import { type MessagePort, parentPort } from 'node:worker_threads';
import { CacheClient } from '../cache/cache-client.ts';
import type { FromCache } from '../cache/cache-messages.ts';
import { type Config, type ConfigDocument, configFromDocument } from '../config/config-document.ts';
import { translator } from '../dialect/translator.ts';
import { clientBufferFault } from '../edge/client-buffers.ts';
import type { ClientTimeouts, Door } from '../edge/door.ts';
import { EDGE_TICK_MS } from '../edge/front-end-timers.ts';
import { loadFrontEnd, openDoor } from '../edge/uws-listener.ts';
import { Recalls } from '../exchange/recalls.ts';
import { receive } from '../exchange/receive.ts';
import { LineBatch } from '../outlet/line-batch.ts';
import { RefusalTally } from '../settle/refusal-tally.ts';
import { RecordBatch } from '../stored/record-batch.ts';
import { Ticker } from '../ticker.ts';
import { DataPlane, ThreadState } from './data-plane.ts';
import type { ToMain, ToWorker, WorkerStart } from './messages.ts';

/** The last part of the grace: what comes then is refused, because it would begin only to be cut. */
const REFUSING_SHARE = 0.1;

/** How often a draining worker looks whether it is done, in milliseconds. */
const DRAIN_POLL_MS = 20;

/** A closed connection's handle is freed a loop turn later; ending the thread before that aborts the process. */
const CLOSE_SETTLE_MS = 50;

const lines = new LineBatch((batch) => {
  parentPort?.postMessage({ kind: 'lines', lines: batch } satisfies ToMain, [batch.buffer]);
});
const facts = new LineBatch((batch) => {
  parentPort?.postMessage({ kind: 'facts', lines: batch } satisfies ToMain, [batch.buffer]);
});
const stored = new RecordBatch((records) => {
  parentPort?.postMessage({ kind: 'stored', records } satisfies ToMain, [records.buffer]);
});
const refusals = new RefusalTally((rows, unnamed) => tell({ kind: 'refusals', rows, unnamed }));
const recalls = new Recalls((call, requestId) => {
  // What this worker has just settled is to be found.
  facts.flush();
  tell({ kind: 'recall', call, requestId });
});
const timeouts: ClientTimeouts = {
  clientStallTimeoutMs: 0,
  uploadSilenceTimeoutMs: 0,
  uploadStallTimeoutMs: 0,
};
let thread: ThreadState;
let plane: DataPlane | null = null;

function tell(message: ToMain): void {
  parentPort?.postMessage(message);
}

/** Exchanges that begin from now on go by this configuration. */
function configure(document: ConfigDocument, slots: readonly string[]): Config {
  const config = configFromDocument(document);
  plane = new DataPlane(thread, config, slots, plane);
  timeouts.clientStallTimeoutMs = config.clientStallTimeoutMs;
  timeouts.uploadSilenceTimeoutMs = config.uploadTimeoutMs;
  timeouts.uploadStallTimeoutMs = config.idleTimeoutMs;
  return config;
}

async function open(start: WorkerStart): Promise<Door> {
  thread = new ThreadState(
    start,
    (line) => lines.add(line),
    facts,
    refusals,
    (error) =>
      tell({
        kind: 'log',
        level: 'error',
        event: 'internal_error',
        fields: { reason: reasonOf(error) },
      }),
    (record) => stored.add(record),
    (broken) => tell({ kind: 'broke-cache', broken }),
    (scope, name, window) => tell({ kind: 'budget', budget: { scope, name, window } }),
    recalls,
    () => tell({ kind: 'catch-up' }),
    {
      ask: (asked) => tell({ kind: 'judge', asked }),
      left: (guard, call) => tell({ kind: 'judge-left', guard, call }),
      record: (record) => tell({ kind: 'exchange', record }),
      warn: (event, fields) => tell({ kind: 'log', level: 'warn', event, fields }),
    },
  );
  const { listen, tlsCertFile, tlsKeyFile } = configure(start.document, start.providerSlots);
  const tls =
    tlsCertFile === null || tlsKeyFile === null
      ? null
      : { certFile: tlsCertFile, keyFile: tlsKeyFile };
  const uws = await loadFrontEnd();
  const options = { ...listen, tls, timeouts, slips: thread.metrics };
  const ticker = new Ticker(EDGE_TICK_MS, thread.report);
  const door = openDoor(uws, options, ticker, (head, body, writer) => {
    if (plane === null) throw new Error('a request came before the configuration');
    return receive(plane, head, body, writer);
  });
  const unbounded = clientBufferFault();
  if (unbounded !== null) {
    thread.metrics.clientBuffersUnbounded();
    // Once for the node: the workers do not differ in this.
    if (start.index === 0)
      tell({
        kind: 'log',
        level: 'warn',
        event: 'client_buffers_unbounded',
        fields: { reason: unbounded },
      });
  }
  process.on('uncaughtException', (error) => {
    tell({ kind: 'failed', reason: reasonOf(error) });
    close(door, 'gateway_error');
  });
  tell({ kind: 'listening' });
  readyTranslator();
  return door;
}

/** Better now than with the first request that needs it. */
function readyTranslator(): void {
  if (plane?.mayTranslate === true) setImmediate(translator);
}

function reload(document: ConfigDocument, slots: readonly string[]): void {
  try {
    configure(document, slots);
    readyTranslator();
  } catch (error) {
    // It was valid a moment ago on the main thread: a file that is gone in between. The old plane goes on.
    const reason = error instanceof Error ? error.message : 'unknown';
    tell({ kind: 'log', level: 'error', event: 'worker_not_reloaded', fields: { reason } });
  }
}

/** From now on requests ask there. */
function connectCache(port: MessagePort): void {
  const client = new CacheClient(
    (message, moved) => port.postMessage(message, [...moved]),
    thread.report,
  );
  port.on('message', (message: FromCache) => client.hear(message));
  port.on('close', () => {
    if (thread.cache === client) thread.cache = null;
    client.gone();
  });
  // It alone is no reason to go on.
  port.unref();
  thread.cache = client;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : 'unknown';
}

function flush(): void {
  lines.flush();
  facts.flush();
  stored.flush();
  refusals.flush();
}

/**
 * Takes no new connections. Those that are kept go on being served, each answer with `connection: close`, until the
 * whole node is done or the grace nearly over.
 */
function drain(door: Door, graceMs: number): void {
  if (thread.draining) return;
  thread.draining = true;
  door.stopListening();
  const lastCallMs = performance.now() + graceMs * (1 - REFUSING_SHARE);
  const poll = setInterval(() => {
    if (performance.now() > lastCallMs) thread.refusing = true;
    if (thread.metrics.nodeInFlight() > 0) return;
    thread.refusing = true;
    clearInterval(poll);
    flush();
    tell({ kind: 'drained' });
  }, DRAIN_POLL_MS);
}

/** @param outcome of what still runs: the grace is over, or this worker has failed */
function close(door: Door, outcome: 'drained' | 'gateway_error'): void {
  if (thread.closing !== null) return;
  thread.closing = outcome;
  // Closes every connection, which settles every exchange and aborts its upstream.
  door.close();
  // Their clients left before: no connection's end settles them.
  thread.unseen.endAll();
  // Nobody will look at them any more.
  thread.background.endAll();
  thread.cache?.endAll();
  flush();
  setTimeout(() => {
    tell({ kind: 'closed' });
    process.exit();
  }, CLOSE_SETTLE_MS);
}

function obey(message: ToWorker, door: Door): void {
  if (message.kind === 'drain') drain(door, message.graceMs);
  else if (message.kind === 'close') close(door, 'drained');
  else if (message.kind === 'recalled') recalls.answer(message.call, message.lines);
  else if (message.kind === 'judged')
    thread.guards.questions.answer(message.call, message.judgement);
  else if (message.kind === 'caught-up') thread.fleet.answer(message.isTold);
  else if (message.kind === 'cache') connectCache(message.port);
  else if (message.kind === 'reload') reload(message.document, message.providerSlots);
}

/** Resolves with the door; what is told in the meantime waits for it. */
let opened: Promise<Door> | null = null;

parentPort?.on('message', (message: ToWorker) => {
  if (message.kind === 'start') {
    opened = open(message.start);
    opened.catch((error: unknown) => {
      tell({ kind: 'failed', reason: error instanceof Error ? error.message : 'unknown' });
      process.exit(1);
    });
  } else {
    void opened?.then((door) => obey(message, door));
  }
});

/** Entry of a worker thread: builds the data plane from the configuration, and listens. */

import { randomBytes } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { DenyLookup } from '../admit/deny.ts';
import { ManagedEndpoints } from '../admit/endpoint.ts';
import { PoolKeys } from '../admit/pool-keys.ts';
import { providerTable } from '../admit/providers.ts';
import { RateGuard } from '../admit/rate.ts';
import { Router } from '../admit/route.ts';
import { signingKeys } from '../admit/signing-keys.ts';
import { VerifiedTokens } from '../admit/verified-tokens.ts';
import type { ClientEvents, Door, RequestBody, RequestHead, ResponseWriter } from '../edge/door.ts';
import { Ticker } from '../edge/ticker.ts';
import { loadFrontEnd, openDoor } from '../edge/uws-listener.ts';
import { Exchange, type WorkerContext } from '../exchange.ts';
import { MetricsLayout, WorkerMetrics } from '../settle/metrics.ts';
import { Settler } from '../settle/settle.ts';
import { openOrigins } from '../upstream/origins.ts';
import { loadJsonScanner } from '../wire/json-scanner.ts';
import { type Config, configFromDocument } from './config.ts';
import { LineBatch } from './line-batch.ts';
import type { ToMain, ToWorker, WorkerStart } from './messages.ts';

/** How often a draining worker looks whether it is done, in milliseconds. */
const DRAIN_POLL_MS = 20;

/** A closed connection's handle is freed a loop turn later; ending the thread before that aborts the process. */
const CLOSE_SETTLE_MS = 50;

const start = workerData as WorkerStart;
const config = configFromDocument(start.document);
const providers = providerTable(config.providers);
const layout = new MetricsLayout(providers.map(({ name }) => name));
const metrics = new WorkerMetrics(layout, start.memory, start.index);
const lines = new LineBatch((text) => tell({ kind: 'lines', lines: text }));
const facts = new LineBatch((text) => tell({ kind: 'facts', lines: text }));

function tell(message: ToMain): void {
  parentPort?.postMessage(message);
}

/** What the exchanges of this thread share. `draining` and `closing` are the only things that change. */
class Context implements WorkerContext {
  readonly router = new Router(providers);
  readonly rates = new RateGuard(start.rates);
  readonly deny = new DenyLookup(start.deny);
  readonly tokens = new VerifiedTokens(signingKeys(config.signingKeys), this.rates);
  readonly endpoints = new ManagedEndpoints(config.managedEndpoints);
  readonly poolKeys = new PoolKeys(providers, config.poolKeys, start.index);
  readonly scanner = loadJsonScanner();
  readonly origins = openOrigins(providers, config);
  readonly metrics = metrics;
  readonly settler = new Settler(
    metrics,
    config.accessLog ? (line) => lines.add(line) : null,
    (fact) => facts.add(fact),
  );
  readonly maxRequestBodyBytes = config.maxRequestBodyBytes;
  readonly #maxInFlight = config.maxInFlight;
  // Unique among all workers and restarts of a fleet, and cheap: random per worker, counted per request.
  readonly #idPrefix = `req_${randomBytes(8).toString('hex')}`;
  #requests = 0;
  draining = false;
  closing = false;

  full(): boolean {
    // The request that asks is counted already.
    return this.#maxInFlight > 0 && this.metrics.nodeInFlight() > this.#maxInFlight;
  }

  nextRequestId(): string {
    return this.#idPrefix + (++this.#requests).toString(16).padStart(8, '0');
  }
}

async function main(): Promise<void> {
  const context = new Context();
  const ticker = new Ticker();
  const uws = await loadFrontEnd();
  const door = openDoor(uws, listenOptions(config), ticker, (head, body, writer) =>
    receive(context, head, body, writer),
  );
  process.on('uncaughtException', (error) => {
    tell({
      kind: 'failed',
      reason: error instanceof Error ? (error.stack ?? error.message) : 'unknown',
    });
    close(context, door);
  });
  parentPort?.on('message', (message: ToWorker) => {
    if (message.kind === 'drain') drain(context, door);
    else close(context, door);
  });
  tell({ kind: 'listening' });
}

function receive(
  context: Context,
  head: RequestHead,
  body: RequestBody,
  writer: ResponseWriter,
): ClientEvents {
  const exchange = new Exchange(context, head, body, writer);
  try {
    exchange.begin();
  } catch (error) {
    // A bug that one request meets must not take the others of this worker with it.
    const reason = error instanceof Error ? (error.stack ?? error.message) : 'unknown';
    tell({ kind: 'log', level: 'error', event: 'internal_error', fields: { reason } });
    exchange.fail();
  }
  return exchange;
}

function listenOptions(from: Config) {
  const { tlsCertFile, tlsKeyFile } = from;
  return {
    host: from.listen.host,
    port: from.listen.port,
    tls:
      tlsCertFile === null || tlsKeyFile === null
        ? null
        : { certFile: tlsCertFile, keyFile: tlsKeyFile },
    clientStallTimeoutMs: from.clientStallTimeoutMs,
    uploadStallTimeoutMs: from.idleTimeoutMs,
  };
}

function flush(): void {
  lines.flush();
  facts.flush();
}

function drain(context: Context, door: Door): void {
  if (context.draining) return;
  context.draining = true;
  door.stopListening();
  const poll = setInterval(() => {
    if (metrics.inFlight > 0) return;
    clearInterval(poll);
    flush();
    tell({ kind: 'drained' });
  }, DRAIN_POLL_MS);
}

function close(context: Context, door: Door): void {
  if (context.closing) return;
  context.closing = true;
  // Closes every connection, which settles every exchange and aborts its upstream.
  door.close();
  flush();
  setTimeout(() => {
    tell({ kind: 'closed' });
    process.exit();
  }, CLOSE_SETTLE_MS);
}

main().catch((error: unknown) => {
  tell({ kind: 'failed', reason: error instanceof Error ? error.message : 'unknown' });
  process.exit(1);
});

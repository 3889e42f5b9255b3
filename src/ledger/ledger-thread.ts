/** Entry of the ledger's thread: the only one that writes its files. What a disk does to it stops nobody else. */

import { closeSync, existsSync, openSync, readSync, rmSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { countLines, joined } from '../outlet/line-outlet.ts';
import { ClickHouseSink } from './clickhouse-sink.ts';
import { dayOf } from './ledger-files.ts';
import { LedgerLock } from './ledger-lock.ts';
import type { FromLedger, LedgerStart, ToLedger } from './ledger-messages.ts';
import { LedgerRefused } from './ledger-schema.ts';
import { SqliteLedger } from './ledger-store.ts';
import { Outbox } from './outbox.ts';
import { PostgresSink } from './postgres-sink.ts';
import { Retention } from './retention.ts';

/** How long facts wait for others, in milliseconds: a transaction costs more than a fact. A crash takes as much. */
const COMMIT_MS = 200;

/** Facts that are committed at once. */
const COMMIT_FACTS = 5_000;

/** After a disk that refused, or a lock that another process holds, in milliseconds. */
const RETRY_MS = 1_000;

/** How often hours and days that are over are looked for, and how long facts may come between two steps, in milliseconds. */
const HOUSEKEEPING_MS = 60_000;
const STEP_MS = 5;

/** Read of a file that waited at once, in bytes. */
const READ_BYTES = 4 * 1_048_576;

const LF = 0x0a;

const start = workerData as LedgerStart;
const waiting: Uint8Array[] = [];
let waitingFacts = 0;
/** Files of facts that waited, the oldest first. */
const backlogs: string[] = [];
/** Of the first of them, what is kept already, in bytes. */
let readUpTo = 0;
let ledger: SqliteLedger | null = null;
let lock: LedgerLock | null = null;
let retention: Retention | null = null;
let outbox: Outbox | null = null;
let sending: Promise<void> | null = null;
let isDue = false;
let failure: string | null = null;
let isStopping = false;

function tell(message: FromLedger): void {
  parentPort?.postMessage(message);
}

/** One alarm when it begins to fail, one word when it works again. */
function setFailure(reason: string | null): void {
  const isNews = (failure === null) !== (reason === null);
  failure = reason;
  if (isNews) tell({ kind: 'state', failure: reason });
}

function later(ms: number): void {
  if (isDue) return;
  isDue = true;
  setTimeout(() => {
    isDue = false;
    work();
  }, ms);
}

/** Opens the files if they are not, keeps what waits, and comes back where something is left. */
function work(): void {
  try {
    if (!isWriting()) return;
    keepWaiting();
    if (!isStopping && waiting.length === 0 && backlogs.length > 0) keepBacklog();
    setFailure(null);
  } catch (error) {
    if (error instanceof LedgerRefused) {
      tell({ kind: 'refused', reason: error.message });
      return;
    }
    setFailure(error instanceof Error ? error.message : 'unknown');
    if (!isStopping) later(RETRY_MS);
    return;
  }
  if (backlogs.length > 0) later(0);
}

/** @returns false while another process writes them */
function isWriting(): boolean {
  ledger ??= new SqliteLedger(start.dataDir);
  lock ??= new LedgerLock(ledger.files.lock);
  if (lock.isHeld) return true;
  if (lock.take()) {
    // What others left: nobody else writes any more. This process's own are told when they are whole.
    const own = ledger.files.backlog(start.owner, 0).replace(/-0\.jsonl$/, '-');
    startOutbox(ledger);
    backlogs.push(...ledger.files.backlogs().filter((name) => !name.startsWith(own)));
    return true;
  }
  setFailure('another process writes this ledger');
  if (!isStopping) later(RETRY_MS);
  return false;
}

/** Facts go on from here, so that an outage there is none here. */
function startOutbox(from: SqliteLedger): void {
  const { url } = start;
  if (url === null || outbox !== null) return;
  const sink = url.startsWith('postgres') ? new PostgresSink(url) : new ClickHouseSink(url);
  outbox = new Outbox(from, sink, {
    sent: (facts, refused) => tell({ kind: 'sent', facts, refused }),
    state: (reason) => {
      const isUp = reason === null;
      const event = isUp ? 'ledger_outbox_recovered' : 'ledger_outbox_failed';
      tell({
        kind: 'log',
        level: isUp ? 'info' : 'error',
        event,
        fields: { to: sink.name, reason },
      });
    },
  });
  sending = outbox.run();
}

function keepWaiting(): void {
  while (waiting.length > 0 && ledger !== null) {
    let batches = 0;
    let facts = 0;
    while (batches < waiting.length && (batches === 0 || facts < COMMIT_FACTS))
      facts += countLines(waiting[batches++] ?? new Uint8Array(0));
    const taken = ledger.add(joined(waiting.slice(0, batches)));
    waiting.splice(0, batches);
    waitingFacts -= facts;
    tell({ kind: 'taken', batches, ...taken });
  }
}

/** A piece of the oldest file; what a crash repeats is known by its id. */
function keepBacklog(): void {
  const [name] = backlogs;
  if (name === undefined || ledger === null) return;
  const path = ledger.files.at(name);
  const lines = wholeLines(path, readUpTo);
  if (lines !== null && lines.length > 0) {
    const taken = ledger.add(lines);
    readUpTo += lines.length;
    tell({ kind: 'taken', batches: 0, ...taken });
    return;
  }
  rmSync(path, { force: true });
  backlogs.shift();
  readUpTo = 0;
  tell({ kind: 'backlog-taken', name });
}

/** @returns null where there is no such file: who shared the folder has taken its own away */
function wholeLines(path: string, from: number): Uint8Array | null {
  if (!existsSync(path)) return null;
  const fd = openSync(path, 'r');
  try {
    const piece = Buffer.allocUnsafe(READ_BYTES);
    const length = readSync(fd, piece, 0, READ_BYTES, from);
    return piece.subarray(0, piece.subarray(0, length).lastIndexOf(LF) + 1);
  } finally {
    closeSync(fd);
  }
}

/** Hours and days that are over are added up, and days whose time has come go: a step at a time. */
function keepHouse(): void {
  let nextMs = HOUSEKEEPING_MS;
  try {
    if (ledger !== null && lock?.isHeld === true && failure === null) {
      retention ??= new Retention(ledger, start.retentionDays);
      const isAdding = ledger.sumUp(Date.now());
      if (isAdding || retention.step(dayOf(Date.now()), (day) => outbox?.hasSent(day) ?? true))
        nextMs = STEP_MS;
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'unknown';
    tell({ kind: 'log', level: 'error', event: 'ledger_retention_failed', fields: { reason } });
  }
  if (!isStopping) setTimeout(keepHouse, nextMs).unref();
}

function find(call: number, requestId: string): void {
  let lines: readonly string[] = [];
  try {
    // What was told just now is to be found.
    if (waiting.length > 0 && failure === null) work();
    lines = ledger?.find(requestId) ?? [];
  } catch (error) {
    setFailure(error instanceof Error ? error.message : 'unknown');
    later(RETRY_MS);
  }
  tell({ kind: 'found', call, lines });
}

/** What is being sent is waited for so long, in milliseconds: it is sent again else. */
const SENDING_MS = 500;

async function stop(): Promise<void> {
  isStopping = true;
  work();
  outbox?.stop();
  await Promise.race([sending, new Promise((resolve) => setTimeout(resolve, SENDING_MS))]);
  ledger?.close();
  lock?.release();
  tell({ kind: 'stopped' });
  parentPort?.close();
}

parentPort?.on('message', (message: ToLedger) => {
  if (message.kind === 'facts') {
    waiting.push(message.lines);
    waitingFacts += countLines(message.lines);
    if (failure !== null) return;
    if (waitingFacts >= COMMIT_FACTS) work();
    else later(COMMIT_MS);
  } else if (message.kind === 'backlog') {
    if (!backlogs.includes(message.name)) backlogs.push(message.name);
    if (failure === null) later(0);
  } else if (message.kind === 'find') find(message.call, message.requestId);
  else void stop();
});

try {
  ledger = new SqliteLedger(start.dataDir);
  tell({ kind: 'ready' });
} catch (error) {
  if (error instanceof LedgerRefused) tell({ kind: 'refused', reason: error.message });
  else {
    // A disk that is full or away now may be there later: facts wait.
    setFailure(error instanceof Error ? error.message : 'unknown');
    tell({ kind: 'ready' });
  }
}
work();
keepHouse();

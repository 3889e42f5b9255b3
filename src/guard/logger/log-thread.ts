/** Entry of the exchange log's thread: masks what exchanges said, and writes it. A disk that hangs stops it, and nobody else. */

import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { PiiDetector } from '../pii/pii-detector.ts';
import { TAIL_BYTES } from './capped-texts.ts';
import { LogFile } from './log-file.ts';
import type { FromLog, LoggedTexts, LogRecord, LogSink, ToLog } from './log-messages.ts';
import { maskedTexts } from './masked-texts.ts';

/** Below the workers (0), on Linux of this thread alone: nobody waits for it. */
const NICE = 10;

/** How often files are looked for whose time has come, in milliseconds. */
const CLEAN_MS = 600_000;

const detector = new PiiDetector();
let files: readonly LogFile[] = [];

function tell(message: FromLog): void {
  parentPort?.postMessage(message);
}

function line(record: LogRecord): Buffer {
  const said = ({ bytes, ...texts }: LoggedTexts): unknown => ({
    bytes,
    cut: texts.gap !== null,
    texts: maskedTexts({ bytes, ...texts }, detector, TAIL_BYTES),
  });
  const told = {
    at: new Date(record.atMs).toISOString(),
    guard: record.guard,
    request_id: record.requestId,
    tenant_id: record.tenant,
    model: record.model,
    request: said(record.request),
    response: said(record.response),
  };
  return Buffer.from(`${JSON.stringify(told)}\n`);
}

function write(record: LogRecord): boolean {
  const file = files.find(({ sink }) => sink.guard === record.guard);
  if (file === undefined) return false;
  const before = file.failure;
  const isWritten = file.append(line(record));
  if ((file.failure === null) !== (before === null))
    tell({ kind: 'state', path: file.sink.path, failure: file.failure });
  return isWritten;
}

/** Files of tables that are as before stay open. */
function take(sinks: readonly LogSink[]): void {
  const kept = files;
  files = sinks.map(
    (sink) =>
      kept.find((file) => JSON.stringify(file.sink) === JSON.stringify(sink)) ?? new LogFile(sink),
  );
  for (const file of kept) if (!files.includes(file)) file.close();
  clean();
}

function clean(): void {
  for (const file of files) file.clean();
}

try {
  setPriority(0, NICE);
} catch {
  // It competes with the workers then.
}

setInterval(clean, CLEAN_MS).unref();

parentPort?.on('message', (message: ToLog) => {
  switch (message.kind) {
    case 'sinks':
      take(message.sinks);
      break;
    case 'record':
      tell({ kind: 'taken', units: message.record.units, isWritten: write(message.record) });
      break;
    case 'stop':
      for (const file of files) file.close();
      tell({ kind: 'stopped' });
      parentPort?.close();
      break;
  }
});

/**
 * Entry of the console's thread: answers what the main thread hands it, one call after the other but for what they wait for.
 * It is niced below everything else of the process, because nobody's request may wait for somebody's screen.
 */

import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import type { Log } from '../outlet/log.ts';
import { Audit } from './audit.ts';
import { CallFields } from './call-fields.ts';
import type {
  AskedCall,
  ConsoleStart,
  FromConsole,
  ToConsole,
  ToldAnswer,
} from './console-messages.ts';
import { ConsoleRoom } from './console-room.ts';
import { Front } from './front.ts';
import { isOidcPath, OidcPages } from './oidc-pages.ts';
import { operationTable } from './operation-table.ts';
import { Problem } from './problem.ts';
import { problemAnswer, SAFE_FIELDS } from './problem-answer.ts';
import { API_ROOT, Router, split } from './router.ts';
import { Sessions } from './sessions.ts';
import { StaticFiles } from './static-files.ts';
import { WrongCredentials } from './wrong-credentials.ts';

/** Below the workers (0) and far above nothing: on Linux it is the calling thread's alone. */
const NICE = 10;

const start = workerData as ConsoleStart;

function tell(message: FromConsole): void {
  parentPort?.postMessage(message);
}

const log: Log = {
  write: (level, event, fields = {}) => tell({ kind: 'log', level, event, fields }),
};

try {
  setPriority(0, NICE);
} catch (error) {
  log.write('warn', 'console_not_niced', { reason: (error as Error).message });
}

const sessions = new Sessions();
const audit = new Audit(start.config.document.dataDir, log);
const room = new ConsoleRoom({
  start,
  log,
  sessions,
  audit,
  live: { over: (owner) => tell({ kind: 'live-over', owner }) },
  ask: (question, what, about) => tell({ kind: 'ask', question, what, about }),
});
const wrong = new WrongCredentials();
const front = new Front(sessions, wrong, log, () => {
  const { admin } = room.config;
  if (admin === null) throw new Problem('unavailable', 'The console is being turned off.');
  return admin;
});
room.operations = operationTable(room, front);
const router = new Router(room.operations, front, audit, failed);
const files = new StaticFiles();
const oidcPages = new OidcPages(room, wrong);

function failed(operation: string, error: unknown): void {
  const reason = error instanceof Error ? error.message : 'unknown';
  log.write('error', 'console_operation_failed', { operation, reason });
}

/** What is shown to them that the whole node may be told of. @throws Problem */
function letIn({ method, peer }: AskedCall, fields: CallFields): void {
  const { tenants } = front.identify(fields, peer);
  if (tenants !== null)
    throw new Problem('not_allowed', 'It is of the whole node, and this token is held to tenants.');
  if (method !== 'GET' && method !== 'HEAD') throw new Problem('method_not_allowed');
}

async function answer(call: number, asked: AskedCall): Promise<void> {
  const [path] = split(asked.target);
  if (asked.isAsking) {
    try {
      letIn(asked, new CallFields(asked.fields));
      tell({ kind: 'let-in', call, fields: ['cache-control', 'no-store', ...SAFE_FIELDS] });
    } catch (error) {
      tell({ kind: 'answer', call, answer: refusal('pages', error) });
    }
    return;
  }
  if (path !== API_ROOT && !path.startsWith(`${API_ROOT}/`)) {
    tell({ kind: 'answer', call, answer: await page(asked, path) });
    return;
  }
  const {
    answer: told,
    operation,
    caller,
  } = await router.route(asked, new CallFields(asked.fields));
  const isLive = operation?.id === 'live' && told.status === 200 && asked.method !== 'HEAD';
  if (isLive && caller !== null)
    tell({ kind: 'live', call, fields: told.fields, owner: front.entranceOf(caller).owner });
  else tell({ kind: 'answer', call, answer: told });
}

async function page(asked: AskedCall, path: string): Promise<ToldAnswer> {
  try {
    const fields = new CallFields(asked.fields);
    if (isOidcPath(path)) return await oidcPages.answer(asked, fields);
    return files.answer(asked.method, path, fields, room.config.admin);
  } catch (error) {
    return refusal('pages', error);
  }
}

function refusal(operation: string, error: unknown): ToldAnswer {
  if (error instanceof Problem) return problemAnswer(error);
  failed(operation, error);
  return problemAnswer(new Problem('internal_error'));
}

parentPort?.on('message', (message: ToConsole) => {
  switch (message.kind) {
    case 'call':
      void answer(message.call, message.asked);
      break;
    case 'config':
      room.take(message.config);
      break;
    case 'told':
      room.told(message.question, message.answer);
      break;
    case 'ping':
      tell({ kind: 'pong' });
      break;
    case 'stop':
      parentPort?.close();
      break;
  }
});

tell({ kind: 'ready' });

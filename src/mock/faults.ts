import type { EventsReply } from './reply.ts';

/** What is done to an answer, chosen by the model's name so that a stock SDK can ask for it. */
export interface Fault {
  readonly kind:
    | 'status'
    | 'status-bare'
    | 'status-after'
    | 'status-once'
    | 'flap'
    | 'unknown-model'
    | 'context-length'
    | 'content-filter'
    | 'no-prefill'
    | 'reset'
    | 'reset-once'
    | 'silence'
    | 'slow-first-byte'
    | 'slow-first-content'
    | 'pings'
    | 'role-only'
    | 'cut'
    | 'cut-midevent'
    | 'cut-json'
    | 'empty'
    | 'stall'
    | 'malformed'
    | 'malformed-at'
    | 'no-done'
    | 'huge-final'
    | 'error-event'
    | 'error-first'
    | 'short-length'
    | 'garbage'
    | 'pace';
  /** Status, milliseconds, events or bytes, as the kind says. */
  readonly amount: number;
}

interface Row {
  /** As a person types it; `<n>` is a number. */
  readonly model: string;
  readonly kind: Fault['kind'];
  /** For rows whose model has no number. */
  readonly amount: number;
  readonly summary: string;
}

/** The one table of faults: the help prints it, the server obeys it. */
export const FAULTS: readonly Row[] = [
  {
    model: 'fault-429',
    kind: 'status',
    amount: 429,
    summary: '429 with retry-after: 1, each time',
  },
  {
    model: 'fault-429-once',
    kind: 'status-once',
    amount: 429,
    summary: '429 with retry-after: 1, then an answer',
  },
  {
    model: 'fault-429-bare',
    kind: 'status-bare',
    amount: 429,
    summary: '429 that says of no time to wait',
  },
  {
    model: 'fault-429-after-<n>',
    kind: 'status-after',
    amount: 0,
    summary: '429 with retry-after: n, each time',
  },
  { model: 'fault-404', kind: 'unknown-model', amount: 0, summary: '404, as for an unknown model' },
  { model: 'fault-500', kind: 'status', amount: 500, summary: '500' },
  { model: 'fault-500-once', kind: 'status-once', amount: 500, summary: '500, then an answer' },
  { model: 'fault-503', kind: 'status', amount: 503, summary: '503' },
  { model: 'fault-<n>', kind: 'status', amount: 0, summary: 'status n, 400 to 599' },
  {
    model: 'fault-flap-<n>',
    kind: 'flap',
    amount: 0,
    summary: '503 n times, then n answers, and so on',
  },
  {
    model: 'fault-context-length',
    kind: 'context-length',
    amount: 0,
    summary: '400, the context is too long',
  },
  {
    model: 'fault-content-filter',
    kind: 'content-filter',
    amount: 0,
    summary: '400, the prompt was filtered',
  },
  {
    model: 'fault-no-prefill',
    kind: 'no-prefill',
    amount: 0,
    summary: "400 when the last message is the assistant's own, else an answer",
  },
  {
    model: 'fault-reset',
    kind: 'reset',
    amount: 0,
    summary: 'the connection is reset before the head',
  },
  {
    model: 'fault-reset-once',
    kind: 'reset-once',
    amount: 0,
    summary: 'reset before the head, then an answer',
  },
  { model: 'fault-silence', kind: 'silence', amount: 0, summary: 'no answer, ever' },
  {
    model: 'fault-slow-first-byte-<n>',
    kind: 'slow-first-byte',
    amount: 0,
    summary: 'the head after n ms',
  },
  {
    model: 'fault-slow-first-content-<n>',
    kind: 'slow-first-content',
    amount: 0,
    summary: 'head and opening at once, content after n ms',
  },
  {
    model: 'fault-pings',
    kind: 'pings',
    amount: 0,
    summary: 'head, then keep-alives and nothing else, for ever',
  },
  {
    model: 'fault-role-only',
    kind: 'role-only',
    amount: 0,
    summary: 'head and opening, then silence for ever',
  },
  {
    model: 'fault-cut-<n>',
    kind: 'cut',
    amount: 0,
    summary: 'the connection is destroyed after n events',
  },
  {
    model: 'fault-cut-midevent-<n>',
    kind: 'cut-midevent',
    amount: 0,
    summary: 'destroyed in the middle of event n + 1',
  },
  {
    model: 'fault-cut-json',
    kind: 'cut-json',
    amount: 0,
    summary: 'half of the JSON (of its first event), framed as if it were whole',
  },
  { model: 'fault-empty', kind: 'empty', amount: 0, summary: '200 and nothing in it' },
  { model: 'fault-stall-<n>', kind: 'stall', amount: 0, summary: 'silent for ever after n events' },
  { model: 'fault-malformed', kind: 'malformed', amount: 0, summary: 'an event that is not JSON' },
  {
    model: 'fault-malformed-<n>',
    kind: 'malformed-at',
    amount: 0,
    summary: 'the event behind n others is not JSON',
  },
  {
    model: 'fault-no-done',
    kind: 'no-done',
    amount: 0,
    summary: 'no final marker ([DONE], message_stop)',
  },
  {
    model: 'fault-huge-final-<n>',
    kind: 'huge-final',
    amount: 0,
    summary: 'the usage event padded to n bytes',
  },
  {
    model: 'fault-error-event',
    kind: 'error-event',
    amount: 0,
    summary: "the vendor's error event inside a 200",
  },
  {
    model: 'fault-error-first',
    kind: 'error-first',
    amount: 0,
    summary: 'a 200 that holds nothing but an error',
  },
  {
    model: 'fault-short-length',
    kind: 'short-length',
    amount: 0,
    summary: 'half of the declared length, then close',
  },
  { model: 'fault-garbage', kind: 'garbage', amount: 0, summary: 'bytes that are not HTTP' },
  { model: 'slow-<n>', kind: 'pace', amount: 0, summary: 'n ms between events' },
];

const PATTERNS = FAULTS.map((row) => ({
  row,
  pattern: new RegExp(`^${row.model.replace('<n>', '(\\d{1,9})')}$`),
}));

/** @param model as the request named it, with a provider before it (`groq/fault-500`) or what it was tuned from (`ft:gpt-4o:…`) */
export function faultOf(model: string): Fault | null {
  const name = model.slice(Math.max(model.lastIndexOf('/'), model.lastIndexOf(':')) + 1);
  for (const { row, pattern } of PATTERNS) {
    const match = pattern.exec(name);
    if (match === null) continue;
    const amount = match[1] === undefined ? row.amount : Number(match[1]);
    return row.kind === 'status' && !isErrorStatus(amount) ? null : { kind: row.kind, amount };
  }
  return null;
}

function isErrorStatus(status: number): boolean {
  return status >= 400 && status <= 599;
}

/** The events that a fault of the text itself leaves: what it does to the connection is the server's work. */
export function spoiled(fault: Fault | null, reply: EventsReply): readonly string[] {
  const { events, usageAt, markerAt, failure } = reply;
  switch (fault?.kind) {
    case 'malformed':
      return broken(events, 1);
    case 'malformed-at':
      return broken(events, fault.amount);
    case 'cut-json':
      return [halfOf(events[0] ?? '')];
    case 'empty':
      return [];
    case 'error-first':
      return [failure];
    case 'no-done':
      return markerAt === -1 ? events : events.filter((_, index) => index !== markerAt);
    case 'error-event':
      return [...events.slice(0, 2), failure];
    case 'huge-final':
      return events.map((event, index) =>
        index === usageAt ? padded(event, fault.amount) : event,
      );
    default:
      return events;
  }
}

/** The body that a fault leaves of an answer that is not streamed; null where it leaves it alone. */
export function spoiledBody(fault: Fault | null, body: string, failure: string): string | null {
  switch (fault?.kind) {
    case 'malformed':
    case 'malformed-at':
    case 'cut-json':
      return halfOf(body);
    case 'empty':
      return '';
    case 'error-event':
    case 'error-first':
      return failure;
    default:
      return null;
  }
}

function broken(events: readonly string[], at: number): readonly string[] {
  return events.map((event, index) => (index === at ? event.replace(/\{/, '{"broken') : event));
}

/** With the end that an event has, where it is one: what is cut is its JSON, not the event. */
function halfOf(text: string): string {
  const end = /(?:\r?\n){2}$/.exec(text)?.[0] ?? '';
  return text.slice(0, text.length >> 1) + end;
}

/** JSON allows white space before its last brace: the event grows, what it says stays, usage stays near its front. */
function padded(event: string, bytes: number): string {
  const filler = 'x'.repeat(Math.max(0, bytes - event.length));
  return event.replace('{', `{"padding":"${filler}",`);
}

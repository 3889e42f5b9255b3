import type { EventsReply } from './reply.ts';

/** What is done to an answer, chosen by the model's name so that a stock SDK can ask for it. */
export interface Fault {
  readonly kind:
    | 'status'
    | 'status-once'
    | 'unknown-model'
    | 'reset'
    | 'silence'
    | 'slow-first-byte'
    | 'cut'
    | 'cut-midevent'
    | 'stall'
    | 'malformed'
    | 'no-done'
    | 'huge-final'
    | 'error-event'
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
  { model: 'fault-404', kind: 'unknown-model', amount: 0, summary: '404, as for an unknown model' },
  { model: 'fault-500', kind: 'status', amount: 500, summary: '500' },
  { model: 'fault-503', kind: 'status', amount: 503, summary: '503' },
  {
    model: 'fault-reset',
    kind: 'reset',
    amount: 0,
    summary: 'the connection is reset before the head',
  },
  { model: 'fault-silence', kind: 'silence', amount: 0, summary: 'no answer, ever' },
  {
    model: 'fault-slow-first-byte-<n>',
    kind: 'slow-first-byte',
    amount: 0,
    summary: 'the head after n ms',
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
  { model: 'fault-stall-<n>', kind: 'stall', amount: 0, summary: 'silent for ever after n events' },
  { model: 'fault-malformed', kind: 'malformed', amount: 0, summary: 'an event that is not JSON' },
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
    if (match !== null)
      return { kind: row.kind, amount: match[1] === undefined ? row.amount : Number(match[1]) };
  }
  return null;
}

/** The events that a fault of the text itself leaves: what it does to the connection is the server's work. */
export function spoiled(fault: Fault | null, reply: EventsReply): readonly string[] {
  const { events, usageAt, markerAt, failure } = reply;
  switch (fault?.kind) {
    case 'malformed':
      return events.map((event, index) => (index === 1 ? event.replace(/\{/, '{"broken') : event));
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

/** JSON allows white space before its last brace: the event grows, what it says stays, usage stays near its front. */
function padded(event: string, bytes: number): string {
  const filler = 'x'.repeat(Math.max(0, bytes - event.length));
  return event.replace('{', `{"padding":"${filler}",`);
}

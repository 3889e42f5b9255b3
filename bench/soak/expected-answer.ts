import { createHash } from 'node:crypto';
import type { Asked } from '../../src/mock/asked.ts';
import { ENDPOINTS } from '../../src/mock/endpoints.ts';
import { faultOf, spoiled } from '../../src/mock/faults.ts';
import type { JsonObject } from '../../src/mock/json.ts';
import type { Reply } from '../../src/mock/reply.ts';
import type { Voice } from '../../src/mock/vendor-errors.ts';
import type { MockOrder, StreamOrder } from './order.ts';

/** What a client must be given if nobody disturbs it. */
export interface Expected {
  readonly status: number;
  /** One character a byte; null where the gateway or the mock words the answer: then it is JSON with an error in it. */
  readonly text: string | null;
  /** False: the provider breaks off, and so must the answer, or be a 502. */
  readonly whole: boolean;
  readonly events: boolean;
  /** The gateway edits the request, so that the mock's ids, which are hashes of it, are others. */
  readonly idsVary: boolean;
}

/** Vendors that tell a stream's usage only when asked: a virtual key's request is edited. */
const ASKED: readonly string[] = ['openai', 'cerebras', 'xai'];

export function expectedOfStream({ plan }: StreamOrder): Expected {
  const cut = plan.fate === 'upstream-cuts';
  const tail = plan.clientAsks ? plan.usage + plan.end : plan.end;
  const all = plan.events.join('') + tail;
  const text = cut ? plan.events.slice(0, plan.leaveAt).join('') : all;
  return { status: 200, text, whole: !cut, events: true, idsVary: false };
}

/** The mock's own answer to an order, and what its fault makes of it. */
export function expectedOfMock(order: MockOrder): Expected {
  const [idsVary, isAsked] = [mayBeEdited(order), isEdited(order)];
  const status = refusedWith(order.fault);
  if (status !== null) return { status, text: null, whole: true, events: false, idsVary };
  const body = isAsked ? { ...order.body, stream_options: { include_usage: true } } : order.body;
  const reply = answerOf(order, body);
  if (reply.kind === 'pattern') throw new Error(`no text: ${order.path}`);
  const fault = faultOf(order.model);
  if (reply.kind === 'body') {
    // An error in its place is in the vendor's words.
    const text = fault?.kind === 'error-event' ? null : reply.body;
    const whole = fault === null || !CUTS_BODY.has(fault.kind);
    return { status: 200, text, whole, events: false, idsVary };
  }
  const own = isAsked ? ownUsageEvent(reply.events[reply.usageAt]) : null;
  const events = spoiled(fault, reply).filter((event) => event !== own);
  const isCut = fault?.kind === 'cut' || fault?.kind === 'cut-midevent';
  return { status: 200, text: events.join(''), whole: !isCut, events: true, idsVary };
}

/** Faults that break a body off which is not streamed. */
const CUTS_BODY: ReadonlySet<string> = new Set(['short-length', 'cut', 'cut-midevent']);

function refusedWith(fault: string | null): number | null {
  if (fault === 'fault-500') return 500;
  if (fault === 'fault-429') return 429;
  return fault === 'fault-reset' || fault === 'fault-garbage' ? 502 : null;
}

/** A body of unknown content that comes in several pieces with a length is padded, whether it turns out to stream or not. */
function mayBeEdited({ managed, path, vendor }: MockOrder): boolean {
  return managed && path.endsWith('/completions') && ASKED.includes(vendor);
}

function isEdited(order: MockOrder): boolean {
  const { body } = order;
  return mayBeEdited(order) && body['stream'] === true && body['stream_options'] === undefined;
}

/** Taken out by the gateway, unless it holds more than usage. */
function ownUsageEvent(event: string | undefined): string | null {
  return event?.includes('"choices":[]') === true ? event : null;
}

function answerOf({ path, model, vendor }: MockOrder, body: JsonObject): Reply {
  const endpoint = ENDPOINTS.find((row) => row.method === 'POST' && row.path.test(path));
  if (endpoint === undefined || endpoint.answer === null) throw new Error(`no answer: ${path}`);
  const voice: Voice =
    vendor === 'anthropic'
      ? { dialect: 'anthropic', vendor: 'anthropic' }
      : { dialect: 'openai', vendor };
  const seed = createHash('sha256').update(path).update(JSON.stringify(body)).digest('hex');
  const asked: Asked = { path, query: '', fields: {}, body, model, seed, voice };
  return endpoint.answer(asked);
}

/** Tokens as the dialect's own usage object names them, reasoning always within `output`. */
export interface Tokens {
  readonly input: number;
  readonly output: number;
}

/** A whole body, sent with its length. */
export interface BodyReply {
  readonly kind: 'body';
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** Fields beside the usual ones, name and value alternating. */
  readonly fields: readonly string[];
  /** What the answer bills, null where it bills nothing. */
  readonly tokens: Tokens | null;
}

/** An event stream, rendered whole before its first byte leaves: one entry is one write. */
export interface EventsReply {
  readonly kind: 'events';
  /** Absent: an event stream. */
  readonly contentType?: 'application/x-ndjson';
  readonly events: readonly string[];
  /** Index of the first event with content: those before it are an opening. */
  readonly contentAt: number;
  /** Index of the event that holds the final usage, -1 where none does. */
  readonly usageAt: number;
  /** Index of the event that says the answer is over ([DONE], message_stop), -1 where none does. */
  readonly markerAt: number;
  /** The event that this vendor sends in place of the rest when it fails within a stream. */
  readonly failure: string;
  readonly tokens: Tokens | null;
}

/** Bytes without a length, made by `patternByte`, never held whole. */
export interface PatternReply {
  readonly kind: 'pattern';
  readonly contentType: string;
  readonly bytes: number;
}

export type Reply = BodyReply | EventsReply | PatternReply;

/** A 200 with a JSON body. */
export function jsonReply(body: string, tokens: Tokens | null = null): BodyReply {
  return { kind: 'body', status: 200, contentType: 'application/json', body, fields: [], tokens };
}

/** One server-sent event of a single data line. */
export function dataEvent(json: string, lineEnd: '\n' | '\r\n' = '\n'): string {
  return `data: ${json}${lineEnd}${lineEnd}`;
}

/** One server-sent event with its type named in front. */
export function namedEvent(type: string, json: string): string {
  return `event: ${type}\ndata: ${json}\n\n`;
}

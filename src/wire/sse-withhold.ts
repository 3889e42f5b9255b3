import { EventEnds } from './event-ends.ts';
import type { PieceSink } from './piece-sink.ts';
import { isNull } from './usage-skim.ts';

/**
 * Most bytes held back of an event that is not whole yet; the longest recorded usage event has 1.1 KB. What grows larger
 * is passed on as it is.
 */
export const HELD_MAX_BYTES = 16_384;

const USAGE = Buffer.from('"usage"');
const CHOICES = Buffer.from('"choices"');
const NOTHING = Buffer.alloc(0);
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;

/**
 * Takes out of an OpenAI chat stream the event that reports usage and nothing else (`choices: []`), because the gateway
 * asked for it and the client did not. Everything else passes byte for byte and at once; held back is only an
 * unfinished event, and only while it may still be that one.
 */
export class UsageEventWithholder {
  readonly #ends = new EventEnds();
  #held: Buffer = NOTHING;
  /** The current event is known to be another one. */
  #isPassing = false;
  /** Events taken out. */
  withheld = 0;

  /** @returns false when the client takes no more for now */
  write(chunk: Buffer, client: PieceSink): boolean {
    let more = true;
    let sent = 0;
    let at = 0;
    let usageAt = chunk.indexOf(USAGE);
    if (usageAt < 0 && this.#isWholeEvents(chunk)) return client.push(chunk);
    while (at < chunk.length) {
      const end = this.#ends.next(chunk, at);
      if (end < 0) {
        // A comment keeps a connection alive, and must not wait for what follows it.
        if (this.#held.length === 0 && isComments(chunk, at)) break;
        if (!this.#isPassing && this.#hold(chunk, at)) {
          if (at > sent) more = client.push(chunk.subarray(sent, at)) && more;
          return more;
        }
        more = this.#release(client) && more;
        this.#isPassing = true;
        break;
      }
      while (usageAt >= 0 && usageAt < at) usageAt = chunk.indexOf(USAGE, at);
      if (!this.#isPassing && this.#isWithheld(chunk, at, end, usageAt)) {
        if (at > sent) more = client.push(chunk.subarray(sent, at)) && more;
        this.#held = NOTHING;
        this.withheld++;
        sent = end;
      }
      more = this.#release(client) && more;
      this.#isPassing = false;
      at = end;
    }
    if (sent === 0) return client.push(chunk) && more;
    return sent < chunk.length ? client.push(chunk.subarray(sent)) && more : more;
  }

  /** Whether a chunk is whole events and nothing else: it often is, and then finding their ends can be spared. */
  #isWholeEvents(chunk: Buffer): boolean {
    if (this.#held.length > 0 || this.#isPassing || !this.#ends.atBoundary) return false;
    return chunk[chunk.length - 1] === LF && chunk[chunk.length - 2] === LF;
  }

  /** The stream is complete. */
  end(client: PieceSink): void {
    if (this.#held.length > 0 && isUsageOnly(this.#held)) this.withheld++;
    else this.#release(client);
    this.#held = NOTHING;
  }

  /** Keeps the unfinished event at the end of a chunk, when it may be the one. */
  #hold(chunk: Buffer, at: number): boolean {
    const bytes = this.#held.length + chunk.length - at;
    if (bytes > HELD_MAX_BYTES) return false;
    const held = Buffer.concat([this.#held, chunk.subarray(at)], bytes);
    if (!mayBeUsageOnly(held)) return false;
    this.#held = held;
    return true;
  }

  #release(client: PieceSink): boolean {
    if (this.#held.length === 0) return true;
    const held = this.#held;
    this.#held = NOTHING;
    return client.push(held);
  }

  /** @param usageAt the first usage key of the chunk at or behind `at`, or -1 */
  #isWithheld(chunk: Buffer, at: number, end: number, usageAt: number): boolean {
    if (this.#held.length > 0) {
      return isUsageOnly(Buffer.concat([this.#held, chunk.subarray(at, end)]));
    }
    if (usageAt < 0 || usageAt >= end || isNull(chunk, usageAt + USAGE.length, end)) return false;
    return isUsageOnly(chunk.subarray(at, end));
  }
}

/** Whether an unfinished event can still turn out to report usage and nothing else. */
function mayBeUsageOnly(event: Buffer): boolean {
  const data = dataStart(event);
  if (data < 0) return true;
  const first = skipSpaces(event, data);
  if (first < event.length && event[first] !== OPEN_BRACE) return false;
  const choices = event.indexOf(CHOICES, first);
  if (choices >= 0 && !mayBeEmptyArray(event, choices + CHOICES.length)) return false;
  const usage = event.indexOf(USAGE, first);
  return usage < 0 || !isNull(event, usage + USAGE.length, event.length);
}

/** Whether the rest of a chunk is whole lines of comment. */
function isComments(chunk: Buffer, from: number): boolean {
  for (let line = from; line < chunk.length; ) {
    const next = nextLine(chunk, line);
    if (next < 0 || chunk[line] !== COLON) return false;
    line = next;
  }
  return from < chunk.length;
}

function mayBeEmptyArray(event: Buffer, from: number): boolean {
  let at = skipSpaces(event, from);
  for (const byte of [COLON, OPEN_BRACKET, CLOSE_BRACKET]) {
    if (at >= event.length) return true;
    if (event[at] !== byte) return false;
    at = skipSpaces(event, at + 1);
  }
  return true;
}

/** The offset behind the name of the first line of data, or -1 while there is none. */
function dataStart(event: Buffer): number {
  for (let line = 0; line >= 0 && line < event.length; line = nextLine(event, line)) {
    if (event.toString('latin1', line, line + 5) === 'data:') return line + 5;
  }
  return -1;
}

function nextLine(event: Buffer, from: number): number {
  const lf = event.indexOf(LF, from);
  return lf < 0 ? -1 : lf + 1;
}

function skipSpaces(event: Buffer, from: number): number {
  let at = from;
  while (event[at] === SPACE) at++;
  return at;
}

/**
 * What may stand beside usage in an event that reports nothing else: the chunk's envelope and telemetry, as recorded, and
 * as Cerebras (inference-docs.cerebras.ai), llama.cpp (its server's README) and LM Studio document it.
 * What else a provider puts there (an error, xAI's citations) is the client's: better it sees usage than loses that.
 */
const ENVELOPE: ReadonlySet<string> = new Set([
  'id',
  'object',
  'created',
  'model',
  'system_fingerprint',
  'service_tier',
  'choices',
  'usage',
  'obfuscation',
  'provider',
  'latency_checkpoint',
  'time_info',
  'timings',
  'stats',
]);

/** Whether an event's data says `choices: []`, a usage that is not null, and nothing else that matters. */
function isUsageOnly(event: Buffer): boolean {
  let data = '';
  for (let line = 0; line >= 0 && line < event.length; ) {
    const next = nextLine(event, line);
    let end = next < 0 ? event.length : next - 1;
    if (end > line && event[end - 1] === CR) end--;
    const text = event.toString('utf8', line, end);
    if (text.startsWith('data:')) data += `${text.slice(5)}\n`;
    line = next;
  }
  try {
    const chunk: unknown = JSON.parse(data);
    if (typeof chunk !== 'object' || chunk === null) return false;
    const { choices, usage } = chunk as { choices?: unknown; usage?: unknown };
    const isReport = typeof usage === 'object' && usage !== null;
    if (!isReport || !Array.isArray(choices) || choices.length > 0) return false;
    return Object.entries(chunk).every(([name, value]) => value === null || ENVELOPE.has(name));
  } catch {
    return false;
  }
}

import { Buffer } from 'node:buffer';
import { type EventSink, EventStream, lastBlockStart } from './event-stream.ts';
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
export class UsageEventWithholder implements EventSink {
  readonly #stream = new EventStream();
  /** What came of the open block and was not passed on. */
  #held: Buffer = NOTHING;
  /** Offset in the open block, as far as it is not passed on, of its first byte of data; -1 before that came. */
  #dataAt = -1;
  /** The open block is known to be another one. */
  #isPassing = false;
  /** The last chunk ended with one that was taken out: a LF that belongs to its CR goes the same way. */
  #endedWithheld = false;
  #chunk: Buffer = NOTHING;
  /** Where in the chunk the open block, or what is left of it, begins. */
  #from = 0;
  /** Bytes of the chunk that are passed on or taken out. */
  #done = 0;
  #more = true;
  /** Events taken out. */
  withheld = 0;

  /**
   * @param mayReport false when `UsageReader.push` found nothing to read in it: then whole events need no look
   * @returns false when the client takes no more for now
   */
  write(chunk: Buffer, client: PieceSink, mayReport: boolean): boolean {
    const at = this.#stream.begin(chunk);
    if (!mayReport && at === 0 && this.#stream.betweenEvents && endsWithBlankLine(chunk))
      return client.push(chunk);
    this.#more = true;
    this.#chunk = chunk;
    this.#done = this.#endedWithheld ? at : 0;
    this.#endedWithheld = false;
    const isOpen = !this.#stream.betweenEvents;
    // The other half of a line end inside a block is the block's.
    this.#from = isOpen ? 0 : at;
    if (!isOpen || this.#readBlock(at, client)) this.#readBlocks(chunk, client);
    this.#passUpTo(chunk.length, client);
    this.#chunk = NOTHING;
    return this.#more;
  }

  /** The stream is complete. */
  end(client: PieceSink): void {
    if (this.#held.length > 0 && isUsageOnly(this.#held)) this.withheld++;
    else this.#release(client);
    this.#held = NOTHING;
  }

  onData(chunk: Buffer, from: number): void {
    if (this.#dataAt < 0 && chunk === this.#chunk)
      this.#dataAt = this.#held.length + from - this.#from;
  }

  /** Reads the blocks that begin in a chunk; those without a report are jumped over. */
  #readBlocks(chunk: Buffer, client: PieceSink): void {
    while (this.#from < chunk.length) {
      const report = nextReport(chunk, this.#from);
      this.#from = lastBlockStart(chunk, this.#from, report < 0 ? chunk.length : report);
      if (this.#from < chunk.length && !this.#readBlock(this.#from, client)) return;
    }
  }

  /**
   * Reads the open block on.
   * @param at behind the half of a line end that may stand at the chunk's start
   * @returns false when it goes on behind the chunk, which is then dealt with
   */
  #readBlock(at: number, client: PieceSink): boolean {
    const end = this.#stream.read(this.#chunk, at, this);
    if (end < 0) {
      this.#keepOpen(client);
      return false;
    }
    if (!this.#isPassing && this.#isWithheld(end)) {
      this.#passUpTo(this.#from, client);
      this.#held = NOTHING;
      this.#done = end;
      this.withheld++;
      this.#endedWithheld = end === this.#chunk.length;
    } else this.#release(client);
    this.#isPassing = false;
    this.#dataAt = -1;
    this.#from = end;
    return true;
  }

  /** The rest of the chunk is the start of a block, or goes on with one. */
  #keepOpen(client: PieceSink): void {
    if (this.#stream.betweenEvents) {
      // A comment keeps a connection alive, and must not wait for what follows it.
      this.#release(client);
      return;
    }
    if (!this.#isPassing && this.#hold(client)) return;
    this.#release(client);
    this.#isPassing = true;
  }

  /** Keeps the rest of the chunk, when the open block may be the one. */
  #hold(client: PieceSink): boolean {
    const bytes = this.#held.length + this.#chunk.length - this.#from;
    if (bytes > HELD_MAX_BYTES) return false;
    const held = Buffer.concat([this.#held, this.#chunk.subarray(this.#from)], bytes);
    if (this.#dataAt >= 0 && !mayBeUsageOnly(held, this.#dataAt)) return false;
    this.#passUpTo(this.#from, client);
    this.#held = held;
    this.#done = this.#chunk.length;
    return true;
  }

  #isWithheld(end: number): boolean {
    const block = this.#chunk.subarray(this.#from, end);
    if (this.#held.length > 0) return isUsageOnly(Buffer.concat([this.#held, block]));
    return nextReport(block, 0) >= 0 && isUsageOnly(block);
  }

  #release(client: PieceSink): void {
    if (this.#held.length === 0) return;
    const held = this.#held;
    this.#held = NOTHING;
    this.#more = client.push(held) && this.#more;
  }

  #passUpTo(at: number, client: PieceSink): void {
    if (at <= this.#done) return;
    const isAll = this.#done === 0 && at === this.#chunk.length;
    const piece = isAll ? this.#chunk : this.#chunk.subarray(this.#done, at);
    this.#done = at;
    this.#more = client.push(piece) && this.#more;
  }
}

/** Whether a chunk's last line is blank and its end is not half a line end: then nothing of it is open. */
function endsWithBlankLine(chunk: Buffer): boolean {
  const end = chunk.length;
  if (chunk[end - 1] !== LF) return false;
  return chunk[end - 2] === LF || (chunk[end - 2] === CR && chunk[end - 3] === LF);
}

/** The first usage in a chunk from `from` on that is not null; -1 without one. */
function nextReport(chunk: Buffer, from: number): number {
  for (let at = chunk.indexOf(USAGE, from); at >= 0; at = chunk.indexOf(USAGE, at + 1))
    if (!isNull(chunk, at + USAGE.length, chunk.length)) return at;
  return -1;
}

/**
 * Whether an unfinished event can still turn out to report usage and nothing else.
 * @param data where its first byte of data stands
 */
function mayBeUsageOnly(event: Buffer, data: number): boolean {
  const first = skipSpaces(event, data);
  if (first < event.length && event[first] !== OPEN_BRACE) return false;
  const choices = event.indexOf(CHOICES, first);
  if (choices >= 0 && !mayBeEmptyArray(event, choices + CHOICES.length)) return false;
  const usage = event.indexOf(USAGE, first);
  return usage < 0 || !isNull(event, usage + USAGE.length, event.length);
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
  const lines: Buffer[] = [];
  const stream = new EventStream();
  stream.read(event, stream.begin(event), {
    onData: (bytes, from, to) => lines.push(bytes.subarray(from, to)),
  });
  try {
    const chunk: unknown = JSON.parse(Buffer.concat(lines).toString());
    if (typeof chunk !== 'object' || chunk === null) return false;
    const { choices, usage } = chunk as { choices?: unknown; usage?: unknown };
    const isReport = typeof usage === 'object' && usage !== null;
    if (!isReport || !Array.isArray(choices) || choices.length > 0) return false;
    return Object.entries(chunk).every(([name, value]) => value === null || ENVELOPE.has(name));
  } catch {
    return false;
  }
}

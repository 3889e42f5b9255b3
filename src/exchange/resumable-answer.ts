import { Buffer } from 'node:buffer';
import { type Failed, failureOfInband } from '../plan/failover.ts';
import { continuedEvent, type MessageNames, namesOf } from '../wire/continued-events.ts';
import { EventData } from '../wire/event-data.ts';
import { EventStream } from '../wire/event-stream.ts';
import type { InbandError } from '../wire/first-content.ts';
import type { Seam } from '../wire/seam.ts';
import { type ContinuedWire, type TextEvent, textEvent } from '../wire/text-events.ts';
import type { KeptBudget } from './kept-budget.ts';

/** Collected of one answer's text, in UTF-16 units: sixty thousand tokens, more than nearly all models write at once. */
export const TEXT_MAX_UNITS = 262_144;
/** By how much the text's share of the node's budget grows, in bytes. */
const TEXT_STEP_BYTES = 16_384;
/** Of an event that is not whole yet, in bytes; text comes in events of a few hundred. */
const EVENT_MAX_BYTES = 65_536;

/** Of one of the second provider's, in bytes: longer, it is told as it comes. */
const CONTINUED_EVENT_MAX_BYTES = 1024 * 1024;

const NOTHING = Buffer.alloc(0);
const NO_TEXT: InbandError = { status: 0, code: 'NO_TEXT' };

/** Why a stream breaks off here, though its connection does not. */
export interface BrokenOff {
  readonly failed: Failed;
  /** The provider's own word, for the trail. */
  readonly code: string;
}

/**
 * A stream behind its commit that another provider may go on with, as long as it is one text: tells its whole events, and
 * collects what they say. Once it goes on, the other one's events are told within the same message.
 */
export class ResumableAnswer {
  readonly #wire: ContinuedWire;
  readonly #budget: KeptBudget;
  #events = new EventStream();
  readonly #data = new EventData();
  /** What came of an event that is not whole. */
  #open: Buffer = NOTHING;
  #text = '';
  #takenBytes = 0;
  /** Data of the event that was read last. */
  #said = '';
  #names: MessageNames | null = null;
  #seam: Seam | null = null;
  #mayBreak = true;
  /** Nothing is read of it any more: it is told as it comes. */
  #isRaw = false;
  /** Text came with what was pushed last. */
  broughtText = false;
  /** It became too long for anybody to go on with. */
  isOver = false;
  /** An event that is not told: what came with it and behind it is here (`letGo`). */
  broken: BrokenOff | null = null;

  /** @param budget of what the node keeps for another attempt */
  constructor(wire: ContinuedWire, budget: KeptBudget) {
    this.#wire = wire;
    this.#budget = budget;
  }

  /** All that the client has of the answer's text. */
  get text(): string {
    return this.#text;
  }

  /** It is a text that is not whole: another provider could go on with it. */
  get mayBreak(): boolean {
    return this.#mayBreak;
  }

  /** What comes is another provider's. */
  get isContinued(): boolean {
    return this.#seam !== null;
  }

  /** @param piece lent. @returns what is the client's now; lent too */
  push(piece: Buffer): Buffer {
    this.broughtText = false;
    if (this.#isRaw) return piece;
    if (this.broken !== null) {
      this.#open = Buffer.concat([this.#open, piece]);
      return NOTHING;
    }
    return this.#seam === null ? this.#pushFirst(piece) : this.#pushContinued(piece, this.#seam);
  }

  /** An event has begun, and no blank line has ended it. */
  get isInEvent(): boolean {
    return !this.#isRaw && this.broken === null && this.#open.length > 0;
  }

  /** The stream has ended inside of an event, which may have said that the text is whole. Its bytes are told by `end`. */
  readOpenEvent(): void {
    this.#events.finish();
    const { kind } = this.#event();
    if (kind === 'end' || kind === 'other') this.#mayBreak = false;
  }

  /** What is left of a stream that ends: an event that no blank line ended. */
  end(): Buffer {
    if (this.#seam === null || this.#isRaw || this.#open.length === 0) return this.letGo();
    return Buffer.concat([this.push(Buffer.from('\n\n')), this.letGo()]);
  }

  /** Nobody goes on with it. @returns what was kept back; from here on it is told as it comes */
  letGo(): Buffer {
    const kept = this.#open;
    // Half an event of the second message is of no use in the first one.
    const isTold = this.#seam === null || this.broken !== null || kept.length > EVENT_MAX_BYTES;
    this.#open = NOTHING;
    this.#mayBreak = false;
    this.#isRaw = true;
    return isTold ? kept : NOTHING;
  }

  /** Another provider goes on. */
  continueWith(seam: Seam): void {
    this.#seam = seam;
    this.#open = NOTHING;
    this.#events = new EventStream();
    this.#data.take();
    this.broken = null;
  }

  /** Gives back what it took of the node's budget. */
  drop(): void {
    for (; this.#takenBytes > 0; this.#takenBytes -= TEXT_STEP_BYTES)
      this.#budget.give(TEXT_STEP_BYTES);
    this.#text = '';
  }

  #pushFirst(piece: Buffer): Buffer {
    let at = this.#events.begin(piece);
    let told = 0;
    while (this.#mayBreak) {
      const next = this.#events.read(piece, at, this.#data);
      if (next < 0) break;
      at = next;
      const event = this.#event();
      if (event.kind === 'broken' && this.#isBreak(event.error)) break;
      told = next;
      if (event.kind === 'text') this.#collect(event.text);
      else if (event.kind !== 'none') this.#mayBreak = false;
      if (event.kind !== 'broken') this.#names ??= namesOf(event.body);
    }
    this.#data.keep();
    if (this.#mayBreak) return this.#upTo(told, piece);
    const kept = this.letGo();
    return kept.length === 0 ? piece : Buffer.concat([kept, piece]);
  }

  /** What is told of a piece is whole events; the rest is kept. */
  #upTo(told: number, piece: Buffer): Buffer {
    const whole = piece.subarray(0, told);
    const out = told === 0 || this.#open.length === 0 ? whole : Buffer.concat([this.#open, whole]);
    const kept = told === 0 ? this.#open : NOTHING;
    this.#open = told === piece.length ? NOTHING : Buffer.concat([kept, piece.subarray(told)]);
    if (this.broken !== null || this.#open.length <= EVENT_MAX_BYTES) return out;
    // No event of a text is that long.
    return Buffer.concat([out, this.letGo()]);
  }

  #pushContinued(piece: Buffer, seam: Seam): Buffer {
    const told: Buffer[] = [];
    let at = this.#events.begin(piece);
    let from = 0;
    for (;;) {
      const next = this.#events.read(piece, at, this.#data);
      if (next < 0) break;
      at = next;
      const event = this.#event();
      if (event.kind === 'broken' && this.#isBreak(event.error)) break;
      if (this.#opensOtherwise(event) && this.#isBreak(NO_TEXT)) break;
      const raw = Buffer.concat([this.#open, piece.subarray(from, next)]);
      this.#open = NOTHING;
      from = next;
      if (event.kind === 'broken') told.push(raw);
      else {
        const { bytes, text } = continuedEvent(this.#wire, event, raw, seam, this.#names);
        if (bytes !== null) told.push(bytes);
        if (text !== '') this.#collect(text);
      }
      if (event.kind !== 'none' && event.kind !== 'text') this.#mayBreak = false;
    }
    this.#data.keep();
    this.#open = Buffer.concat([this.#open, piece.subarray(from)]);
    if (this.#open.length > CONTINUED_EVENT_MAX_BYTES) told.push(this.letGo());
    return Buffer.concat(told);
  }

  #event(): TextEvent {
    const data = this.#data.take();
    this.#said = data ?? '';
    // One that is too long to be read is no text's.
    if (data === null) return { kind: 'other', body: {} };
    return textEvent(this.#wire, this.#events.wasError, data);
  }

  /** A second message that begins with a thought cannot go on with a text. */
  #opensOtherwise(event: TextEvent): boolean {
    if (event.kind !== 'other' || this.#wire !== 'anthropic-messages') return false;
    return event.body['type'] === 'content_block_start' && event.body['index'] === 0;
  }

  /** @returns whether another provider may go on in its place; else it is told */
  #isBreak({ status, code }: InbandError): boolean {
    const failed = this.#mayBreak ? failureOfInband(status, code, this.#said) : null;
    if (failed !== null) this.broken = { failed, code };
    return failed !== null;
  }

  #collect(text: string): void {
    this.broughtText = true;
    // Nobody goes on with it any more.
    if (!this.#mayBreak) return;
    this.#text += text;
    let isFull = this.#text.length > TEXT_MAX_UNITS;
    while (!isFull && this.#takenBytes < this.#text.length * 2) {
      if (this.#budget.take(TEXT_STEP_BYTES)) this.#takenBytes += TEXT_STEP_BYTES;
      else isFull = true;
    }
    if (isFull) {
      this.isOver = true;
      this.#mayBreak = false;
    }
  }
}

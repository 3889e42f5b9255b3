import type { GuardPhase, Hearing, JudgeContext, Listener, RunKind } from '../guard.ts';
import { CappedTexts } from './capped-texts.ts';
import type { LogRecord } from './log-messages.ts';
import type { LogRoom } from './log-room.ts';

/** What the exchanges that are open on one worker hold for the log, in UTF-16 units; those that need more are not logged. */
const OPEN_MAX_UNITS = 8 * 1_048_576;

/** What a record takes beside its texts, in UTF-16 units. */
const RECORD_UNITS = 256;

/** How much the open exchanges of one worker hold, of all tables together. */
export class OpenHearings {
  units = 0;
}

/** Keeps what was said for the exchange log, as the guards before it left it, and hands it on when the exchange is over. */
export class LogListener implements Listener {
  readonly name: string;
  readonly #room: LogRoom;
  readonly #open: OpenHearings;
  readonly #send: (record: LogRecord) => void;

  /** @param send brings a record to the log's thread */
  constructor(name: string, room: LogRoom, open: OpenHearings, send: (record: LogRecord) => void) {
    this.name = name;
    this.#room = room;
    this.#open = open;
    this.#send = send;
  }

  open(context: JudgeContext): Hearing {
    return new LogHearing(this.name, context, this.#room, this.#open, this.#send);
  }
}

class LogHearing implements Hearing {
  readonly #guard: string;
  readonly #context: JudgeContext;
  readonly #room: LogRoom;
  readonly #open: OpenHearings;
  readonly #send: (record: LogRecord) => void;
  readonly #atMs = Date.now();
  readonly #texts = { request: new CappedTexts(), response: new CappedTexts() };
  /** There was no room for it while it was open. */
  #isLost = false;
  #isOver = false;

  constructor(
    guard: string,
    context: JudgeContext,
    room: LogRoom,
    open: OpenHearings,
    send: (record: LogRecord) => void,
  ) {
    this.#guard = guard;
    this.#context = context;
    this.#room = room;
    this.#open = open;
    this.#send = send;
  }

  get #units(): number {
    return this.#texts.request.units + this.#texts.response.units;
  }

  heard(phase: GuardPhase, kind: RunKind, run: number, text: string): void {
    if (this.#isLost || this.#isOver) return;
    const texts = this.#texts[phase];
    const before = texts.units;
    texts.add(kind, run, text);
    this.#open.units += texts.units - before;
    if (this.#open.units > OPEN_MAX_UNITS) {
      this.#open.units -= this.#units;
      this.#isLost = true;
      this.#texts.request = new CappedTexts();
      this.#texts.response = new CappedTexts();
    }
  }

  over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#isLost) {
      this.#room.drop();
      return;
    }
    const units = this.#units;
    this.#open.units -= units;
    if (units === 0 || !this.#room.take(units + RECORD_UNITS)) return;
    const { tenant, model, requestId } = this.#context;
    this.#send({
      atMs: this.#atMs,
      guard: this.#guard,
      requestId,
      tenant,
      model,
      request: this.#texts.request.texts(),
      response: this.#texts.response.texts(),
      units: units + RECORD_UNITS,
    });
  }
}

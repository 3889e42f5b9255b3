import type { Buffer } from 'node:buffer';
import type { Guard, GuardPhase } from './guard.ts';
import type { GuardSession } from './guard-session.ts';
import { type DocumentRun, GuardedDocument } from './text/guarded-document.ts';

/** Text that guards read in one turn, in UTF-16 units: 4 ms. A prompt of a million tokens would hold up all others for a quarter of a second. */
const TURN_UNITS = 65_536;

/** Whoever waits for a document: told once, in the same turn where no judge is asked and it is not long. */
export interface DocumentHost {
  /** @param body lent; the one that was given where nothing was changed */
  onGuarded(body: Buffer): void;
}

/** A request, or a whole answer, on its way through the guards of its phase. What is not to pass is told to the session's host. */
export class DocumentGuarding {
  readonly #session: GuardSession;
  readonly #phase: GuardPhase;
  readonly #guards: readonly Guard[];
  readonly #host: DocumentHost;
  #document: GuardedDocument | null = null;
  /** Where it has come to: a guard, a run, and what of that is settled. */
  #guardAt = 0;
  #runAt = 0;
  #from = 0;
  #edited = '';

  constructor(session: GuardSession, phase: GuardPhase, host: DocumentHost) {
    this.#session = session;
    this.#phase = phase;
    this.#guards = session.of(phase);
    this.#host = host;
  }

  /** @param bytes kept by its owner until the host is told */
  guard(bytes: Buffer): void {
    const session = this.#session;
    const document = GuardedDocument.of(bytes, this.#phase === 'request' ? 'prompt' : 'text');
    if (document === null) {
      session.unscanned(this.#phase, bytes.length);
      if (session.blockedBy === null) this.#host.onGuarded(bytes);
      return;
    }
    session.scannedBytes += document.scannedBytes;
    if (this.#phase === 'request') {
      session.model = document.model;
      session.mayPutBack = !document.goesOn;
      for (const { text } of document.runs) session.saw(text);
    }
    session.unscanned(this.#phase, document.unscannedBytes);
    this.#document = document;
    this.#goOn();
  }

  /** Until a judge is asked, or this turn has done enough: others wait for it. */
  #goOn(): void {
    const session = this.#session;
    const document = this.#document;
    if (document === null || session.isOver) return;
    let units = TURN_UNITS;
    for (; this.#guardAt < this.#guards.length; this.#guardAt++) {
      const guard = this.#guards[this.#guardAt];
      if (guard === undefined) continue;
      if (guard.judge !== null && document.runs.length > 0) {
        this.#ask(guard, document);
        return;
      }
      for (; this.#runAt < document.runs.length; ) {
        if (units <= 0) {
          this.#laterOn();
          return;
        }
        units -= this.#scan(guard, document.runs[this.#runAt]);
        if (session.blockedBy !== null) return;
      }
      this.#runAt = 0;
    }
    this.#document = null;
    if (this.#phase === 'response') {
      session.restore(document.runs);
      if (document.isChanged) session.isChanged = true;
    }
    this.#host.onGuarded(document.written());
  }

  #laterOn(): void {
    setImmediate(() => {
      try {
        this.#goOn();
      } catch (error) {
        this.#session.broke(error);
      }
    });
  }

  /**
   * The next part of a run: a detector is given the rest of it only where it needs more to settle anything.
   * @returns units that were read
   */
  #scan(guard: Guard, run: DocumentRun | undefined): number {
    if (run === undefined) return 0;
    const session = this.#session;
    const { text, kind } = run;
    const hearing = session.hearingOf(guard);
    if (hearing !== null) hearing.heard(this.#phase, kind, this.#runAt, text, true);
    if (guard.detector === null) {
      this.#runAt++;
      return text.length;
    }
    for (let units = TURN_UNITS; ; units *= 2) {
      const from = this.#from;
      const isEnd = from + units >= text.length;
      const part = isEnd && from === 0 ? text : text.slice(from, from + units);
      const found = session.edited(guard, this.#phase, kind, part, isEnd);
      if (found === null) return 0;
      if (found.settledTo === 0 && !isEnd) continue;
      this.#edited += found.text;
      this.#from = from + found.settledTo;
      if (isEnd) {
        run.text = this.#edited;
        this.#edited = '';
        this.#from = 0;
        this.#runAt++;
      }
      return part.length;
    }
  }

  #ask(guard: Guard, document: GuardedDocument): void {
    const session = this.#session;
    const runs = document.runs.map(({ kind, text }) => ({ kind, text }));
    session.ask(guard, this.#phase, runs, (judgement) => {
      const texts = session.outcome(guard, runs, judgement);
      if (texts === null) return;
      for (const [at, run] of document.runs.entries()) run.text = texts[at] ?? run.text;
      this.#guardAt++;
      this.#goOn();
    });
  }
}

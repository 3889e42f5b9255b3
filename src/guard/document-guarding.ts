import type { Buffer } from 'node:buffer';
import type { Guard, GuardPhase } from './guard.ts';
import type { GuardSession } from './guard-session.ts';
import { GuardedDocument } from './text/guarded-document.ts';

/** Whoever waits for a document: told once, in the same turn where no judge is asked. */
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
    this.#through(document, 0);
  }

  #through(document: GuardedDocument, from: number): void {
    const session = this.#session;
    for (let at = from; at < this.#guards.length; at++) {
      if (session.blockedBy !== null) return;
      const guard = this.#guards[at];
      if (guard === undefined) continue;
      if (guard.judge !== null && document.runs.length > 0) {
        this.#ask(guard, document, at + 1);
        return;
      }
      this.#apply(guard, document);
    }
    if (session.blockedBy !== null) return;
    if (this.#phase === 'response') {
      session.restore(document.runs);
      if (document.isChanged) session.isChanged = true;
    }
    this.#host.onGuarded(document.written());
  }

  #apply(guard: Guard, document: GuardedDocument): void {
    const session = this.#session;
    const hearing = session.hearingOf(guard);
    for (const [at, run] of document.runs.entries()) {
      if (hearing !== null) hearing.heard(this.#phase, run.kind, at, run.text, true);
      if (guard.detector === null) continue;
      const edited = session.edited(guard, this.#phase, run.kind, run.text);
      if (edited === null) return;
      run.text = edited;
    }
  }

  #ask(guard: Guard, document: GuardedDocument, next: number): void {
    const session = this.#session;
    const runs = document.runs.map(({ kind, text }) => ({ kind, text }));
    session.ask(guard, this.#phase, runs, (judgement) => {
      const texts = session.outcome(guard, runs, judgement);
      if (texts === null) return;
      for (const [at, run] of document.runs.entries()) run.text = texts[at] ?? run.text;
      this.#through(document, next);
    });
  }
}

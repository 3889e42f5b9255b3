import type { Deadlines, Due } from '../../ticker.ts';
import type { GuardPhase, Judge, JudgeContext, JudgedRun, Judgement } from '../guard.ts';
import { failed, type JudgeReport, judgeFailure } from './judge-failure.ts';
import type { ModuleCall } from './module-messages.ts';
import { WAIT_MS } from './module-pool.ts';

/** Calls of one worker that wait for a verdict. */
export const CALLS_MAX = 256;

/** Texts of one call, in UTF-16 units: they are copied and written as JSON on their way, 1 MiB in some 5 ms. */
export const CALL_MAX_UNITS = 1_048_576;

/** What a call may take beside its wait and its budget, in milliseconds: its way there and back on a machine that is busy. */
const WAY_MS = 1_000;

/** What a worker's questions need of whoever brings them to the modules. */
export interface ModuleWay {
  ask(asked: ModuleCall): void;
  left(guard: string, call: number): void;
}

/** One call, on its worker. */
class Question implements Due {
  dueSlot = -1;
  readonly #done: (judgement: Judgement) => void;
  readonly #signal: AbortSignal;
  readonly #onLeft: () => void;

  constructor(
    signal: AbortSignal,
    done: (judgement: Judgement) => void,
    onLeft: (question: Question) => void,
  ) {
    this.#signal = signal;
    this.#done = done;
    this.#onLeft = () => onLeft(this);
    signal.addEventListener('abort', this.#onLeft, { once: true });
  }

  settle(judgement: Judgement): void {
    this.#signal.removeEventListener('abort', this.#onLeft);
    this.#done(judgement);
  }

  onDue(): void {
    this.#onLeft();
  }

  onDueBroken(): void {
    this.settle(failed('late'));
  }
}

/** A worker's questions to the modules: asked of the main thread, answered when the module has judged. */
export class ModuleQuestions {
  readonly #way: ModuleWay;
  readonly #deadlines: Deadlines;
  readonly #waiting = new Map<number, Question>();
  #calls = 0;

  constructor(way: ModuleWay, deadlines: Deadlines) {
    this.#way = way;
    this.#deadlines = deadlines;
  }

  ask(
    budgetMs: number,
    phase: GuardPhase,
    runs: readonly JudgedRun[],
    context: JudgeContext,
    signal: AbortSignal,
  ): Promise<Judgement> {
    if (signal.aborted) return Promise.resolve(failed('left'));
    let units = 0;
    for (const { text } of runs) units += text.length;
    if (units === 0) return Promise.resolve({ verdict: 'keep' });
    if (units > CALL_MAX_UNITS) return Promise.resolve(failed('too_long'));
    if (this.#waiting.size >= CALLS_MAX) return Promise.resolve(failed('busy'));
    const call = ++this.#calls;
    return new Promise((resolve) => {
      const question = new Question(signal, resolve, () => {
        this.#way.left(context.guard, call);
        this.answer(call, failed(signal.aborted ? 'left' : 'late'));
      });
      this.#waiting.set(call, question);
      this.#deadlines.set(question, budgetMs + WAIT_MS + WAY_MS);
      this.#way.ask({ call, phase, runs, context });
    });
  }

  answer(call: number, judgement: Judgement): void {
    const question = this.#waiting.get(call);
    if (question === undefined) return;
    this.#waiting.delete(call);
    this.#deadlines.clear(question);
    question.settle(judgement);
  }
}

/** An operator's module as a guard. */
export class ModuleJudge implements Judge {
  readonly name: string;
  readonly #budgetMs: number;
  readonly #questions: ModuleQuestions;
  readonly #report: JudgeReport;

  constructor(name: string, budgetMs: number, questions: ModuleQuestions, report: JudgeReport) {
    this.name = name;
    this.#budgetMs = budgetMs;
    this.#questions = questions;
    this.#report = report;
  }

  async judge(
    phase: GuardPhase,
    runs: readonly JudgedRun[],
    context: JudgeContext,
    signal: AbortSignal,
  ): Promise<Judgement> {
    const judgement = await this.#questions.ask(this.#budgetMs, phase, runs, context, signal);
    if (judgement.verdict === 'failed') this.#report.failed(this.name, judgeFailure(judgement.why));
    return judgement;
  }
}

import { JUDGE_FAILURES, type JudgeFailure, type JudgeReport } from './judge-failure.ts';

/** Makes the memory that all threads share: calls without a verdict, by why. Once per process. */
export function createJudgeCounts(): SharedArrayBuffer {
  return new SharedArrayBuffer(JUDGE_FAILURES.length * Int32Array.BYTES_PER_ELEMENT);
}

/** One thread's view of it. */
export class JudgeCounts {
  readonly #words: Int32Array<SharedArrayBuffer>;

  /** @param memory from `createJudgeCounts` */
  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  add(why: JudgeFailure): void {
    Atomics.add(this.#words, JUDGE_FAILURES.indexOf(why), 1);
  }

  /** Since the start, of the whole node. */
  totals(): ReadonlyMap<JudgeFailure, number> {
    return new Map(
      JUDGE_FAILURES.map((why, at) => [why, Atomics.load(this.#words, at) >>> 0] as const),
    );
  }
}

/** The same failure of one guard is in the log once in this time, in milliseconds, however often it comes. */
const TOLD_MS = 60_000;

interface Told {
  atMs: number;
  /** Since it was told. */
  more: number;
}

type Warn = (event: string, fields: Readonly<Record<string, string | number | null>>) => void;

/** Counts what a worker's judges do not say, and tells the operator now and then. */
export class JudgeTally implements JudgeReport {
  readonly #counts: JudgeCounts;
  readonly #warn: Warn;
  readonly #now: () => number;
  /** By guard and reason: both are of closed lists. */
  readonly #told = new Map<string, Told>();

  constructor(counts: JudgeCounts, warn: Warn, now: () => number = () => performance.now()) {
    this.#counts = counts;
    this.#warn = warn;
    this.#now = now;
  }

  failed(guard: string, why: JudgeFailure): void {
    this.#counts.add(why);
    // Who leaves is nobody's fault.
    if (why === 'left') return;
    const key = `${guard} ${why}`;
    const told = this.#told.get(key);
    const nowMs = this.#now();
    if (told !== undefined && nowMs - told.atMs < TOLD_MS) {
      told.more++;
      return;
    }
    this.#warn('guard_judge_failed', { guard, why, more: told?.more ?? 0 });
    this.#told.set(key, { atMs: nowMs, more: 0 });
  }
}

/** How long a request waits at most for what its fleet knows, in milliseconds: NATS that hangs must not hang requests. */
const WAIT_MS = 1_000;

/**
 * It is asked again so many times, so many milliseconds apart, while what is looked for is not there: a record is on its way
 * to the bucket for some 20 ms behind the answer that brought it, and for longer where its node has much to do.
 */
const ROUNDS = 8;
const ROUND_PAUSE_MS = 25;

/** Requests of one worker that wait; whoever comes beyond is answered by what the node knows. */
export const WAITING_MAX = 1_024;

/** Who names what its node does not know. */
export interface FleetAsker {
  /** Whether the node knows by now what is looked for. */
  isKnown(): boolean;
  /** Nothing more is to be waited for. */
  told(): void;
}

interface Waiting {
  readonly asker: FleetAsker;
  readonly limit: NodeJS.Timeout;
  roundsLeft: number;
}

/**
 * A worker's questions to its fleet: whether the node was told everything that the bucket has. One question answers all who
 * wait, so that ids which are guessed cost the bucket no more than the first one does.
 */
export class FleetQuestions {
  readonly #ask: () => void;
  readonly #report: (error: unknown) => void;
  readonly #waiting = new Set<Waiting>();
  /** Those whom the question that runs will answer: who came behind it is answered by the next one. */
  #asked: readonly Waiting[] = [];
  /** A question runs, or follows in a moment. */
  #isAsking = false;

  /** @param ask brings a question to whoever answers it with `answer`, in any case */
  constructor(ask: () => void, report: (error: unknown) => void) {
    this.#ask = ask;
    this.#report = report;
  }

  /**
   * @param asker is told once, never in this turn
   * @returns false when too many wait: it is told nothing then
   */
  ask(asker: FleetAsker): boolean {
    if (this.#waiting.size >= WAITING_MAX) return false;
    const waiting: Waiting = {
      asker,
      limit: setTimeout(() => this.#tell(waiting), WAIT_MS),
      roundsLeft: ROUNDS,
    };
    this.#waiting.add(waiting);
    if (!this.#isAsking) this.#begin();
    return true;
  }

  /** @param isTold the node was told everything that the bucket had when it was asked; false: nobody can say that now */
  answer(isTold: boolean): void {
    for (const one of this.#asked) {
      one.roundsLeft--;
      if (!isTold || one.roundsLeft === 0 || one.asker.isKnown()) this.#tell(one);
    }
    this.#asked = [];
    if (this.#waiting.size === 0) this.#isAsking = false;
    else setTimeout(() => this.#begin(), ROUND_PAUSE_MS);
  }

  #begin(): void {
    this.#asked = [...this.#waiting];
    this.#isAsking = this.#asked.length > 0;
    if (this.#isAsking) this.#ask();
  }

  #tell(one: Waiting): void {
    if (!this.#waiting.delete(one)) return;
    clearTimeout(one.limit);
    try {
      one.asker.told();
    } catch (error) {
      this.#report(error);
    }
  }
}

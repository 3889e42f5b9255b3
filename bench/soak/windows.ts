import type { Fault } from './answer-check.ts';
import type { End } from './messages.ts';

/** Milliseconds of the wall clock; Infinity while it has not ended. */
interface Span {
  readonly fromMs: number;
  toMs: number;
}

/** A tenant is cut off: it was asked for, held everywhere, was asked to end, held nowhere. */
interface Hold {
  readonly tenant: number;
  readonly askedMs: number;
  heldMs: number;
  liftAskedMs: number;
  liftedMs: number;
}

/** Behind a restart, connections that the gateway had kept still turn out to be dead. */
const AWAY_TAIL_MS = 1_000;

/** When what was done to the surroundings explains what a client saw, and when it must have been seen. */
export class Windows {
  readonly #away: Span[] = [];
  readonly #holds: Hold[] = [];

  /** Upstreams go away; call the result when they are back. */
  away(): () => void {
    const span: Span = { fromMs: Date.now(), toMs: Number.POSITIVE_INFINITY };
    this.#away.push(span);
    return () => {
      span.toMs = Date.now() + AWAY_TAIL_MS;
    };
  }

  /** A deny is about to be written. */
  hold(tenant: number): Hold {
    const never = Number.POSITIVE_INFINITY;
    const askedMs = Date.now();
    const hold = { tenant, askedMs, heldMs: never, liftAskedMs: never, liftedMs: never };
    this.#holds.push(hold);
    return hold;
  }

  isAway(fromMs: number, toMs: number): boolean {
    return this.#away.some((span) => span.fromMs <= toMs && fromMs <= span.toMs);
  }

  /** What of an end nothing explains. */
  unexplained(end: End): readonly string[] {
    const { status, beganMs, endedMs, tenant, due } = end;
    const holds = due === null ? [] : this.#holds.filter((hold) => hold.tenant === tenant);
    const mustHold = holds.some(
      ({ heldMs, liftAskedMs }) => heldMs < beganMs && endedMs < liftAskedMs,
    );
    const mayHold = holds.some(
      ({ askedMs, liftedMs }) => askedMs <= endedMs && beganMs <= liftedMs,
    );
    if (status === 402) return mayHold ? [] : [`402 for nobody who is cut off: ${end.described}`];
    if (mustHold && status !== 0) return [`${status} for who is cut off: ${end.described}`];
    return end.faults
      .filter((fault) => !this.#isExplained(fault, end))
      .map(({ kind, what }) => `${kind}: ${what}: ${end.described}`);
  }

  #isExplained({ kind }: Fault, { beganMs, endedMs }: End): boolean {
    return kind === 'lost' && this.isAway(beganMs, endedMs);
  }
}

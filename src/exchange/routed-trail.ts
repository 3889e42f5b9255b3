import type { UsageFact } from '../settle/usage-fact.ts';
import type { ResponseHead } from '../wire/response-head.ts';
import { waitOf } from './routed-judgement.ts';
import { retryAfter } from './routed-refusals.ts';

/** Of `x-sluice-attempts`: sixteen names of usual length. */
const ATTEMPTS_CHARACTERS = 1_024;

/** The fields in which a provider says how long it wants to be left alone. */
const WAITS = /^(?:retry-after|retry-after-ms|x-ms-retry-after-ms):[^\n]*\n/gim;

/** What became of the attempts of one request: for the answer's fields, and for the settlement. */
export class RoutedTrail {
  /** A target's name, and a status or a word. */
  readonly #tried: readonly string[];
  readonly #facts: readonly UsageFact[];

  constructor(tried: readonly string[], facts: readonly UsageFact[]) {
    this.#tried = tried;
    this.#facts = facts;
  }

  /**
   * @param fact null when it never reached its provider
   * @returns the trail with one attempt more
   */
  with(target: string, came: string, fact: UsageFact | null): RoutedTrail {
    const facts = fact === null ? this.#facts : [...this.#facts, fact];
    return new RoutedTrail([...this.#tried, shown(target, came)], facts);
  }

  /**
   * What the gateway says of the way: bounded, and never a secret.
   * @param costUsd of the answer; null = not known, or not yet
   */
  ownLines(target: string, status: number, costUsd: string | null = null): string {
    const last = shown(target, String(status));
    const tried = this.#tried;
    return lines(target, tried.length === 0 ? last : `${tried.join(', ')}, ${last}`, costUsd);
  }

  /** The same of an answer that is in the trail already, since another attempt was to follow it. */
  linesOfEarlier(target: string): string {
    return lines(target, this.#tried.join(', '), null);
  }

  /**
   * @param last of the attempt that is left; null: the one before it is the final one, unless
   * @param isFollowed the last one has its fact when it has ended
   */
  facts(last: UsageFact | null, isFollowed = false): readonly UsageFact[] {
    const facts = this.#facts;
    if (last !== null) return facts.length === 0 ? [last] : [...facts, last];
    if (isFollowed) return facts;
    const before = facts.at(-1);
    return before === undefined ? facts : [...facts.slice(0, -1), { ...before, final: true }];
  }
}

function lines(target: string, attempts: string, costUsd: string | null): string {
  const cost = costUsd === null ? '' : `x-sluice-cost-usd: ${costUsd}\r\n`;
  return `x-sluice-target: ${legible(target)}\r\nx-sluice-attempts: ${attempts.slice(0, ATTEMPTS_CHARACTERS)}\r\n${cost}`;
}

/** Of a request whose first attempt is the only one, as nearly all are. */
export const NO_TRAIL = new RoutedTrail([], []);

/**
 * @param lines of the gateway itself
 * @param leastWaitMs the least wait that remains among the targets; 0 = none
 * @returns the head as it is told: where every target waits, for how long at least
 */
export function toldHead(head: ResponseHead, lines: string, leastWaitMs: number): string {
  const told = head.head + lines;
  if (leastWaitMs === 0) return told;
  const ownMs = waitOf(head);
  // Where the provider asks for no more than that, its own word stands.
  if (ownMs === null || ownMs <= leastWaitMs) return told;
  return `${told.replace(WAITS, '')}${retryAfter(leastWaitMs)}`;
}

function shown(target: string, came: string): string {
  return `${legible(target)} ${came}`;
}

const ILLEGIBLE = /[^\x21-\x7e]/g;
/** Names that were looked through. */
const LEGIBLE_MAX = 1_024;
const LEGIBLE = new Map<string, string>();

/** A name as a field's value may hold it (RFC 9110 §5.5): callers spell models, line ends and all. */
export function legible(name: string): string {
  const known = LEGIBLE.get(name);
  if (known !== undefined) return known;
  if (LEGIBLE.size >= LEGIBLE_MAX) LEGIBLE.clear();
  const said = name.replace(ILLEGIBLE, '_');
  LEGIBLE.set(name, said);
  return said;
}

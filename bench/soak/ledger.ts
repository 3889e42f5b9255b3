import type { LogLine } from '../../test/support/gateway.ts';
import { truthOf } from '../../test/support/metering-storm.ts';
import type { End } from './messages.ts';
import { numberOf } from './order.ts';
import type { Windows } from './windows.ts';

/** Tenant of the requests by which the soak looks whether a deny holds: they have no number. */
export const PROBE_TENANT = 9_001;

const FACT = 1;
const REACHED = 2;
/** Orders that a ledger has flags for: a byte each, 10 hours at 60 a second. */
const ORDERS_MAX = 2_200_000;

interface Pending {
  end: End | null;
  fact: LogLine | null;
}

/**
 * Facts, what the providers were sent and what the clients know, order by order: each managed order that reached a
 * provider has exactly one fact, and it is true. What is settled is forgotten but for two bits.
 */
export class Ledger {
  readonly #flags = new Uint8Array(ORDERS_MAX);
  readonly #pending = new Map<number, Pending>();
  /** Facts whose request never came as far as its model. */
  #nameless = 0;
  /** Facts by where their counts come from. */
  readonly sources = { reported: 0, estimated: 0, none: 0 };
  facts = 0;
  readonly #windows: Windows;
  readonly #fault: (text: string) => void;

  /** @param fault told what is wrong, once each */
  constructor(windows: Windows, fault: (text: string) => void) {
    this.#windows = windows;
    this.#fault = fault;
  }

  reached(number: number): void {
    this.#flags[number] = (this.#flags[number] ?? 0) | REACHED;
  }

  fact(fact: LogLine): void {
    this.facts++;
    const source = fact['usage_source'];
    if (source === 'reported' || source === 'estimated' || source === 'none')
      this.sources[source]++;
    if (fact['tenant_id'] === String(PROBE_TENANT)) return;
    const number = numberOf(fact['requested_model']);
    if (number === null) {
      if (fact['outcome'] === 'client_gone') this.#nameless++;
      else this.#fault(`a fact of no request: ${JSON.stringify(fact)}`);
      return;
    }
    const flags = this.#flags[number] ?? 0;
    if ((flags & FACT) !== 0) this.#fault(`two facts of order ${number}`);
    this.#flags[number] = flags | FACT;
    const pending = this.#of(number);
    pending.fact = fact;
    this.#settle(number, pending);
  }

  end(end: End): void {
    if (end.due === null) return;
    const pending = this.#of(end.number);
    pending.end = end;
    this.#settle(end.number, pending);
  }

  /** Nothing more comes: whatever lacks its other half is told. */
  close(): void {
    let leavers = 0;
    for (const [number, { end, fact }] of this.#pending) {
      const hasReached = ((this.#flags[number] ?? 0) & REACHED) !== 0;
      if (fact !== null) this.#fault(`a fact of an order that no client sent: ${number}`);
      if (end === null || fact !== null) continue;
      if (hasReached) this.#fault(`no fact of what reached a provider: ${end.described}`);
      else if (end.left || end.status === 0) leavers++;
      else if (!this.#mayLackFact(end)) {
        this.#fault(`no fact of a request answered ${end.status}: ${end.described}`);
      }
    }
    if (this.#nameless > leavers) {
      this.#fault(
        `${this.#nameless} facts without a model, for ${leavers} clients that left early`,
      );
    }
  }

  #of(number: number): Pending {
    const known = this.#pending.get(number);
    if (known !== undefined) return known;
    const made: Pending = { end: null, fact: null };
    this.#pending.set(number, made);
    return made;
  }

  #settle(number: number, { end, fact }: Pending): void {
    if (end === null || fact === null) return;
    this.#pending.delete(number);
    const wrong = this.#untruth(end, fact);
    if (wrong !== null) this.#fault(`${wrong}: ${end.described}, ${JSON.stringify(fact)}`);
  }

  #untruth(end: End, fact: LogLine): string | null {
    const { due, status, complete, requestId } = end;
    if (due === null) return 'a fact of a request without a virtual key';
    if (status === 402 || status === 403) return 'a fact of a refused request';
    if (String(end.tenant) !== fact['tenant_id']) return "a fact with another's tenant";
    if (status !== 0 && fact['request_id'] !== requestId) return "a fact with another's id";
    const truth = truthOf(fact, due.cost) ?? truthOf(fact, due.ceiling);
    if (due.free) return truth === 'told' ? 'usage of what bills nothing' : null;
    if (truth === null) return 'an untrue fact';
    const mustTell = status === 200 && complete && due.sound;
    return mustTell && truth !== 'told' ? 'a whole answer that was not metered exactly' : null;
  }

  /** Refused while cut off, or not sent because the provider was away. */
  #mayLackFact({ status, beganMs, endedMs }: End): boolean {
    if (status === 402 || status === 403) return true;
    return status >= 500 && this.#windows.isAway(beganMs, endedMs);
  }
}

import type { RejectionCode } from '../rejection.ts';

/** How long refusals are gathered before they are told, in milliseconds. */
const GATHER_MS = 1_000;

/** Pairs of tenant and reason that are gathered at a time; what is more is counted without a name. */
const PAIRS_MAX = 1_024;

/** Whom a request with a verified key was for. */
export interface Payer {
  /** Decimal. */
  readonly tenantText: string;
  /** Decimal; null for a `bai_v1` key. */
  readonly keyText: string | null;
}

/** How often a tenant was refused for a reason. */
export interface Refusals {
  readonly tenantId: string;
  /** Of the last one. */
  readonly keyId: string | null;
  readonly reason: RejectionCode;
  readonly count: number;
}

/** Counts refusals of verified keys on one worker, for the main thread's list: a request costs a look into a map. */
export class RefusalTally {
  readonly #send: (rows: readonly Refusals[], unnamed: number) => void;
  readonly #pairs = new Map<string, { -readonly [Key in keyof Refusals]: Refusals[Key] }>();
  #unnamed = 0;
  #timer: NodeJS.Timeout | null = null;

  /** @param send takes what was gathered, and how many found no room */
  constructor(send: (rows: readonly Refusals[], unnamed: number) => void) {
    this.#send = send;
  }

  add({ tenantText, keyText }: Payer, reason: RejectionCode): void {
    const name = `${tenantText} ${reason}`;
    const pair = this.#pairs.get(name);
    if (pair !== undefined) {
      pair.count++;
      pair.keyId = keyText;
    } else if (this.#pairs.size < PAIRS_MAX) {
      this.#pairs.set(name, { tenantId: tenantText, keyId: keyText, reason, count: 1 });
    } else {
      this.#unnamed++;
    }
    this.#timer ??= setTimeout(() => this.flush(), GATHER_MS);
  }

  flush(): void {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#send([...this.#pairs.values()], this.#unnamed);
    this.#pairs.clear();
    this.#unnamed = 0;
  }
}

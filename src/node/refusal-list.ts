import type { Refusals } from '../settle/refusal-tally.ts';

/** Pairs of tenant and reason that are counted; what `/refusals` shows of them. */
const PAIRS_MAX = 512;
const SHOWN_MAX = 100;

interface Row {
  readonly tenantId: string;
  readonly reason: string;
  keyId: string | null;
  count: number;
  /** At most so many of `count` were another pair's, whose place this one took. */
  readonly error: number;
  lastMs: number;
}

/**
 * Who is refused most, and why. Bounded whatever tenants there are, by Space-Saving (Metwally, Agrawal, El Abbadi 2005): a
 * pair without a place takes the one with the lowest count, and goes on from there. Whoever has more than a 512th of all
 * refusals is in the list for sure, and no count is too low.
 */
export class RefusalList {
  readonly #rows = new Map<string, Row>();
  readonly #sinceMs = Date.now();
  #total = 0;
  /** Refusals that came without a name: their worker had no room for more pairs. */
  #unnamed = 0;

  add(rows: readonly Refusals[], unnamed: number): void {
    this.#unnamed += unnamed;
    this.#total += unnamed;
    for (const row of rows) this.#count(row);
  }

  /** JSON: the pairs with the most refusals since the start, most first. */
  page(): string {
    const top = [...this.#rows.values()].sort((a, b) => b.count - a.count).slice(0, SHOWN_MAX);
    const page = {
      since: new Date(this.#sinceMs).toISOString(),
      total: this.#total,
      unnamed: this.#unnamed,
      top: top.map(({ tenantId, keyId, reason, count, error, lastMs }) => ({
        tenant_id: tenantId,
        last_key_id: keyId,
        reason,
        count,
        count_error: error,
        last: new Date(lastMs).toISOString(),
      })),
    };
    return `${JSON.stringify(page)}\n`;
  }

  #count({ tenantId, keyId, reason, count }: Refusals): void {
    this.#total += count;
    const name = `${tenantId} ${reason}`;
    const row = this.#rows.get(name);
    const lastMs = Date.now();
    if (row !== undefined) {
      row.count += count;
      row.keyId = keyId;
      row.lastMs = lastMs;
      return;
    }
    const error = this.#rows.size < PAIRS_MAX ? 0 : this.#giveUpLowest();
    this.#rows.set(name, { tenantId, keyId, reason, count: error + count, error, lastMs });
  }

  /** @returns its count */
  #giveUpLowest(): number {
    let lowest = '';
    let count = Number.POSITIVE_INFINITY;
    for (const [name, row] of this.#rows) {
      if (row.count < count) [lowest, count] = [name, row.count];
    }
    this.#rows.delete(lowest);
    return count;
  }
}

import type { PriceBook } from '../prices/price-book.ts';
import type { PriceRow } from '../prices/price-row.ts';

/** Of each provider the row that stands for models without a price (`unpriced = "default_rate"`): the dearest that it has. */
export class DefaultRates {
  readonly #book: PriceBook;
  readonly #rows = new Map<string, PriceRow | null>();

  constructor(book: PriceBook) {
    this.#book = book;
  }

  /** @returns null where the provider has no price at all */
  of(provider: string, nowMs: number): PriceRow | null {
    const known = this.#rows.get(provider);
    if (known !== undefined) return known;
    let dearest: PriceRow | null = null;
    for (const model of this.#book.known(provider)) {
      const row = this.#book.row(provider, model, nowMs);
      if (row !== null && !row.free && weight(row) > weight(dearest)) dearest = row;
    }
    this.#rows.set(provider, dearest);
    return dearest;
  }
}

/** Answers decide what most requests cost. */
function weight(row: PriceRow | null): number {
  const rates = row?.standard[0]?.rates ?? null;
  return rates === null ? -1 : rates.output + rates.input;
}

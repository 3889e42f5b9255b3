import type { PriceView } from '../prices/price-book.ts';
import { ratesFor, stepsAt } from '../prices/price-row.ts';
import type { PriceDoor, TokenRates } from './price-door.ts';

const FREE: TokenRates = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, perRequest: 0 };

/**
 * The price book as the plan asks it: standard rates, as they are now.
 * @param now in milliseconds
 */
export function bookPrices(book: PriceView, now: () => number = Date.now): PriceDoor {
  return {
    rates: (provider, model, inputTokens) => {
      const atMs = now();
      const row = book.row(provider, model, atMs);
      if (row === null) return null;
      if (row.free) return FREE;
      const steps = stepsAt(row, atMs);
      const rates = steps === null ? null : ratesFor(steps, inputTokens);
      // -1 is no price. What has none for its answers is no model to talk to.
      if (rates === null || rates.input < 0 || rates.output < 0) return null;
      const { input, output, cacheRead, cacheWrite } = rates;
      return {
        input,
        output,
        cacheRead: cacheRead < 0 ? input : cacheRead,
        cacheWrite: cacheWrite < 0 ? input : cacheWrite,
        perRequest: row.perRequest,
      };
    },
    traits: (provider, model) => book.traits(provider, model),
    models: (provider) => book.models(provider),
  };
}

import { type Config, type ConfigDocument, configFromDocument } from '../config/config-document.ts';
import { bookPrices } from '../plan/book-prices.ts';
import { Health } from '../plan/health.ts';
import { openPlanner, type Plans } from '../plan/open-planner.ts';
import { Pins } from '../plan/pins.ts';
import { Planner } from '../plan/planner.ts';
import { PriceBook, shippedBook } from '../prices/price-book.ts';
import { PoolKeys } from '../providers/pool-keys.ts';
import { type Provider, providerTable } from '../providers/providers.ts';
import type { GatewayView } from './gateway-view.ts';

/** One configuration's plans on the memory that the workers write: what a worker would plan now. */
export interface Live {
  readonly config: Config;
  readonly providers: readonly Provider[];
  readonly keys: PoolKeys;
  readonly book: PriceBook;
  readonly plans: Plans;
}

/** Made anew when the configuration is another one. */
export class LivePlans {
  readonly #view: GatewayView;
  readonly #pins: Pins;
  #document: ConfigDocument | null = null;
  #live: Live | null = null;

  constructor(view: GatewayView) {
    this.#view = view;
    this.#pins = new Pins(view.memory.pins);
  }

  get now(): Live {
    const document = this.#view.running();
    if (this.#document === document && this.#live !== null) return this.#live;
    const config = configFromDocument(document);
    const providers = providerTable(config.providers);
    const keys = new PoolKeys(providers, config.poolKeys, 0);
    const book = new PriceBook(shippedBook(), config.pricing);
    const health = new Health(this.#view.memory.health, config.routing.breaker);
    const prices = bookPrices(book, this.#view.now);
    const plans = openPlanner(config.routing, providers, keys, health, this.#pins, prices, Planner);
    this.#live = { config, providers, keys, book, plans };
    this.#document = document;
    return this.#live;
  }
}

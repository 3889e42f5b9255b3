import { TokenRatios } from '../meter/token-ratios.ts';
import { playedBy } from '../mock/played-fault.ts';
import type { Target } from '../plan/route-table.ts';
import type { Pricing } from '../prices/cost.ts';
import { PoolKey } from '../providers/pool-keys.ts';
import { Secret } from '../secret.ts';
import { MetricsLayout, WorkerMetrics } from '../settle/metrics.ts';
import type { StateHomes } from '../stored/state-homes.ts';
import type { Transports } from '../upstream/transport.ts';
import { fieldValue } from '../wire/fields.ts';
import type { JsonScanner } from '../wire/json-scanner.ts';
import type { AttemptContext } from './attempt-terms.ts';
import type { BackgroundAnswers } from './background-answers.ts';
import type { UnseenAnswers } from './unseen-answers.ts';

/** The field in which a caller says which targets are to fail, and how: `openai=429;retry-after=3, anthropic/m=stall`. */
const FIELD = 'x-sluice-rehearse';

/** Faults in one field: what a route can hold. */
const FAULTS_MAX = 16;

/** What a caller asks to be played. */
export interface Rehearsed {
  /** By the name of a provider or target: the mock's model that does it. */
  readonly faults: ReadonlyMap<string, string>;
  /** What stands in the field and is nothing. */
  readonly dropped: number;
}

const NOTHING: Rehearsed = { faults: new Map(), dropped: 0 };

/**
 * Faults played in place of targets: their attempts go to a `sluice mock` instead, with the mock's own table of faults and
 * a key that is none. What happens there counts nowhere: not for the provider, its keys and breakers, not in a metric and
 * in no fact.
 */
export class Rehearsal implements AttemptContext {
  readonly transports: Transports;
  readonly metrics: WorkerMetrics;
  readonly ratios = new TokenRatios();
  readonly poolKey = new PoolKey('bearer', new Secret('rehearsal'));
  readonly #house: AttemptContext;

  /** @param transports where every provider is the mock */
  constructor(house: AttemptContext, transports: Transports) {
    this.#house = house;
    this.transports = transports;
    const layout = new MetricsLayout([]);
    this.metrics = new WorkerMetrics(layout, layout.allocate(1), 0);
  }

  /** @param fields flat list with lower-case names */
  asked(fields: readonly string[]): Rehearsed {
    const value = fieldValue(fields, FIELD);
    if (value === null) return NOTHING;
    const faults = new Map<string, string>();
    const parts = value.split(',').map((part) => part.trim());
    for (const part of parts.slice(0, FAULTS_MAX)) {
      const at = part.indexOf('=');
      const model = at < 1 ? null : playedBy(part.slice(at + 1));
      if (model !== null) faults.set(part.slice(0, at).trim(), model);
    }
    return { faults, dropped: parts.length - faults.size };
  }

  /** @returns the mock's model that plays what is asked for this target; null: it is asked itself */
  modelFor({ name, provider }: Target, { faults }: Rehearsed): string | null {
    const model = faults.get(name) ?? faults.get(provider.name);
    return model === undefined ? null : `${provider.name}/${model}`;
  }

  get scanner(): JsonScanner {
    return this.#house.scanner;
  }

  get unseen(): UnseenAnswers {
    return this.#house.unseen;
  }

  get stored(): StateHomes {
    return this.#house.stored;
  }

  get background(): BackgroundAnswers {
    return this.#house.background;
  }

  get pricing(): Pricing {
    return this.#house.pricing;
  }

  get ownsCors(): boolean {
    return this.#house.ownsCors;
  }

  report(error: unknown): void {
    this.#house.report(error);
  }
}

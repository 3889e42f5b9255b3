/** Which other model there would have been room for: told to who is refused over money, so that there is a way out. */

import type { ModelTraits } from '../plan/model-traits.ts';
import type { Target } from '../plan/route-table.ts';
import type { Provider } from '../providers/providers.ts';
import type { AskedSpending } from '../wire/asked-spending.ts';

/** What somebody may ask for in place of what is too dear. */
export interface Candidate {
  readonly provider: string;
  readonly model: string;
  /** `provider/model`: what goes into a request. */
  readonly name: string;
}

/** Looked at for one refusal, in the order of the routes: each costs less than a microsecond, and refusals come in floods. */
export const CANDIDATES_MAX = 64;

/** Of what routes lead to, what the gateway has a key for. */
export function candidatesOf(
  targets: readonly Target[],
  hasKey: (provider: Provider) => boolean,
): readonly Candidate[] {
  return targets
    .filter(({ provider }) => hasKey(provider))
    .slice(0, CANDIDATES_MAX)
    .map(({ provider, model, name }) => ({ provider: provider.name, model, name }));
}

/** A candidate and the most that the request can cost there, in nano-dollars. */
export interface Alternative {
  readonly name: string;
  readonly nano: number;
}

/** As `highest-cost.ts` has it, where nobody says more of the model. */
const BYTES_PER_TOKEN = 3;

/**
 * The cheapest candidate that costs no more than there is room for; null: there is none.
 * @param costOf the most that the request can cost there; null: nobody knows
 */
export function cheapest(
  candidates: readonly Candidate[],
  roomNano: number,
  costOf: (candidate: Candidate) => number | null,
): Alternative | null {
  let found: Alternative | null = null;
  for (const candidate of candidates) {
    const nano = costOf(candidate);
    if (nano === null || nano > roomNano || (found !== null && nano >= found.nano)) continue;
    found = { name: candidate.name, nano };
  }
  return found;
}

/** Whether a model can be named for a request: tools that a provider runs itself are nobody else's, and pictures not everybody's. */
export function mayServe(
  { textBytes, dataBytes, outputTokens, tools, named }: AskedSpending,
  { contextTokens, images }: ModelTraits,
): boolean {
  if (tools > 0 || (dataBytes + named > 0 && images !== true)) return false;
  return (
    contextTokens === null || textBytes / BYTES_PER_TOKEN + (outputTokens ?? 0) <= contextTokens
  );
}

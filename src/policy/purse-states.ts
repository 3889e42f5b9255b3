/** How purses of limits stand, for who asks a running gateway. Looks only. */

import { type LimitTable, monotonicUs, NO_ROW } from './limit-table.ts';

/** Looked at for one question: a key and whatever one request of it takes from has ten. */
const NAMES_MAX = 64;

/** One purse; the names of its members are those of the admin listener's `/limits`. */
export interface PurseState {
  /** As the table of limits has it. */
  readonly name: string;
  /** Until a whole minute's worth is there again, in milliseconds. */
  readonly requests_full_ms: number;
  readonly tokens_full_ms: number;
  readonly in_flight: number;
}

/** @returns those of the names that have a place; who has none has taken nothing */
export function purseStates(
  table: LimitTable,
  names: readonly string[],
  nowUs: number = monotonicUs(),
): readonly PurseState[] {
  return names.slice(0, NAMES_MAX).flatMap((name) => {
    const row = table.find(name);
    if (row === NO_ROW) return [];
    return [
      {
        name,
        requests_full_ms: table.fullInUs(row, 'requests', nowUs) / 1_000,
        tokens_full_ms: table.fullInUs(row, 'tokens', nowUs) / 1_000,
        in_flight: table.inFlight(row),
      },
    ];
  });
}

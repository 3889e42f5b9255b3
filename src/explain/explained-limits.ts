/** The limits of one key, as they are explained: what they are, and what a running gateway has left of them. */

import type { KeyLimits, PurseView } from '../policy/limiter.ts';
import type { PurseState } from '../policy/purse-states.ts';

const MINUTE_MS = 60_000;
/** Rounding of what is left, far below one. */
const ROUNDING = 1e-6;

/** How purses stand, as somebody who runs knows it. */
export interface KnownPurses {
  /** @returns those that have a place, by their names; null: nobody answers */
  of(names: readonly string[]): Promise<ReadonlyMap<string, PurseState> | null>;
  /** A sentence on where that is from. @param isKnown false: nobody has answered */
  says(isKnown: boolean): string;
}

/** A target that a request may go to: of its model and its provider are limits, too. */
interface Asked {
  readonly provider: string;
  /** `provider/model`. */
  readonly name: string;
}

/**
 * @param limits null: nothing limits the key
 * @param targets that may be tried
 */
export async function limitLines(
  limits: KeyLimits | null,
  targets: readonly Asked[],
  known: KnownPurses,
): Promise<readonly string[]> {
  const purses = new Map<string, PurseView>();
  // What limits the key holds wherever its request goes, and where it goes nowhere.
  for (const { provider, name } of targets.length === 0 ? [NOBODY] : targets)
    for (const purse of limits?.purses(provider, name) ?? []) purses.set(purse.name, purse);
  if (limits === null || purses.size === 0) return ['no limit holds for it'];
  const states = await known.of([...purses.keys()]);
  const lines = [...purses.values()].map((purse) => {
    const counted = purse.enforced ? '' : ', counted only';
    const state = states === null ? null : (states.get(purse.name) ?? UNTOUCHED);
    return `limit of the ${purse.label}: ${parts(purse, state).join(', ')}${counted}`;
  });
  return [...lines, known.says(states !== null)];
}

const NOBODY: Asked = { provider: '', name: '/' };

/** Nobody has taken anything yet. */
const UNTOUCHED = { requests_full_ms: 0, tokens_full_ms: 0, in_flight: 0 };

function parts(
  { limits, part }: PurseView,
  state: Omit<PurseState, 'name'> | null,
): readonly string[] {
  const minute = (whole: number, fullMs: number | null, unit: string): readonly string[] => {
    if (whole === 0) return [];
    const mine = Math.floor(whole * part + ROUNDING);
    if (fullMs === null) return [`${mine} ${unit} a minute`];
    const left = Math.floor((part - fullMs / MINUTE_MS) * whole + ROUNDING);
    return [`${Math.max(0, left)} of ${mine} ${unit} a minute left`];
  };
  const { rpm, tpm, maxInFlight } = limits;
  const most = Math.max(1, Math.floor(maxInFlight * part + ROUNDING));
  const inFlight = state === null ? `${most} in flight` : `${state.in_flight} of ${most} in flight`;
  return [
    ...minute(rpm, state?.requests_full_ms ?? null, 'requests'),
    ...minute(tpm, state?.tokens_full_ms ?? null, 'tokens'),
    ...(maxInFlight === 0 ? [] : [inFlight]),
  ];
}

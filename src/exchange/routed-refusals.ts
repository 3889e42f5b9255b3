/** Why a routed request goes nowhere, as its caller is told. */

import type { Refusal } from '../dialect/losses.ts';
import type { Plan } from '../plan/plan.ts';
import type { PricedPlan } from '../plan/planner.ts';
import { usdText } from '../prices/money.ts';
import { type Rejection, rejection } from '../rejection.ts';

/** Enough to recognise a typing error. */
const NAME_SHOWN_CHARACTERS = 64;

/** @param nearest names that are some */
export function unknownModel(name: string, nearest: readonly string[]): Rejection {
  const shown = name.slice(0, NAME_SHOWN_CHARACTERS);
  return rejection('unknown_model', `"${shown}" is none; the nearest are ${nearest.join(', ')}.`);
}

/** Why nothing can be tried: what only time keeps away says for how long, and what time does not help with says that. */
export function noTarget({ targets, leftOut, waitMs }: Omit<Plan, 'settings'>): Rejection {
  if (leftOut.length > 0 && leftOut.every(({ leftOut: why }) => why === 'no_pool_key')) {
    return noPoolKey([...new Set(leftOut.map(({ target }) => target.provider.name))]);
  }
  const shown = leftOut.map(({ target, leftOut: why }) => `${target.name}: ${why}`).join(', ');
  const isForEver =
    targets.length === 0 && leftOut.length > 0 && leftOut.every((planned) => planned.waitMs === 0);
  const isForeign = leftOut.some(({ leftOut: why }) => why === 'other_wire');
  const told = shown === '' ? '' : `${shown}.${isForeign ? OF_OTHER_WIRES : ''}`;
  return rejection('no_target', told, isForEver ? NO_RETRY : retryAfter(waitMs));
}

const OF_OTHER_WIRES =
  ' other_wire: it speaks another API, and what is asked here is not written anew for it.';

/** Retried, it would be refused again (A4): both stock Node SDKs obey the field. */
const NO_RETRY = 'x-should-retry: false\r\n';

/** What the request may cost is more than it is allowed to, or is not known; null where that is not in the way. */
export function notPaidFor({ tooDear, targets, leftOut }: PricedPlan): Rejection | null {
  if (tooDear !== null) {
    const { limitPico, wantedPico, cheapestPico } = tooDear;
    const told = `It may cost $${usdText(wantedPico)}, at the cheapest target $${usdText(cheapestPico)}; the limit is $${usdText(limitPico)}.`;
    return rejection('cost_limit', told, NO_RETRY);
  }
  const unpriced = leftOut.filter(({ leftOut: why }) => why === 'unpriced');
  if (targets.length > 0 || unpriced.length === 0 || unpriced.length < leftOut.length) return null;
  const names = unpriced.map(({ target }) => target.name).join(', ');
  return rejection('unpriced_model', `Nobody says what ${names} costs.`, NO_RETRY);
}

/** Of a field's name and why: what callers wrote, in part. */
const REFUSAL_SHOWN_CHARACTERS = 512;

/** What the body holds cannot be written for any target, or is none of the wire that it claims to be. */
export function untranslated({ kind, message }: Refusal): Rejection {
  const shown = `${message.slice(0, REFUSAL_SHOWN_CHARACTERS)}.`;
  if (kind === 'malformed') return rejection('invalid_body', shown);
  return rejection('untranslatable', shown, NO_RETRY);
}

export function noPoolKey(providers: readonly string[]): Rejection {
  return rejection('no_pool_key', `The provider is ${providers.join(', ')}.`);
}

/** A field line, in whole seconds (RFC 9110 §10.2.3). */
export function retryAfter(ms: number): string {
  return `retry-after: ${Math.max(1, Math.ceil(ms / 1_000))}\r\n`;
}

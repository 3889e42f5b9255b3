/** What a key may ask the gateway about itself: its budgets, and its requests. No provider is asked. */

import { budgetPage } from '../budget/budget-page.ts';
import { rejection } from '../rejection.ts';
import { notFound } from '../stored/state-claim.ts';
import {
  type Admittance,
  type Asked,
  type Listed,
  type Recalled,
  type Refused,
  refused,
} from './admission.ts';
import { guessDialect } from './caller-dialect.ts';
import type { Credential } from './credential.ts';
import { deniedReason } from './denied-reason.ts';
import { CAPACITY_GATES, firstRejection, ONLY_GET, tooMany } from './gates.ts';

/** How the budgets of a key stand, for whoever holds it: asked of the gateway, and of no provider. */
const BUDGET_PATH = '/sluice/budget';

/** Behind it the id of a request, as `x-sluice-request-id` told it. */
const REQUEST_PATH = '/sluice/requests/';

/** What a request's id may look like: nobody's is longer. */
const REQUEST_ID = /^[\w-]{1,64}$/;

export function isOwnView(path: string): boolean {
  return path === BUDGET_PATH || path.startsWith(REQUEST_PATH);
}

export function ownView(
  asked: Asked,
  { token }: Credential,
  house: Admittance,
): Listed | Recalled | Refused {
  const dialect = guessDialect(asked);
  const seconds = house.rates.admitCredential(token.reveal());
  if (seconds > 0)
    return refused(tooMany(seconds), dialect, null, house.tokens.known(token.reveal()));
  const identity = house.tokens.check(token.reveal());
  if ('code' in identity) {
    const { code, fault, retryAfterSeconds } = identity;
    const why = code === 'rate_limited' ? tooMany(retryAfterSeconds) : rejection(code);
    return refused(why, dialect, null, null, fault);
  }
  const policy = house.policies.of(identity);
  if (policy.expiresMs <= Date.now())
    return refused(rejection('key_expired'), dialect, null, identity);
  const denied = deniedReason(identity, house.deny);
  if (denied !== null)
    return refused(
      rejection(denied === 'spend' ? 'spend_limit' : 'denied'),
      dialect,
      null,
      identity,
    );
  if (asked.method !== 'GET' && asked.method !== 'HEAD')
    return refused(ONLY_GET, dialect, null, identity);
  const unable = firstRejection(CAPACITY_GATES, asked, house);
  if (unable !== null) return refused(unable, dialect, null, identity);
  if (asked.path === BUDGET_PATH)
    return { rejection: null, identity, listed: budgetPage(policy.spending) };
  const recalled = asked.path.slice(REQUEST_PATH.length);
  return REQUEST_ID.test(recalled)
    ? { rejection: null, identity, dialect, recalled }
    : refused(notFound('the path', null), dialect, null, identity);
}

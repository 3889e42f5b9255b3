/**
 * What a key's policy says of a request when all of it is known: before its last byte is let go, and so before its provider
 * can begin to work.
 */

import type { Metering } from '../meter/metering.ts';
import type { LimitGrant } from '../policy/limiter.ts';
import { notAllowed } from '../policy/policy-refusals.ts';
import { type Rejection, rejection } from '../rejection.ts';
import type { AttemptTarget } from './attempt-terms.ts';
import type { BackgroundAnswers } from './background-answers.ts';

/** Other bodies have every scan that the worker can make: no fault of this one's. */
const NOT_READ = rejection('overloaded', '', 'retry-after: 1\r\n');
// Stock SDKs try a 409 again (github.com/openai/openai-node, "Retries").
const NOT_SETTLED = rejection('not_settled', '', 'retry-after: 1\r\n');
const CANCEL = /\/responses\/[^/]+\/cancel\/?$/;

/** The permission is on what the provider is about to read, whatever a plan was made from. */
export function modelRefusal(
  { managed, provider }: AttemptTarget,
  metering: Metering | null,
  requestBytes: number,
): Rejection | null {
  const permission = managed?.permission ?? null;
  if (managed === null || permission === null || metering === null) return null;
  const { pathModel } = managed;
  const { requestedModel, requestReading } = metering;
  if (requestReading === 'unread' && requestBytes > 0) return NOT_READ;
  // Of two names nobody can say which one counts: both have to be allowed.
  if (pathModel !== null && !permission.allows(`${provider.name}/${pathModel}`))
    return notAllowed(`${provider.name}/${pathModel}`, permission);
  if (requestedModel === null && pathModel !== null) return null;
  if (requestedModel === null || requestReading === 'doubtful') return notAllowed(null, permission);
  const name = `${provider.name}/${requestedModel}`;
  return permission.allows(name) ? null : notAllowed(name, permission);
}

/** A response that is still followed for its bill is not deleted: nobody could say what it cost. */
export function deleteRefusal(
  { managed, provider, path }: AttemptTarget,
  method: string,
  background: BackgroundAnswers,
): Rejection | null {
  if (method !== 'DELETE' || managed?.metering !== 'free') return null;
  return background.isFollowed(provider, path) ? NOT_SETTLED : null;
}

/** Whatever stops work, or throws away what is stored, costs nothing: a key at its limit must be able to. */
function endsWork({ managed, path }: AttemptTarget, method: string): boolean {
  return managed?.metering === 'free' && (method === 'DELETE' || CANCEL.test(path));
}

/**
 * Last of all: what it takes is given back when its attempt has ended.
 * @returns what was taken, why nothing was, or null where nothing is limited
 */
export function takenOfLimits(
  target: AttemptTarget,
  method: string,
  metering: Metering | null,
  requestBytes: number,
): LimitGrant | Rejection | null {
  const { managed, provider, routing } = target;
  const limits = managed?.policy.limits ?? null;
  if (limits === null || managed === null || metering === null || endsWork(target, method))
    return null;
  const name = managed.pathModel ?? metering.requestedModel;
  const model = name === null ? null : `${provider.name}/${name}`;
  const isFirst = (routing?.attempt ?? 1) === 1;
  return limits.admit(provider.name, model, metering.expected(requestBytes), isFirst);
}

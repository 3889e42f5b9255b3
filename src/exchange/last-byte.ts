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
const TOO_MANY_MODELS = rejection('invalid_body', 'It names more models than can be counted.');
const NO_NAMES: readonly string[] = [];
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
  const { requestedModel, requestReading, furtherModels } = metering;
  if (requestReading === 'unread' && requestBytes > 0) return NOT_READ;
  const refused = (model: string): Rejection | null => {
    const name = `${provider.name}/${model}`;
    return permission.allows(name) ? null : notAllowed(name, permission);
  };
  // Of two names nobody can say which one counts: both have to be allowed.
  const ofPath = pathModel === null ? null : refused(pathModel);
  if (ofPath !== null) return ofPath;
  if (furtherModels?.isUnsure === true) return notAllowed(null, permission);
  for (const model of furtherModels?.names ?? NO_NAMES) {
    const why = refused(plainName(model, pathModel));
    if (why !== null) return why;
  }
  if (requestedModel === null && pathModel !== null) return null;
  if (requestedModel === null || requestReading === 'doubtful') return notAllowed(null, permission);
  return refused(plainName(requestedModel, pathModel));
}

/** Gemini, whose paths name the model, writes it `models/NAME` in a body (ai.google.dev/api/embeddings). */
function plainName(model: string, pathModel: string | null): string {
  return pathModel === null ? model : model.replace(/^models\//, '');
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
  // One that is not counted could be the one that is limited.
  if (limits.hasModels && metering.furtherModels?.isUnsure === true) return TOO_MANY_MODELS;
  const name = managed.pathModel ?? metering.requestedModel;
  const model = name === null ? null : `${provider.name}/${name}`;
  const isFirst = (routing?.attempt ?? 1) === 1;
  const expected = metering.expected(requestBytes);
  const further = metering.furtherModels?.names.map((one) => `${provider.name}/${one}`);
  return limits.admit(provider.name, model, expected, isFirst, further);
}

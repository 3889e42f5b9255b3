/** Why a policy refuses a request, as its caller is told. */

import { type Rejection, rejection } from '../rejection.ts';
import type { ModelPermission } from './model-permission.ts';

/** Enough to recognise a name. */
const NAME_SHOWN_CHARACTERS = 64;

/** @param name as it counts: a route, or `provider/model`; null where it cannot be told for sure */
export function notAllowed(name: string | null, permission: ModelPermission): Rejection {
  const asked =
    name === null
      ? 'Which one it asks for cannot be told for sure'
      : `It asks for "${name.slice(0, NAME_SHOWN_CHARACTERS)}"`;
  return rejection('model_not_allowed', `${asked}; the key has ${permission.shown}.`);
}

/** Why a limit keeps a request from its provider, as its caller is told. */

import type { KeyClass } from '../keys/key-class.ts';
import { type Rejection, rejection } from '../rejection.ts';
import type { LimitScope, Limits, LimitUnit } from './limit-settings.ts';

/** Whose limit it is, and how much. A purse is one. */
interface Limited {
  readonly scope: LimitScope;
  readonly limits: Limits;
}

/** A class, and its share of what all keys take from: 1 = all of it. */
export interface ClassShare {
  readonly keyClass: KeyClass;
  readonly share: number;
}

/** How a purse is named to whom it refused. */
const OWNERS: Readonly<Record<LimitScope, string>> = {
  key: 'this key',
  tenant: 'all keys of this tenant',
  class: 'all keys of this class',
  model: 'this model',
  provider: 'this provider',
  gateway: 'this gateway',
};

/**
 * A limit is reached.
 * @param part what its class may use of a purse that all keys share; null: all of it
 */
export function reached(
  { scope, limits }: Limited,
  unit: LimitUnit,
  waitUs: number,
  part: ClassShare | null = null,
): Rejection {
  const what =
    unit === 'in_flight'
      ? `${limits.maxInFlight} requests at a time`
      : unit === 'requests'
        ? `${limits.rpm} requests a minute`
        : `${limits.tpm} tokens a minute`;
  const ms = Math.ceil(waitUs / 1_000);
  // RFC 9110 §10.2.3 knows whole seconds; OpenAI's and Anthropic's SDKs read the milliseconds first.
  const wait = `retry-after: ${Math.ceil(ms / 1_000)}\r\nretry-after-ms: ${ms}\r\n`;
  const within =
    part === null
      ? ''
      : `, as far as keys of class ${part.keyClass} may use it (${percent(part.share)} %)`;
  const told = `The limit of ${what} for ${OWNERS[scope]} is reached${within}.`;
  return rejection('rate_limited', told, wait);
}

/** The prompt alone is more than a whole minute of it. */
export function exceeds({ scope, limits }: Limited, tokens: number): Rejection {
  return rejection(
    'exceeds_limit',
    `It has about ${tokens} tokens, and the limit for ${OWNERS[scope]} is ${limits.tpm} a minute.`,
  );
}

/** Of a share, as it is told. */
function percent(share: number): number {
  return Math.round(share * 1_000) / 10;
}

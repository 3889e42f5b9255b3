/**
 * What a provider says of a pool key is not the caller's to read: the head of an answer and its content as they may be
 * shown.
 */

import type { Buffer } from 'node:buffer';
import type { LimitGrant } from '../policy/limiter.ts';
import { leaksKey, type PoolKey, withoutKey } from '../providers/pool-keys.ts';
import type { Dialect } from '../rejection.ts';
import { isNamed } from '../wire/fields.ts';
import { type EndingSink, KeyWatch } from '../wire/key-watch.ts';
import { type Audience, type ResponseHead, responseHead } from '../wire/response-head.ts';
import { type ErrorJudge, ToldErrors } from '../wire/told-errors.ts';

/** Where what the filters pass on goes: to the client. */
export interface Showing {
  /** @returns false when the client takes no more for now */
  show(piece: Buffer): boolean;
}

/**
 * The head as the client may see it: an upstream that repeats what it was sent must not hand out the pool key.
 * @param poolKey null: the caller's own went upstream
 */
export function shownHead(
  method: string,
  status: number,
  reason: string,
  fields: readonly string[],
  poolKey: PoolKey | null,
  audience: Audience,
): ResponseHead {
  const head = responseHead(method, status, reason, fields, audience);
  if (poolKey === null || !leaksKey(status, head.head, fields, poolKey)) return head;
  const named = poolKey.isTracedIn(reason) ? '' : reason;
  return responseHead(method, status, named, withoutKey(fields, poolKey), audience);
}

/** @returns fields without their coding, for content that is shown without it */
export function withoutCoding(fields: readonly string[]): readonly string[] {
  return fields.filter((_, at) => !isNamed(fields[at - (at % 2)] ?? '', 'content-encoding'));
}

/** @returns the head, with what is left of the caller's limits */
export function withLimits(head: ResponseHead, grant: LimitGrant, dialect: Dialect): ResponseHead {
  return { ...head, head: head.head + grant.lines(dialect) };
}

/** Nobody knows what a provider takes for a success: a key in one is hidden too, byte for byte. */
export function successFilter(
  poolKey: PoolKey,
  format: ResponseHead['format'],
  showing: Showing & ErrorJudge,
): ToldErrors {
  const client = new Shown(showing);
  const { pattern } = poolKey;
  const sink = pattern === null ? client : new KeyWatch(pattern, client);
  return new ToldErrors(poolKey, format, sink, showing);
}

/** Where the filters of a success end. A class, because an open stream would pay for two closures and what they close over. */
class Shown implements EndingSink {
  readonly #showing: Showing;

  constructor(showing: Showing) {
    this.#showing = showing;
  }

  push(piece: Buffer): boolean {
    return this.#showing.show(piece);
  }

  end(): void {}
}

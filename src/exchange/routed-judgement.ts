/** What an attempt's answer or its end says: how it is held, what failed, how long its provider wants to be left alone. */

import { FAILURES, type Failed, failureOfStatus } from '../plan/failover.ts';
import { retryAfterMs, retryDelayMs } from '../plan/retry-after.ts';
import type { StreamSafety } from '../plan/route-table.ts';
import type { UpstreamFailure } from '../upstream/failure.ts';
import type { ResponseHead } from '../wire/response-head.ts';
import type { HeldAnswer, HoldMode } from './held-answer.ts';

/** No attempt came to anything in time. */
export const TIMED_OUT: UpstreamFailure = {
  kind: 'timeout',
  rejection: 'upstream_timeout',
  code: 'DEADLINE',
};

/** The node keeps as much of answers as it may: this one cannot be told. */
export const NO_ROOM: UpstreamFailure = {
  kind: 'exhausted',
  rejection: 'overloaded',
  code: 'HOLD_MEMORY',
};

/** Of an error's body that is not held, nothing is known: not even that it is empty. */
const UNREAD = ' ';

/**
 * What a status says of its target where its body is not held. A 403 that comes this far speaks of what the caller wrote:
 * one that means the key has ended its attempt.
 */
export function failureOfUnread({ status, asksInstead }: ResponseHead): Failed | null {
  if (asksInstead === 'nobody') return null;
  if (asksInstead === 'another') return FAILURES.unreadable;
  return status === 403 ? null : failureOfStatus(status, UNREAD);
}

/**
 * How an answer is held while another target is left; null: it is not.
 * @param safety what the route says of streams that break behind their first content
 */
export function holdModeOf(
  { status, eventStream, format, size }: ResponseHead,
  safety: StreamSafety,
): HoldMode | null {
  if (status >= 300 && status < 400) return null;
  if (status >= 400) return 'error';
  if (eventStream) return safety === 'hold' ? 'stream-to-end' : 'stream';
  return format === 'json' && size !== 'none' ? 'whole' : null;
}

/** What an attempt's end says of its target; null when it is nobody's fault but ours. */
export function failureOfEnd(failure: UpstreamFailure | null): Failed | null {
  if (failure === null) return FAILURES.server_error;
  const isLate = failure.rejection === 'upstream_timeout';
  switch (failure.kind) {
    case 'refused':
      return FAILURES.key_refused;
    case 'connect':
      return isLate ? FAILURES.unreachable_in_time : FAILURES.unreachable;
    case 'timeout':
      return failure.code === 'UPLOAD_STALLED' ? null : FAILURES.timeout;
    case 'reset':
    case 'framing':
      return FAILURES.server_error;
    case 'exhausted':
      // Out of descriptors or ports, every target is as far away.
      return failure.code === 'CONNECTION_LIMIT' ? FAILURES.node_at_cap : null;
    default:
      return null;
  }
}

/** How an attempt is named in the answer's fields: a status, or what it was. */
export function wordOf(failed: Failed, held: HeldAnswer, head: ResponseHead | null): string {
  const status = head?.status ?? 0;
  if (status >= 400) return String(status);
  return held.code === '' ? failed.reason : held.code;
}

/**
 * @param body the start of an error's body
 * @returns what a provider asks to be left alone for, in milliseconds; null = nothing
 */
export function waitAskedFor(head: ResponseHead, body: string): number | null {
  return waitOf(head) ?? retryDelayMs(body);
}

/** The same, as far as its head says it. */
export function waitOf({ head }: ResponseHead): number | null {
  const fields = head.split('\r\n').flatMap((line) => {
    const colon = line.indexOf(':');
    return colon < 1 ? [] : [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return retryAfterMs(fields, Date.now());
}

/** A request that goes on from an earlier answer by its id, with a plan in which nobody keeps answers for its caller. */

import type { Buffer } from 'node:buffer';
import { translator } from '../dialect/translator.ts';
import { type AskedWire, writtenWire } from '../dialect/wires.ts';
import type { Resolved, Route, Target } from '../plan/route-table.ts';
import type { Rejection } from '../rejection.ts';
import { callerWire } from './request-translation.ts';
import { untranslated } from './routed-refusals.ts';

/**
 * Why an id is of nothing there: an answer that was written anew was never kept, and its caller is to send what was said.
 * @param suffix of the path, behind the prefix of the API
 * @param body whole
 * @returns null where a target of the plan keeps answers, so that its id may only be somebody else's
 */
export function neverKept(resolved: Resolved, suffix: string, body: Buffer): Rejection | null {
  const caller = callerWire(suffix);
  if (caller === null || (resolved.kind !== 'route' && resolved.kind !== 'target')) return null;
  const isKept =
    resolved.kind === 'target' ? keeps(resolved.target, caller) : keepsOf(resolved.route, caller);
  if (isKept) return null;
  const read = translator().readAsked(caller, body);
  return 'writtenFor' in read ? null : untranslated(read);
}

function keeps({ provider }: Target, caller: AskedWire): boolean {
  return writtenWire(caller, provider) === null;
}

function keepsOf({ groups }: Route, caller: AskedWire): boolean {
  return groups
    .flat()
    .some((entry) =>
      'target' in entry ? keeps(entry.target, caller) : keepsOf(entry.route, caller),
    );
}

import type { Buffer } from 'node:buffer';
import type { Routed } from '../admit/admit.ts';
import type { Planner } from '../plan/planner.ts';
import type { Route } from '../plan/route-table.ts';
import { textHash } from '../providers/text-hash.ts';
import { cacheLifeMs, conversationOf } from '../wire/conversation.ts';
import { fieldValue } from '../wire/fields.ts';
import type { JsonScanner } from '../wire/json-scanner.ts';
import { needsOf, needsOfSize, type RequestNeeds } from '../wire/request-needs.ts';
import { RequestOutline } from '../wire/request-outline.ts';

/** What a plan is made by, of one request on one route. */
export interface RequestReading {
  /** Keeps the turns of a conversation where its prompt is cached; 0 = nothing does. */
  readonly session: number;
  /** For how long that cache lives behind its last use. */
  readonly lifeMs: number;
  /** Null where nothing depends on it. */
  readonly needs: RequestNeeds | null;
}

export const NOTHING_READ: RequestReading = { session: 0, lifeMs: 0, needs: null };

/**
 * Prompts below this are cached by nobody: 1,024 tokens is the least (OpenAI and Anthropic, prompt caching), at four bytes
 * each. What begins alike and is short ("hi") would else go to one key for all callers of a tenant.
 */
const PREFIX_MIN_BYTES = 4_096;

/** What a field has to say for `affinity = "header:NAME"` is behind this. */
const HEADER = 'header:';

/**
 * @param fields of the request: flat list with lower-case names
 * @param body the whole body, lent; null where it is not kept
 * @param bytes of the body, as far as they are known
 */
export function readRequest(
  route: Route,
  { wishes, identity }: Pick<Routed, 'wishes' | 'identity'>,
  fields: readonly string[],
  body: Buffer | null,
  bytes: number,
  scanner: JsonScanner,
  planner: Planner,
): RequestReading {
  const { affinity, maxCostPico } = route.settings;
  const isPinned = affinity !== 'off' && planner.hasChoice(route);
  const isWeighed = maxCostPico > 0 || wishes.maxCostPico > 0 || planner.weighs(route);
  if (!isPinned && !isWeighed) return NOTHING_READ;
  const isNamed = affinity.startsWith(HEADER) || wishes.session !== 0;
  const outline =
    body === null || (!isWeighed && isNamed) ? null : RequestOutline.of(scanner, body);
  const tenant = identity.tenantText;
  const conversation = !isPinned
    ? 0
    : affinity.startsWith(HEADER)
      ? named(fieldValue(fields, affinity.slice(HEADER.length)), tenant)
      : wishes.session || spoken(outline, tenant);
  const needs =
    outline === null ? needsOfSize(bytes) : needsOf(outline, wishes.dialect === 'anthropic');
  return {
    session: conversation === 0 ? 0 : planner.sessionOf(route, conversation),
    lifeMs: conversation === 0 ? 0 : cacheLifeMs(body),
    needs: isWeighed ? needs : null,
  };
}

function named(value: string | null, tenant: string): number {
  return value === null || value === '' ? 0 : textHash(`${tenant} ${value}`);
}

/** What the body itself says. */
function spoken(outline: RequestOutline | null, tenant: string): number {
  return outline === null ? 0 : conversationOf(outline, tenant, PREFIX_MIN_BYTES);
}

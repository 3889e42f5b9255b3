import type { Buffer } from 'node:buffer';
import type { Routed } from '../admit/admission.ts';
import type { Planner } from '../plan/planner.ts';
import { PREFIX_MAX_BYTES, type PrefixWatch, type WatchedTurn } from '../plan/prefix-watch.ts';
import type { Route } from '../plan/route-table.ts';
import { textHash } from '../providers/text-hash.ts';
import {
  cacheLifeMs,
  conversationName,
  conversationOf,
  promptPrefix,
} from '../wire/conversation.ts';
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
  /** Of a session that its caller names: what its prompt begins with is compared; null = it is not. */
  readonly watched: WatchedTurn | null;
}

export const NOTHING_READ: RequestReading = { session: 0, lifeMs: 0, needs: null, watched: null };

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
  watch: PrefixWatch,
): RequestReading {
  const { affinity, maxCostPico } = route.settings;
  const isPinned = affinity !== 'off' && planner.hasChoice(route);
  const isWeighed = maxCostPico > 0 || wishes.maxCostPico > 0 || planner.weighs(route);
  const tenant = identity.tenantText;
  const byField = affinity.startsWith(HEADER);
  const told =
    affinity === 'off'
      ? 0
      : byField
        ? named(fieldValue(fields, affinity.slice(HEADER.length)), tenant)
        : wishes.session;
  if (!isPinned && !isWeighed && told === 0) return NOTHING_READ;
  const isRead = body !== null && (isWeighed || told !== 0 || !byField);
  const outline = isRead ? RequestOutline.of(scanner, body) : null;
  const isSpoken = affinity !== 'off' && !byField && told === 0 && outline !== null;
  const name = isSpoken ? conversationName(outline, tenant) : told;
  const conversation =
    name === 0 && isSpoken && isPinned ? conversationOf(outline, tenant, PREFIX_MIN_BYTES) : name;
  const session = conversation === 0 ? 0 : planner.sessionOf(route, conversation);
  const lifeMs = session === 0 ? 0 : cacheLifeMs(body);
  const isWatched = name !== 0 && outline !== null;
  return {
    session: isPinned ? session : 0,
    lifeMs,
    needs: !isWeighed
      ? null
      : outline === null
        ? needsOfSize(bytes)
        : needsOf(outline, wishes.dialect === 'anthropic'),
    watched: isWatched ? watch.begin(session, promptPrefix(outline, PREFIX_MAX_BYTES)) : null,
  };
}

function named(value: string | null, tenant: string): number {
  return value === null || value === '' ? 0 : textHash(`${tenant} ${value}`);
}

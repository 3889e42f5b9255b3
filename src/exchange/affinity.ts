import type { Buffer } from 'node:buffer';
import type { Routed } from '../admit/admit.ts';
import type { Planner } from '../plan/planner.ts';
import type { Route } from '../plan/route-table.ts';
import { textHash } from '../providers/text-hash.ts';
import { cacheLifeMs, conversationOf } from '../wire/conversation.ts';
import { fieldValue } from '../wire/fields.ts';
import type { JsonScanner } from '../wire/json-scanner.ts';
import { RequestOutline } from '../wire/request-outline.ts';

/** What keeps the turns of a conversation where its prompt is cached. */
export interface Affinity {
  /** 0 = nothing does. */
  readonly session: number;
  /** For how long the cache lives behind its last use. */
  readonly lifeMs: number;
}

export const NO_AFFINITY: Affinity = { session: 0, lifeMs: 0 };

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
 */
export function affinityOf(
  route: Route,
  { wishes, identity }: Pick<Routed, 'wishes' | 'identity'>,
  fields: readonly string[],
  body: Buffer | null,
  scanner: JsonScanner,
  planner: Planner,
): Affinity {
  const { affinity } = route.settings;
  if (affinity === 'off' || !planner.hasChoice(route)) return NO_AFFINITY;
  const tenant = identity.tenantText;
  const conversation = affinity.startsWith(HEADER)
    ? named(fieldValue(fields, affinity.slice(HEADER.length)), tenant)
    : wishes.session || spoken(scanner, body, tenant);
  if (conversation === 0) return NO_AFFINITY;
  return {
    session: planner.sessionOf(route, conversation),
    lifeMs: cacheLifeMs(body),
  };
}

function named(value: string | null, tenant: string): number {
  return value === null || value === '' ? 0 : textHash(`${tenant} ${value}`);
}

/** What the body itself says. */
function spoken(scanner: JsonScanner, body: Buffer | null, tenant: string): number {
  const outline = body === null ? null : RequestOutline.of(scanner, body);
  return outline === null ? 0 : conversationOf(outline, tenant, PREFIX_MIN_BYTES);
}

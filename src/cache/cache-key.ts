/**
 * Under which key an answer is kept: a hash over everything that it depends on, so that no two requests that could be answered
 * differently share one.
 */

import type { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { KeyIdentity } from '../keys/virtual-key.ts';
import type { CacheTerms } from './cache-settings.ts';
import { type CanonicalMembers, canonicalMembers, canonicalObject } from './canonical-json.ts';

/** Another layout of what is hashed: nobody finds what was kept under the one before. */
const LAYOUT = 2;

/**
 * Fields that an answer depends on: what providers are told of their API's version, of whose settings hold, and of the language, how
 * the body is to be read, and what the caller wishes of who answers. Everything else that goes upstream names clients and conversations.
 */
const FIELDS = [
  'anthropic-version',
  'anthropic-beta',
  'openai-beta',
  'openai-organization',
  'openai-project',
  'x-goog-user-project',
  'accept-language',
  'content-type',
  'x-sluice-order',
  'x-sluice-only',
  'x-sluice-max-cost',
  'x-sluice-strict',
] as const;
const FIELD_AT: ReadonlyMap<string, number> = new Map(FIELDS.map((name, at) => [name, at]));

/**
 * Members of a body that are not its content, and change no answer's shape: how it is sampled, how long it may be, whose it is and
 * who serves it, in any wire's word.
 *
 * Decision: these, and not the ones that are content. What is not known here counts: a picture beside a prompt, or the rest of a
 * text behind it, that was forgotten would have one answer told for another.
 */
const NO_CONTENT: ReadonlySet<string> = new Set([
  'model',
  'temperature',
  'top_p',
  'top_k',
  'top_a',
  'min_p',
  'typical_p',
  'seed',
  'random_seed',
  'frequency_penalty',
  'presence_penalty',
  'repetition_penalty',
  'logit_bias',
  'reasoning_effort',
  'max_tokens',
  'max_completion_tokens',
  'max_output_tokens',
  'options',
  'user',
  'safety_identifier',
  'metadata',
  'store',
  'session_id',
  'prompt_cache_key',
  'prompt_cache_retention',
  'service_tier',
  'provider',
  'keep_alive',
]);

/** A request, as far as its key depends on what is no body. */
export interface KeyedRequest {
  readonly identity: KeyIdentity;
  /** Of the configuration that it came under: of what its names lead to. */
  readonly generation: string;
  /** Whom its path leads to. */
  readonly provider: string;
  readonly dialect: string;
  /** Path and query, without credentials. */
  readonly target: string;
  /** Flat list with lower-case names. */
  readonly fields: readonly string[];
}

/** @returns 43 characters of base64url */
export function cacheKey(terms: CacheTerms, request: KeyedRequest, body: Buffer): string {
  const { match, strategy, permission } = terms;
  const { generation, provider, dialect, target, fields, identity } = request;
  const isRead = match === 'canonical' || strategy !== 'full_request';
  const members = isRead ? membersOf(body) : null;
  // What cannot be read is compared as it is.
  const read = members === null ? 'bytes' : strategy;
  const whose = scopeOf(terms, identity);
  const said = [LAYOUT, read, ...whose, permission, generation, provider, dialect, target];
  const hash = createHash('sha256');
  // As JSON: no value can pass for the end of the one before it.
  hash.update(JSON.stringify([...said, ...keyedFields(fields)]));
  if (members === null) hash.update(body);
  else hash.update(canonicalObject(counted(members, terms)));
  return hash.digest('base64url');
}

function scopeOf(
  { scope }: CacheTerms,
  { tenantText, vpcText, keyText }: KeyIdentity,
): readonly (string | null)[] {
  if (scope === 'global') return ['global'];
  return scope === 'tenant'
    ? ['tenant', tenantText, vpcText]
    : ['key', tenantText, vpcText, keyText];
}

/** A field that is there twice counts with both values: no value holds a line's end. */
function keyedFields(fields: readonly string[]): readonly (string | null)[] {
  const values: (string | null)[] = FIELDS.map(() => null);
  let asksForEvents = false;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const value = fields[i + 1] ?? '';
    if (name === 'accept') asksForEvents ||= value.toLowerCase().includes('text/event-stream');
    const at = FIELD_AT.get(name);
    if (at === undefined) continue;
    const before = values[at] ?? null;
    values[at] = before === null ? value : `${before}\n${value}`;
  }
  return [...values, asksForEvents ? 'events' : null];
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function membersOf(body: Buffer): CanonicalMembers | null {
  try {
    return canonicalMembers(UTF8.decode(body));
  } catch {
    // No UTF-8: two such bodies could be read as one.
    return null;
  }
}

function counted(
  members: CanonicalMembers,
  { strategy, limitsModels }: CacheTerms,
): CanonicalMembers {
  if (strategy === 'full_request') return members;
  // A model that may not be asked for must not be answered with what another one said.
  const isModelCounted = strategy === 'content+model' || limitsModels;
  return new Map(
    [...members].filter(([name]) => !NO_CONTENT.has(name) || (name === 'model' && isModelCounted)),
  );
}

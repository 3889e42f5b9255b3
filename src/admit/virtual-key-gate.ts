import { rejection } from '../rejection.ts';
import { tenantSeed } from '../stored/state-table.ts';
import { contentCoding } from '../wire/content-coding.ts';
import type { StreamWire } from '../wire/first-content.ts';
import {
  type Admittance,
  type Directed,
  type Listed,
  type Managed,
  type ManagedRouted,
  type Refused,
  refused,
} from './admission.ts';
import { adviceBeside } from './base-url.ts';
import { deniedReason } from './denied-reason.ts';
import { ONLY_GET, tooMany } from './gates.ts';
import { manageStored, type Sought } from './stored-admission.ts';
import { fieldWishes } from './wishes.ts';

const ONLY_POST = rejection('method_not_allowed', 'This endpoint takes POST.', 'allow: POST\r\n');
const STORED_METHODS = rejection(
  'method_not_allowed',
  'What is stored takes GET, HEAD and DELETE, and POST behind it to cancel.',
  'allow: GET, HEAD, DELETE\r\n',
);
// RFC 9110 §12.5.3: in a response, Accept-Encoding tells what a request may be packed with.
const PACKED = rejection(
  'bad_request',
  'With a gateway key, Content-Encoding may be one of gzip, deflate, br and zstd.',
  'accept-encoding: gzip, deflate, br, zstd\r\n',
);

/**
 * A virtual key's gate: who it is, whether that one is cut off, and whether a shared key may be used for this.
 * @param query as it is forwarded, without credentials
 */
export function manage(
  { asked, credential, path, provider, named }: Directed,
  query: string,
  house: Admittance,
): Managed | ManagedRouted | Sought | Listed | Refused {
  const identity = house.tokens.check(credential.token.reveal());
  if ('code' in identity) {
    const { code, fault, retryAfterSeconds } = identity;
    const why = code === 'rate_limited' ? tooMany(retryAfterSeconds) : rejection(code);
    return refused(why, provider.dialect, provider, null, fault);
  }
  const policy = house.policies.of(identity);
  // The clock is only asked for keys that end.
  if (policy.expiresMs !== Number.POSITIVE_INFINITY && policy.expiresMs <= Date.now())
    return refused(rejection('key_expired'), provider.dialect, provider, identity);
  const denied = deniedReason(identity, house.deny);
  if (denied !== null)
    return refused(
      rejection(denied === 'spend' ? 'spend_limit' : 'denied'),
      provider.dialect,
      provider,
      identity,
    );
  const coding = contentCoding(asked.fields);
  if (coding === 'unknown') return refused(PACKED, provider.dialect, provider, identity);
  if (!named && (asked.method === 'GET' || asked.method === 'HEAD')) {
    const told = house.modelsOf(policy).answer(path, asked.query, provider.dialect);
    if (typeof told === 'string') return { rejection: null, identity, listed: told };
    if (told !== null) return refused(told, provider.dialect, provider, identity);
  }
  const metering = house.endpoints.judge(asked.method, path, provider);
  if (metering === 'unknown')
    return refused(
      rejection('endpoint_not_managed', adviceBeside(asked.path, path, provider)),
      provider.dialect,
      provider,
      identity,
    );
  if (metering === 'wrong-method-post')
    return refused(ONLY_POST, provider.dialect, provider, identity);
  if (metering === 'wrong-method-get')
    return refused(ONLY_GET, provider.dialect, provider, identity);
  if (metering === 'wrong-method-stored')
    return refused(STORED_METHODS, provider.dialect, provider, identity);
  if (!house.keepsFacts)
    return refused(rejection('metering_unavailable'), provider.dialect, provider, identity);
  if (metering === 'stored') return manageStored(path, provider, named, identity, policy, house);
  const state = house.endpoints.stateOf(path, provider);
  const { names: mayName, keeps: mayKeep } = state;
  if (!named && asked.method === 'POST') {
    const { suffix } = state;
    const wishes = fieldWishes(asked.fields, identity.tenantText, provider.dialect);
    const wire = wireOf(suffix);
    const routed = {
      identity,
      policy,
      metering,
      namesState: mayName,
      keepsState: mayKeep,
      coding,
      provider,
      suffix,
      wire,
      wishes,
      query,
    };
    return { identity, routed };
  }
  // What one tenant stores is with one key, as far as it can be: a body may name it when its head has left.
  const poolKey = mayKeep
    ? house.poolKeys.settled(provider, tenantSeed(identity.tenantWords))
    : house.poolKeys.next(provider);
  if (poolKey === null)
    return refused(
      rejection('no_pool_key', `The provider is ${provider.name}.`),
      provider.dialect,
      provider,
      identity,
    );
  const permission = asked.method === 'POST' ? policy.models : null;
  const isModelAsked = permission !== null || policy.limits !== null || policy.spending !== null;
  const pathModel = isModelAsked ? house.endpoints.nameIn(path, provider) : null;
  return {
    identity,
    policy,
    permission,
    pathModel,
    poolKey,
    metering,
    namesState: mayName,
    keepsState: mayKeep,
    coding,
    stored: null,
  };
}

/** How the answer to an endpoint is streamed. */
function wireOf(suffix: string): StreamWire {
  if (suffix.startsWith('/responses')) return 'openai-responses';
  if (suffix.startsWith('/messages')) return 'anthropic-messages';
  return suffix === '/completions' ? 'openai-text' : 'openai-chat';
}

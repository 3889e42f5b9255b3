import { budgetPage } from '../budget/budget-page.ts';
import type { DenyLookup, DenyReason } from '../deny/deny-table.ts';
import type { KeyIdentity } from '../keys/virtual-key.ts';
import type { ModelPermission } from '../policy/model-permission.ts';
import type { EffectivePolicy, PolicyTable } from '../policy/policy-table.ts';
import type { EndpointMetering } from '../providers/endpoint-metering.ts';
import type { PoolKey, PoolKeys } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import type { Dialect, Rejection } from '../rejection.ts';
import { rejection } from '../rejection.ts';
import { notFound } from '../stored/state-claim.ts';
import type { Home, StateHomes } from '../stored/state-homes.ts';
import { tenantSeed } from '../stored/state-table.ts';
import { type ContentCoding, contentCoding } from '../wire/content-coding.ts';
import { fieldValue } from '../wire/fields.ts';
import type { StreamWire } from '../wire/first-content.ts';
import type { RequestFraming } from '../wire/request-framing.ts';
import { adviceBeside, hasSlipped, slip } from './base-url.ts';
import { Cors } from './cors.ts';
import { type Credential, findCredential, withoutCredentials } from './credential.ts';
import type { ManagedEndpoints } from './endpoint.ts';
import type { ModelList } from './model-list.ts';
import type { RateGuard } from './rate.ts';
import type { Router } from './route.ts';
import type { VerifiedTokens } from './verified-tokens.ts';
import { type FieldWishes, fieldWishes } from './wishes.ts';

/** What admission reads of a request. The door's `RequestHead` is one. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly fields: readonly string[];
  readonly framing: RequestFraming;
}

/** What a worker knows when it admits: resolved at boot, except for the two that change while it runs. */
export interface Admittance {
  readonly router: Router;
  readonly rates: RateGuard;
  readonly tokens: VerifiedTokens;
  readonly deny: DenyLookup;
  readonly endpoints: ManagedEndpoints;
  readonly policies: PolicyTable;
  /** What a key with this policy may ask for, as it is listed. */
  modelsOf(policy: EffectivePolicy): ModelList;
  readonly poolKeys: PoolKeys;
  readonly stored: StateHomes;
  readonly cors: Cors;
  /** Bytes; 0 = no limit. */
  readonly maxRequestBodyBytes: number;
  /** The gateway has nearly stopped: what begins now would be cut. */
  readonly refusing: boolean;
  /** False while a usage fact would be lost, and nobody is to be served then (`facts_lost`). */
  readonly keepsFacts: boolean;
  /** True when the node has as many exchanges as `max_in_flight` allows. */
  full(): boolean;
  /** True when what a class may use of that is taken, of which others keep the rest to themselves. */
  sheds(policy: EffectivePolicy): boolean;
}

/** What a managed request has beside the others: who pays, with which key, and how it is metered. */
export interface Managed {
  readonly identity: KeyIdentity;
  readonly policy: EffectivePolicy;
  readonly poolKey: PoolKey;
  readonly metering: EndpointMetering;
  /** Where what the path names is stored, which may be another provider than the default one; null: it names nothing. */
  readonly stored: { readonly provider: Provider; readonly path: string } | null;
  /** The body may name what the provider has stored. */
  readonly namesState: boolean;
  /** The answer may. */
  readonly keepsState: boolean;
  /** Of the model that the request names; null: it may name any, or names none. */
  readonly permission: ModelPermission | null;
  /** The model that the path names, where somebody asks for it; null: the body says it. */
  readonly pathModel: string | null;
  /** How the content is packed; null: it is not. What is packed cannot be metered, so it is unpacked on its way. */
  readonly coding: ContentCoding | null;
}

/** A request with a virtual key on a path that names no provider: where it goes stands in its body. */
export interface Routed {
  readonly identity: KeyIdentity;
  readonly policy: EffectivePolicy;
  readonly metering: EndpointMetering;
  readonly namesState: boolean;
  readonly keepsState: boolean;
  readonly coding: ContentCoding | null;
  /** Where plain model names go. */
  readonly provider: Provider;
  /** The path behind a provider's API prefix: `/chat/completions`. */
  readonly suffix: string;
  /** Without credentials. */
  readonly query: string;
  readonly wire: StreamWire;
  readonly wishes: FieldWishes;
}

/** A request that may proceed, and where to. */
export interface Admitted {
  readonly rejection: null;
  readonly provider: Provider;
  /** Whose error shapes the caller reads. */
  readonly dialect: Dialect;
  /** The path the provider is asked for, without query. */
  readonly path: string;
  /** Path and query as they are forwarded: a managed request's without credentials. */
  readonly target: string;
  /** Null for callers with keys of their own, and in the routed lane. */
  readonly managed: Managed | null;
  /** Not null: the routed lane's, which finds provider and path by itself. */
  readonly routed: Routed | null;
  /** A relay's attempt is no try of several: what was admitted is its target as it stands. */
  readonly routing: null;
}

/** A request for the list of models, or for one of them, which the gateway answers itself. */
export interface Listed {
  readonly rejection: null;
  readonly identity: KeyIdentity;
  /** The body, JSON in the caller's dialect. */
  readonly listed: string;
}

/** A caller who asks what the ledger has of one of its requests. */
export interface Recalled {
  readonly rejection: null;
  readonly identity: KeyIdentity;
  readonly dialect: Dialect;
  /** The request that is asked about. */
  readonly recalled: string;
}

/** A request for what is stored of which this node has not heard: the fleet may have, and is to be asked. */
export interface Doubtful {
  readonly rejection: null;
  readonly identity: KeyIdentity;
  /** Whether this node has heard of it by now. */
  readonly isKnown: () => boolean;
  /** What is to be done, when nothing more is waited for. */
  readonly decided: () => Admitted | Refused;
}

/** A request that may not proceed. */
export interface Refused {
  readonly rejection: Rejection;
  /** Whose error shapes the caller reads: guessed from the head where the provider is not known. */
  readonly dialect: Dialect;
  /** Null when it was refused before its provider was known. */
  readonly provider: Provider | null;
  /** Who was refused; null where that is not known for sure. */
  readonly identity: KeyIdentity | null;
  /** Why a virtual key was refused, for the log: callers are told no more than that it was. */
  readonly fault: string | null;
}

/** A request of which the route is known, and whose key it carries. */
interface Directed {
  readonly asked: Asked;
  readonly credential: Credential;
  readonly provider: Provider;
  readonly path: string;
  /** The path's first segment names the provider. */
  readonly named: boolean;
}

type Gate<Subject> = (subject: Subject, house: Admittance) => Rejection | null;

const METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
]);
const METHOD_NOT_ALLOWED = rejection(
  'method_not_allowed',
  'Use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.',
  'allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n',
);

const ONLY_POST = rejection('method_not_allowed', 'This endpoint takes POST.', 'allow: POST\r\n');
const ONLY_GET = rejection(
  'method_not_allowed',
  'This endpoint takes GET and HEAD.',
  'allow: GET, HEAD\r\n',
);
const STORED_METHODS = rejection(
  'method_not_allowed',
  'What is stored takes GET, HEAD and DELETE, and POST behind it to cancel.',
  'allow: GET, HEAD, DELETE\r\n',
);
// RFC 9110 §15.5.22: it says what to speak instead. Codex tries a WebSocket first and goes on over HTTP at once on a 426.
const UPGRADE = rejection('upgrade_required', '', 'upgrade: HTTP/1.1\r\nconnection: upgrade\r\n');
// RFC 9110 §12.5.3: in a response, Accept-Encoding tells what a request may be packed with.
const PACKED = rejection(
  'bad_request',
  'With a gateway key, Content-Encoding may be one of gzip, deflate, br and zstd.',
  'accept-encoding: gzip, deflate, br, zstd\r\n',
);

const UNNAMED =
  'It is a service of the machine that the gateway runs on: a gateway key reaches it, everybody else once provider_authorities names it.';

const framing: Gate<Asked> = ({ framing: { fault, lengthMissing } }) => {
  if (fault !== null) return rejection('bad_request', fault);
  return lengthMissing ? rejection('length_required') : null;
};

const method: Gate<Asked> = (asked) => (METHODS.has(asked.method) ? null : METHOD_NOT_ALLOWED);

// Whatever else is offered is passed over (RFC 9110 §7.8): Java's HttpClient offers h2c with its first request.
const upgrade: Gate<Asked> = ({ fields }) =>
  fieldValue(fields, 'upgrade')?.toLowerCase().includes('websocket') === true ? UPGRADE : null;

// Virtual keys reach exact paths anyway, and are told there.
const baseUrl: Gate<Directed> = ({ asked, credential: { kind }, provider, path }) =>
  kind !== 'managed' && hasSlipped(path, provider) ? slip(asked.path, provider) : null;

// A preflight has no key by its nature: where the gateway does not answer it, the provider does.
const key: Gate<Directed> = ({ asked, credential: { kind }, provider }, { cors }) => {
  if (kind !== 'none' || !provider.needsKey) return null;
  const isProviders = !cors.isOn && Cors.isPreflight(asked.method, asked.fields);
  return isProviders ? null : rejection('missing_key');
};

// Before any cryptography, and before anything that a flood could make expensive.
const rate: Gate<Directed> = ({ credential: { kind, token } }, { rates }) => {
  const seconds = kind === 'managed' ? rates.admitCredential(token.reveal()) : rates.admitByo();
  return seconds === 0 ? null : tooMany(seconds);
};

const length: Gate<Asked> = ({ framing: { contentLength } }, { maxRequestBodyBytes }) =>
  maxRequestBodyBytes > 0 && contentLength > maxRequestBodyBytes
    ? tooLarge(maxRequestBodyBytes)
    : null;

const capacity: Gate<Asked> = (_asked, house) => {
  if (house.refusing) return rejection('draining', '', 'connection: close\r\n');
  return house.full() ? rejection('overloaded', '', 'retry-after: 1\r\n') : null;
};

// Cheapest first, and each may rely on those before it. `npm run bench:keys` measures the steps for a virtual key.
/** Whether the head can be trusted at all. */
const HEAD_GATES: readonly Gate<Asked>[] = [framing, method];
/** Behind the route. */
const KEY_GATES: readonly Gate<Directed>[] = [baseUrl, key, rate];
/** Behind the virtual key. */
const CAPACITY_GATES: readonly Gate<Asked>[] = [length, capacity];

const SHED = rejection(
  'overloaded',
  'Keys of this class may use a part of the gateway, and that is taken.',
  'retry-after: 1\r\n',
);

/** Only of a class that is said to have a share. */
function isShed(managed: Managed | ManagedRouted | Sought, house: Admittance): boolean {
  const policy = 'routed' in managed ? managed.routed.policy : managed.policy;
  return policy.share < 1 && house.sheds(policy);
}

/** Decides about one request by its head: head, route, key, virtual key, capacity. */
export function admit(
  asked: Asked,
  house: Admittance,
): Admitted | Listed | Recalled | Doubtful | Refused {
  const unfit = firstRejection(HEAD_GATES, asked, house);
  if (unfit !== null) return refused(unfit, guessDialect(asked));
  // Before the route, because an Anthropic SDK is recognised by where it puts its key. An unknown provider is
  // nevertheless told first: the key it would need depends on the provider.
  const credential = findCredential(asked.fields, asked.query, asked.path);
  const outdated = upgrade(asked, house);
  if (outdated !== null)
    return refused(outdated, guessDialect(asked), null, identityOf(credential, house));
  if (credential.misplaced !== null)
    return refused(misplaced(credential.misplaced), guessDialect(asked), null, null, 'misplaced');
  const found = house.router.route(asked.path, speaksAnthropic(asked, credential));
  const isManaged = credential.kind === 'managed';
  if (isManaged && isOwnView(asked.path)) return ownView(asked, credential, house);
  // Without `/v1` there is no telling whom a caller's own key is for.
  if (found === null || (found.bare && !isManaged)) {
    const unknown = rejection('unknown_provider', house.router.explain(asked.path));
    return refused(unknown, guessDialect(asked));
  }
  if (found.provider.onlyVirtual && !isManaged)
    return refused(rejection('unknown_provider', UNNAMED), guessDialect(asked));
  const { provider, path, named } = found;
  const { dialect } = provider;
  const directed: Directed = { asked, credential, provider, path, named };
  const keyless = firstRejection(KEY_GATES, directed, house);
  if (keyless !== null) {
    const identity = isManaged ? house.tokens.known(credential.token.reveal()) : null;
    return refused(keyless, dialect, provider, identity);
  }
  const query = isManaged ? withoutCredentials(asked.query) : asked.query;
  const managed = isManaged ? manage(directed, query, house) : null;
  if (managed !== null && 'dialect' in managed) return managed;
  const unable = firstRejection(CAPACITY_GATES, asked, house);
  if (unable !== null) return refused(unable, dialect, provider, managed?.identity);
  if (managed !== null && 'listed' in managed) return managed;
  if (managed !== null && isShed(managed, house))
    return refused(SHED, dialect, provider, managed.identity);
  if (managed !== null && 'sought' in managed) return doubtful(managed, directed, query, house);
  return admitted(directed, query, managed);
}

/** @param managed null for a key of the caller's own */
function admitted(
  { provider, path }: Directed,
  query: string,
  managed: Managed | ManagedRouted | null,
): Admitted {
  const stored = managed !== null && 'stored' in managed ? managed.stored : null;
  const to = stored?.provider ?? provider;
  const at = stored?.path ?? path;
  const target = query === '' ? at : `${at}?${query}`;
  const isRouted = managed !== null && 'routed' in managed;
  // Written out, and in one shape: copies of objects by spreading cost 0.1 us each (Builtins_CloneObjectIC).
  return {
    rejection: null,
    provider: to,
    dialect: provider.dialect,
    path: at,
    target,
    managed: isRouted ? null : managed,
    routed: isRouted ? managed.routed : null,
    routing: null,
  };
}

/** How the budgets of a key stand, for whoever holds it: asked of the gateway, and of no provider. */
const BUDGET_PATH = '/sluice/budget';

/** Behind it the id of a request, as `x-sluice-request-id` told it. */
const REQUEST_PATH = '/sluice/requests/';

/** What a request's id may look like: nobody's is longer. */
const REQUEST_ID = /^[\w-]{1,64}$/;

function isOwnView(path: string): boolean {
  return path === BUDGET_PATH || path.startsWith(REQUEST_PATH);
}

function ownView(
  asked: Asked,
  { token }: Credential,
  house: Admittance,
): Listed | Recalled | Refused {
  const dialect = guessDialect(asked);
  const seconds = house.rates.admitCredential(token.reveal());
  if (seconds > 0)
    return refused(tooMany(seconds), dialect, null, house.tokens.known(token.reveal()));
  const identity = house.tokens.check(token.reveal());
  if ('code' in identity) {
    const { code, fault, retryAfterSeconds } = identity;
    const why = code === 'rate_limited' ? tooMany(retryAfterSeconds) : rejection(code);
    return refused(why, dialect, null, null, fault);
  }
  const policy = house.policies.of(identity);
  if (policy.expiresMs <= Date.now())
    return refused(rejection('key_expired'), dialect, null, identity);
  const denied = deniedReason(identity, house.deny);
  if (denied !== null)
    return refused(
      rejection(denied === 'spend' ? 'spend_limit' : 'denied'),
      dialect,
      null,
      identity,
    );
  if (asked.method !== 'GET' && asked.method !== 'HEAD')
    return refused(ONLY_GET, dialect, null, identity);
  const unable = firstRejection(CAPACITY_GATES, asked, house);
  if (unable !== null) return refused(unable, dialect, null, identity);
  if (asked.path === BUDGET_PATH)
    return { rejection: null, identity, listed: budgetPage(policy.spending) };
  const recalled = asked.path.slice(REQUEST_PATH.length);
  return REQUEST_ID.test(recalled)
    ? { rejection: null, identity, dialect, recalled }
    : refused(notFound('the path', null), dialect, null, identity);
}

/** Whose request is refused whatever its key is: Codex offers to upgrade with the first use of a key. */
function identityOf({ kind, token }: Credential, house: Admittance): KeyIdentity | null {
  if (kind !== 'managed') return null;
  // Like any request: what is counted first is what keeps a flood from the cryptography.
  if (house.rates.admitCredential(token.reveal()) > 0) return house.tokens.known(token.reveal());
  const identity = house.tokens.check(token.reveal());
  return 'code' in identity ? null : identity;
}

/**
 * A virtual key's gate: who it is, whether that one is cut off, and whether a shared key may be used for this.
 * @param query as it is forwarded, without credentials
 */
function manage(
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
  const { names: mayName, keeps: mayKeep } = house.endpoints.stateOf(path, provider);
  if (!named && asked.method === 'POST') {
    const suffix = path.slice(API_PREFIX.length);
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

/** A stored response in the path: it goes where it was made, and only for whom it was made. */
function manageStored(
  path: string,
  provider: Provider,
  named: boolean,
  identity: KeyIdentity,
  policy: EffectivePolicy,
  house: Admittance,
): Managed | Sought | Refused {
  const sought = { identity, policy, path, provider, named };
  const stored = house.endpoints.stored(path, provider);
  const isDoubtful = stored !== null && homeOf(stored.id, sought, house) === null;
  const isAllowed = isDoubtful && house.stored.allows(stored.id, identity.tenantWords);
  return isDoubtful && !isAllowed && house.stored.fleet !== null
    ? { ...sought, sought: stored.id }
    : foundStored(sought, house);
}

/** Where what the path names is to be had, as far as this node knows. */
function homeOf(
  id: string,
  { identity, provider, named }: Omit<Sought, 'sought'>,
  house: Admittance,
): Home | null {
  const homes = house.stored.find(id, identity.tenantWords);
  const here = homes.find((one) => one.provider.index === provider.index);
  return here ?? (named ? null : (homes[0] ?? null));
}

function foundStored(sought: Omit<Sought, 'sought'>, house: Admittance): Managed | Refused {
  const { path, provider, identity, policy } = sought;
  const stored = house.endpoints.stored(path, provider);
  const home = stored === null ? null : homeOf(stored.id, sought, house);
  const isAllowed = stored !== null && house.stored.allows(stored.id, identity.tenantWords);
  const unknownKey = isAllowed
    ? house.poolKeys.settled(provider, tenantSeed(identity.tenantWords))
    : null;
  const poolKey = home?.key ?? unknownKey;
  if (stored === null || poolKey === null)
    return refused(notFound('the path', stored?.id ?? null), provider.dialect, provider, identity);
  const at = home?.provider ?? provider;
  return {
    identity,
    policy,
    // It was allowed when it was made.
    permission: null,
    pathModel: null,
    poolKey,
    metering: 'free',
    namesState: false,
    keepsState: false,
    coding: null,
    stored: {
      provider: at,
      path: at.index === provider.index ? path : (at.prefixes[0] ?? '') + stored.suffix,
    },
  };
}

/** What the managed gate says of a request for what is stored of which this node has not heard. */
interface Sought {
  readonly identity: KeyIdentity;
  readonly policy: EffectivePolicy;
  readonly path: string;
  readonly provider: Provider;
  /** The path's first segment names the provider. */
  readonly named: boolean;
  /** The id that the path names. */
  readonly sought: string;
}

function doubtful(sought: Sought, directed: Directed, query: string, house: Admittance): Doubtful {
  return {
    rejection: null,
    identity: sought.identity,
    isKnown: () => homeOf(sought.sought, sought, house) !== null,
    decided: () => {
      const found = foundStored(sought, house);
      return 'dialect' in found ? found : admitted(directed, query, found);
    },
  };
}

/** What the managed gate says of a request that its body routes. */
interface ManagedRouted {
  readonly identity: KeyIdentity;
  readonly routed: Routed;
}

/** Where the default providers' APIs begin, and so the paths that name no provider. */
const API_PREFIX = '/v1';

/** How the answer to an endpoint is streamed. */
function wireOf(suffix: string): StreamWire {
  if (suffix.startsWith('/responses')) return 'openai-responses';
  if (suffix.startsWith('/messages')) return 'anthropic-messages';
  return suffix === '/completions' ? 'openai-text' : 'openai-chat';
}

function firstRejection<Subject>(
  gates: readonly Gate<Subject>[],
  subject: Subject,
  house: Admittance,
): Rejection | null {
  for (const gate of gates) {
    const rejected = gate(subject, house);
    if (rejected !== null) return rejected;
  }
  return null;
}

function refused(
  why: Rejection,
  dialect: Dialect,
  provider: Provider | null = null,
  identity: KeyIdentity | null = null,
  fault: string | null = null,
): Refused {
  return { rejection: why, dialect, provider, identity, fault };
}

/** Tenant and key may both be cut off: whatever is not a matter of budget is told first. */
function deniedReason({ tenantWords, keyWords }: KeyIdentity, deny: DenyLookup): DenyReason | null {
  const tenant = deny.find('tenant', tenantWords.low, tenantWords.high);
  if (keyWords === null || tenant === 'other') return tenant;
  const key = deny.find('key', keyWords.low, keyWords.high);
  return key === null || (key === 'spend' && tenant !== null) ? tenant : key;
}

/** RFC 9110 §10.2.3: whole seconds. */
function tooMany(seconds: number): Rejection {
  return rejection('rate_limited', '', `retry-after: ${seconds}\r\n`);
}

/** @param limitBytes the cap that the body exceeds, for the caller to read */
export function tooLarge(limitBytes: number): Rejection {
  return rejection('body_too_large', `The limit is ${limitBytes} bytes.`);
}

/** A managed key that stands where it would be forwarded, or logged. @param where in words, without the key */
function misplaced(where: string): Rejection {
  const positions =
    'Authorization: Bearer, x-api-key, api-key, x-goog-api-key and the query parameter key';
  return rejection('bad_key', `It stands in ${where}; its places are ${positions}.`);
}

// Besides a key in x-api-key (contracts: routes), `anthropic-version` says who is calling: Anthropic's SDK 1.11 and Claude
// Code put their key into Authorization, and their list of models on a bare base URL would else be OpenAI's.
function speaksAnthropic({ fields }: Asked, { onlyInXApiKey }: Credential): boolean {
  return onlyInXApiKey || fieldValue(fields, 'anthropic-version') !== null;
}

/** Whose error shapes a caller reads, as far as its head tells. */
export function guessDialect({ path, fields }: Pick<Asked, 'path' | 'fields'>): Dialect {
  if (path === '/v1/messages' || path.startsWith('/v1/messages/')) return 'anthropic';
  return fieldValue(fields, 'anthropic-version') === null ? 'openai' : 'anthropic';
}

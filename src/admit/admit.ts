import type { DenyLookup, DenyReason } from '../deny/deny-table.ts';
import type { KeyIdentity } from '../keys/virtual-key.ts';
import type { PoolKey, PoolKeys } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import type { Dialect, Rejection } from '../rejection.ts';
import { rejection } from '../rejection.ts';
import { fieldValue } from '../wire/fields.ts';
import type { RequestFraming } from '../wire/request-framing.ts';
import {
  type Credential,
  findCredential,
  NO_CREDENTIAL,
  withoutCredentials,
} from './credential.ts';
import type { EndpointMetering, ManagedEndpoints } from './endpoint.ts';
import type { RateGuard } from './rate.ts';
import type { Router } from './route.ts';
import type { VerifiedTokens } from './verified-tokens.ts';

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
  readonly poolKeys: PoolKeys;
  /** Bytes; 0 = no limit. */
  readonly maxRequestBodyBytes: number;
  readonly draining: boolean;
  /** True when the node has as many exchanges as `max_in_flight` allows. */
  full(): boolean;
}

/** What a managed request has beside the others: who pays, with which key, and how it is metered. */
export interface Managed {
  readonly identity: KeyIdentity;
  readonly poolKey: PoolKey;
  readonly metering: EndpointMetering;
}

/** A request that may proceed, and where to. Filled gate by gate; whole once every gate has passed. */
export class Admission {
  readonly asked: Asked;
  /** Whose error shapes the caller reads: guessed from the head until the provider is known. */
  dialect: Dialect;
  /** Why a virtual key was refused, for the log: callers are told no more than that it was. */
  fault: string | null = null;
  /** Written by the credential gate. */
  credential: Credential = NO_CREDENTIAL;
  /** Written by the route gate. */
  provider: Provider | null = null;
  /** The path the provider is asked for. Written by the route gate. */
  path = '';
  /** Null for callers with keys of their own. Written by the managed gate, the last one before capacity. */
  managed: Managed | null = null;

  constructor(asked: Asked) {
    this.asked = asked;
    this.dialect = guessDialect(asked);
  }

  /** Path and query as they are forwarded. */
  get target(): string {
    const { query } = this.asked;
    const kept = this.managed === null ? query : withoutCredentials(query);
    return kept === '' ? this.path : `${this.path}?${kept}`;
  }
}

type Gate = (admission: Admission, house: Admittance) => Rejection | null;

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
const UPGRADE = rejection('bad_request', 'A gateway key cannot be used with Upgrade.');
// The field is none of those that go upstream with a pool key, and what is packed cannot be metered.
const PACKED = rejection(
  'bad_request',
  'A gateway key cannot be used with Content-Encoding: send the body as it is.',
);

const framing: Gate = ({ asked }) => {
  const { fault, lengthMissing } = asked.framing;
  if (fault !== null) return rejection('bad_request', fault);
  return lengthMissing ? rejection('length_required') : null;
};

const method: Gate = ({ asked }) => (METHODS.has(asked.method) ? null : METHOD_NOT_ALLOWED);

// Before the route, because an Anthropic SDK is recognised by where it puts its key. An unknown provider is
// nevertheless told first: the key it would need depends on the provider.
const credential: Gate = (admission) => {
  admission.credential = findCredential(admission.asked.fields, admission.asked.query);
  return null;
};

// Besides a key in x-api-key (contracts: routes), `anthropic-version` says who is calling: Anthropic's SDK 1.11 puts its
// key into Authorization, and its models.list() on a bare base URL would else go to OpenAI.
const route: Gate = (admission, { router }) => {
  const { path, fields } = admission.asked;
  const { kind, inXApiKey } = admission.credential;
  const anthropic =
    inXApiKey || (kind === 'byo' && fieldValue(fields, 'anthropic-version') !== null);
  const found = router.route(path, anthropic);
  if (found === null) return rejection('unknown_provider', router.explain(path));
  admission.provider = found.provider;
  admission.dialect = found.provider.dialect;
  admission.path = found.path;
  return null;
};

const key: Gate = ({ credential: { kind } }) => (kind === 'none' ? rejection('missing_key') : null);

// Before any cryptography, and before anything that a flood could make expensive.
const rate: Gate = ({ credential: { kind, token } }, { rates }) => {
  const seconds = kind === 'managed' ? rates.admitCredential(token.reveal()) : rates.admitByo();
  return seconds === 0 ? null : tooMany(seconds);
};

const managed: Gate = (admission, house) => {
  const { asked, credential, path, provider } = admission;
  if (credential.kind !== 'managed' || provider === null) return null;
  const identity = house.tokens.check(credential.token.reveal());
  if ('code' in identity) {
    admission.fault = identity.fault;
    return identity.code === 'rate_limited'
      ? tooMany(identity.retryAfterSeconds)
      : rejection(identity.code);
  }
  const denied = deniedReason(identity, house.deny);
  if (denied !== null) return rejection(denied === 'spend' ? 'spend_limit' : 'denied');
  if (fieldValue(asked.fields, 'upgrade') !== null) return UPGRADE;
  const coding = fieldValue(asked.fields, 'content-encoding');
  if (coding !== null && coding.toLowerCase() !== 'identity') return PACKED;
  const metering = house.endpoints.judge(asked.method, path);
  if (metering === 'unknown') return rejection('endpoint_not_managed');
  if (metering === 'wrong-method-post') return ONLY_POST;
  if (metering === 'wrong-method-get') return ONLY_GET;
  const poolKey = house.poolKeys.next(provider);
  if (poolKey === null) return rejection('no_pool_key', `The provider is ${provider.name}.`);
  admission.managed = { identity, poolKey, metering };
  return null;
};

const length: Gate = ({ asked }, { maxRequestBodyBytes }) =>
  maxRequestBodyBytes > 0 && asked.framing.contentLength > maxRequestBodyBytes
    ? tooLarge(maxRequestBodyBytes)
    : null;

const capacity: Gate = (_admission, house) => {
  if (house.draining) return rejection('draining', '', 'connection: close\r\n');
  return house.full() ? rejection('overloaded', '', 'retry-after: 1\r\n') : null;
};

/** Cheapest first, and each may rely on those before it. `npm run bench:keys` measures the steps for a virtual key. */
const GATES: readonly Gate[] = [
  framing,
  method,
  credential,
  route,
  key,
  rate,
  managed,
  length,
  capacity,
];

/** @returns null when every gate passed and the admission is whole; else why the request may not proceed */
export function admit(admission: Admission, house: Admittance): Rejection | null {
  for (const gate of GATES) {
    const rejected = gate(admission, house);
    if (rejected !== null) return rejected;
  }
  return null;
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

function guessDialect({ path, fields }: Asked): Dialect {
  if (path === '/v1/messages' || path.startsWith('/v1/messages/')) return 'anthropic';
  return fieldValue(fields, 'anthropic-version') === null ? 'openai' : 'anthropic';
}

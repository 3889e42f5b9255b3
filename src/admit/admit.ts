import type { Dialect, Rejection } from '../rejection.ts';
import { rejection } from '../rejection.ts';
import { fieldValue } from '../wire/fields.ts';
import type { RequestFraming } from '../wire/request-framing.ts';
import { type Credential, findCredential } from './credential.ts';
import type { Provider } from './providers.ts';
import type { Router } from './route.ts';

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
  /** Bytes; 0 = no limit. */
  readonly maxRequestBodyBytes: number;
  readonly draining: boolean;
  /** True when the node has as many exchanges as `max_in_flight` allows. */
  full(): boolean;
}

/** A request that may proceed, and where to. Filled gate by gate; whole once every gate has passed. */
export class Admission {
  readonly asked: Asked;
  /** Whose error shapes the caller reads: guessed from the head until the provider is known. */
  dialect: Dialect;
  /** Written by the credential gate. */
  credential: Credential = 'none';
  /** Written by the route gate. */
  provider: Provider | null = null;
  /** Path and query the provider is asked for. Written by the route gate. */
  target = '';

  constructor(asked: Asked) {
    this.asked = asked;
    this.dialect = guessDialect(asked);
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
  '',
  'allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n',
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
  const { path, query, fields } = admission.asked;
  const { credential: key } = admission;
  const anthropic =
    key === 'byo-x-api-key' || (key === 'byo' && fieldValue(fields, 'anthropic-version') !== null);
  const found = router.route(path, anthropic);
  if (found === null) return rejection('unknown_provider', router.explain(path));
  admission.provider = found.provider;
  admission.dialect = found.provider.dialect;
  admission.target = query === '' ? found.path : `${found.path}?${query}`;
  return null;
};

const key: Gate = (admission) => {
  if (admission.credential === 'none') return rejection('missing_key');
  // No signing key can be configured yet, and without one every managed key is a bad one.
  return admission.credential === 'managed' ? rejection('bad_key') : null;
};

const length: Gate = ({ asked }, { maxRequestBodyBytes }) =>
  maxRequestBodyBytes > 0 && asked.framing.contentLength > maxRequestBodyBytes
    ? tooLarge(maxRequestBodyBytes)
    : null;

const capacity: Gate = (_admission, house) => {
  if (house.draining) return rejection('draining', '', 'connection: close\r\n');
  return house.full() ? rejection('overloaded', '', 'retry-after: 1\r\n') : null;
};

/** Cheapest first, and each may rely on those before it. Whole walk: see bench/micro when it exists (issue 5). */
const GATES: readonly Gate[] = [framing, method, credential, route, key, length, capacity];

/** @returns null when every gate passed and the admission is whole; else why the request may not proceed */
export function admit(admission: Admission, house: Admittance): Rejection | null {
  for (const gate of GATES) {
    const rejected = gate(admission, house);
    if (rejected !== null) return rejected;
  }
  return null;
}

/** @param limitBytes the cap that the body exceeds, for the caller to read */
export function tooLarge(limitBytes: number): Rejection {
  return rejection('body_too_large', `The limit is ${limitBytes} bytes.`);
}

function guessDialect({ path, fields }: Asked): Dialect {
  if (path === '/v1/messages' || path.startsWith('/v1/messages/')) return 'anthropic';
  return fieldValue(fields, 'anthropic-version') === null ? 'openai' : 'anthropic';
}

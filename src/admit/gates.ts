/** The gates that a request passes by its head alone, and by whose key it carries. */

import type { EffectivePolicy } from '../policy/policy-table.ts';
import { type Rejection, rejection } from '../rejection.ts';
import { fieldValue } from '../wire/fields.ts';
import type { Admittance, Asked, Directed } from './admission.ts';
import { hasSlipped, slip } from './base-url.ts';
import { Cors } from './cors.ts';

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

// RFC 9110 §15.5.22: it says what to speak instead. Codex tries a WebSocket first and goes on over HTTP at once on a 426.
const UPGRADE = rejection('upgrade_required', '', 'upgrade: HTTP/1.1\r\nconnection: upgrade\r\n');

const framing: Gate<Asked> = ({ framing: { fault, lengthMissing } }) => {
  if (fault !== null) return rejection('bad_request', fault);
  return lengthMissing ? rejection('length_required') : null;
};

// Nearly all are POST, whose text is a new one with each request: to look it up works out its hash.
const method: Gate<Asked> = (asked) =>
  asked.method === 'POST' || METHODS.has(asked.method) ? null : METHOD_NOT_ALLOWED;

// Whatever else is offered is passed over (RFC 9110 §7.8): Java's HttpClient offers h2c with its first request.
export const upgrade: Gate<Asked> = ({ fields }) =>
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
export const HEAD_GATES: readonly Gate<Asked>[] = [framing, method];
/** Behind the route. */
export const KEY_GATES: readonly Gate<Directed>[] = [baseUrl, key, rate];
/** Behind the virtual key. */
export const CAPACITY_GATES: readonly Gate<Asked>[] = [length, capacity];

export const ONLY_GET = rejection(
  'method_not_allowed',
  'This endpoint takes GET and HEAD.',
  'allow: GET, HEAD\r\n',
);

export function firstRejection<Subject>(
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

/** RFC 9110 §10.2.3: whole seconds. */
export function tooMany(seconds: number): Rejection {
  return rejection('rate_limited', '', `retry-after: ${seconds}\r\n`);
}

/** @param limitBytes the cap that the body exceeds, for the caller to read */
export function tooLarge(limitBytes: number): Rejection {
  return rejection('body_too_large', `The limit is ${limitBytes} bytes.`);
}

const SHED = rejection(
  'overloaded',
  'Keys of this class may use a part of the gateway, and that is taken.',
  'retry-after: 1\r\n',
);

/** @returns why a key may not use more of the gateway; null where its class may, as nearly all may use all of it */
export function shedRejection(policy: EffectivePolicy, house: Admittance): Rejection | null {
  return policy.share < 1 && house.sheds(policy) ? SHED : null;
}

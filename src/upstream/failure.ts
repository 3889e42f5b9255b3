/**
 * Maps what can go wrong upstream to a row of the rejection table (RFC 9110 §15.6.3 to §15.6.5) and to an outcome.
 * The codes are those of Node's net, dns and tls; what the connection itself finds wrong it says in its own words.
 */

import type { Rejection, RejectionCode } from '../rejection.ts';

type FailureKind =
  | 'connect'
  | 'reset'
  | 'timeout'
  | 'framing'
  | 'exhausted'
  | 'internal'
  /** It answered, and would not have the pool key. */
  | 'refused'
  /** A budget ended it (`hard_stop`): nobody is to blame, and nobody else is asked. */
  | 'stopped'
  /** A guard of its caller's policy would not have it: nobody is to blame. */
  | 'guarded';

export interface UpstreamFailure {
  readonly kind: FailureKind;
  /** What the caller is told while no response head was sent. */
  readonly rejection: Extract<
    RejectionCode,
    | 'upstream_unreachable'
    | 'upstream_timeout'
    | 'overloaded'
    | 'internal_error'
    | 'pool_key_rejected'
    | 'budget_exceeded'
    | 'guard_blocked'
  >;
  /** The library's own code, for the log and for the caller. Never a message: a message could quote what was sent. */
  readonly code: string;
  /** Whole field lines of the caller's answer, each ended by CRLF. */
  readonly fieldLines?: string;
  /** What the caller is told in place of all that, whether a head was sent or not. */
  readonly told?: Rejection;
}

/** A budget ends a stream. @param told why, to its caller */
export function stoppedByBudget(told: Rejection): UpstreamFailure {
  return { kind: 'stopped', rejection: 'budget_exceeded', code: 'HARD_STOP', told };
}

/** A guard ends a stream. @param told why, to its caller */
export function stoppedByGuard(told: Rejection): UpstreamFailure {
  return { kind: 'guarded', rejection: 'guard_blocked', code: 'GUARD_BLOCKED', told };
}

/** The peer closed before the response was whole. */
export const CLOSED_EARLY: UpstreamFailure = {
  kind: 'reset',
  rejection: 'upstream_unreachable',
  code: 'CLOSED_EARLY',
};
export const CONNECT_TIMEOUT: UpstreamFailure = {
  kind: 'connect',
  rejection: 'upstream_timeout',
  code: 'CONNECT_TIMEOUT',
};
export const FIRST_BYTE_TIMEOUT: UpstreamFailure = {
  kind: 'timeout',
  rejection: 'upstream_timeout',
  code: 'FIRST_BYTE_TIMEOUT',
};
export const IDLE_TIMEOUT: UpstreamFailure = {
  kind: 'timeout',
  rejection: 'upstream_timeout',
  code: 'IDLE_TIMEOUT',
};

type Class = readonly [kind: FailureKind, rejection: UpstreamFailure['rejection']];

const CONNECT: Class = ['connect', 'upstream_unreachable'];
const CONNECT_LATE: Class = ['connect', 'upstream_timeout'];
const RESET: Class = ['reset', 'upstream_unreachable'];
const EXHAUSTED: Class = ['exhausted', 'overloaded'];
const INTERNAL: Class = ['internal', 'internal_error'];

const CLASSES: ReadonlyMap<string, Class> = new Map<string, Class>([
  ['ETIMEDOUT', CONNECT_LATE],
  ['ECONNREFUSED', CONNECT],
  ['EHOSTUNREACH', CONNECT],
  ['ENETUNREACH', CONNECT],
  ['ENOTFOUND', CONNECT],
  ['EAI_AGAIN', CONNECT],
  ['ECONNRESET', RESET],
  ['EPIPE', RESET],
  ['ECONNABORTED', RESET],
  ['EMFILE', EXHAUSTED],
  ['ENFILE', EXHAUSTED],
  ['ENOBUFS', EXHAUSTED],
  ['EADDRNOTAVAIL', EXHAUSTED],
]);

/** @param connected whether the connection stood when it failed */
export function classify(error: unknown, connected: boolean): UpstreamFailure {
  const { code } = described(error);
  const known = CLASSES.get(code);
  if (known !== undefined) {
    // The same code means another thing before there was a connection (a TLS handshake that was reset), and behind it
    // (the kernel gave up on a peer that no longer acknowledges).
    const [kind, rejection] = connected ? afterConnect(known) : beforeConnect(known);
    return { kind, rejection, code };
  }
  if (isBug(error)) return ownFailure(error);
  // Before a connection stood: TLS and certificate errors, of which OpenSSL has dozens.
  const [kind, rejection] = connected ? RESET : CONNECT;
  return { kind, rejection, code };
}

const OF_THE_PROVIDER: ReadonlySet<UpstreamFailure['rejection']> = new Set([
  'upstream_unreachable',
  'upstream_timeout',
  'pool_key_rejected',
]);

/**
 * A provider's answer to a pool key that it will not serve: unknown, without money, or not allowed. To the caller it would
 * read as a fault of its own key (contracts: it never sees a 401 that is ours).
 * @param hasOthers the next request gets another key; else the stock SDKs are told that a retry cannot help
 */
export function poolKeyRefusal(status: number, hasOthers: boolean): UpstreamFailure | null {
  const code = POOL_KEY_REFUSALS.get(status);
  if (code === undefined) return null;
  const fieldLines = hasOthers ? '' : 'x-should-retry: false\r\n';
  return { kind: 'refused', rejection: 'pool_key_rejected', code, fieldLines };
}

/** The same with a 400, as Google has it; what else a 400 means, its body says. */
export const POOL_KEY_UNKNOWN: UpstreamFailure = {
  kind: 'refused',
  rejection: 'pool_key_rejected',
  code: 'POOL_KEY_400',
};

/** The same inside a 200. */
export const POOL_KEY_INBAND: UpstreamFailure = {
  kind: 'refused',
  rejection: 'pool_key_rejected',
  code: 'POOL_KEY_INBAND',
};

const POOL_KEY_REFUSALS: ReadonlyMap<number, string> = new Map([
  [401, 'POOL_KEY_401'],
  [402, 'POOL_KEY_402'],
  [403, 'POOL_KEY_403'],
]);

/** A bug of ours, whatever was thrown: not the provider's fault, and never a reason to send the request again. */
export function ownFailure(error: unknown): UpstreamFailure {
  const { name, code } = described(error);
  const [kind, rejection] = INTERNAL;
  return { kind, rejection, code: isBug(error) ? `${name}: ${error.message}` : code };
}

/** @returns a sentence for the caller, who may be the one to put it right; empty when the provider is not at fault */
export function failureDetail(failure: UpstreamFailure, provider: string | null): string {
  const isProviders = OF_THE_PROVIDER.has(failure.rejection) || failure.code === 'CONNECTION_LIMIT';
  return isProviders && provider !== null ? `The provider is ${provider} (${failure.code}).` : '';
}

/** What the engine throws; its messages name code, not data. */
function isBug(error: unknown): error is Error {
  return (
    error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError
  );
}

function beforeConnect(known: Class): Class {
  return known === RESET ? CONNECT : known;
}

function afterConnect(known: Class): Class {
  return known === CONNECT || known === CONNECT_LATE ? RESET : known;
}

function described(error: unknown): { readonly name: string; readonly code: string } {
  if (!(error instanceof Error)) return { name: '', code: 'unknown' };
  const { code } = error as NodeJS.ErrnoException;
  if (typeof code === 'string') return { name: error.name, code };
  // Happy eyeballs: every address failed, each with an error of its own.
  if (error instanceof AggregateError) return described(error.errors[0]);
  return { name: error.name, code: error.name };
}

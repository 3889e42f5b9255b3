/**
 * Maps what can go wrong upstream to a row of the rejection table (RFC 9110 §15.6.3 to §15.6.5) and to an outcome.
 * The codes are those of undici 8.12.4 and of Node's net, dns and tls (platform facts D, "Errors by class").
 */

import type { RejectionCode } from '../rejection.ts';

export type FailureKind = 'connect' | 'reset' | 'timeout' | 'framing' | 'exhausted' | 'internal';

export interface UpstreamFailure {
  readonly kind: FailureKind;
  /** What the caller is told while no response head was sent. */
  readonly rejection: Extract<
    RejectionCode,
    'upstream_unreachable' | 'upstream_timeout' | 'overloaded' | 'internal_error'
  >;
  /** The library's own code, for the log. Never a message: a message could quote what was sent. */
  readonly code: string;
}

type Class = readonly [kind: FailureKind, rejection: UpstreamFailure['rejection']];

const CONNECT: Class = ['connect', 'upstream_unreachable'];
const CONNECT_TIMEOUT: Class = ['connect', 'upstream_timeout'];
const RESET: Class = ['reset', 'upstream_unreachable'];
const TIMEOUT: Class = ['timeout', 'upstream_timeout'];
const FRAMING: Class = ['framing', 'upstream_unreachable'];
const EXHAUSTED: Class = ['exhausted', 'overloaded'];
const INTERNAL: Class = ['internal', 'internal_error'];

const CLASSES: ReadonlyMap<string, Class> = new Map<string, Class>([
  ['UND_ERR_CONNECT_TIMEOUT', CONNECT_TIMEOUT],
  ['ETIMEDOUT', CONNECT_TIMEOUT],
  ['ECONNREFUSED', CONNECT],
  ['EHOSTUNREACH', CONNECT],
  ['ENETUNREACH', CONNECT],
  ['ENOTFOUND', CONNECT],
  ['EAI_AGAIN', CONNECT],
  ['UND_ERR_SOCKET', RESET],
  ['ECONNRESET', RESET],
  ['EPIPE', RESET],
  ['ECONNABORTED', RESET],
  ['UND_ERR_HEADERS_TIMEOUT', TIMEOUT],
  ['UND_ERR_BODY_TIMEOUT', TIMEOUT],
  ['UND_ERR_HEADERS_OVERFLOW', FRAMING],
  ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', FRAMING],
  ['UND_ERR_RES_EXCEEDED_MAX_SIZE', FRAMING],
  ['EMFILE', EXHAUSTED],
  ['ENFILE', EXHAUSTED],
  ['ENOBUFS', EXHAUSTED],
  ['EADDRNOTAVAIL', EXHAUSTED],
  ['UND_ERR_INVALID_ARG', INTERNAL],
  ['UND_ERR_NOT_SUPPORTED', INTERNAL],
  ['UND_ERR_REQ_CONTENT_LENGTH_MISMATCH', INTERNAL],
]);

/** @param connected whether the request had been assigned to a connection when it failed */
export function classify(error: unknown, connected: boolean): UpstreamFailure {
  const { name, code } = described(error);
  const known = CLASSES.get(code);
  if (known !== undefined) {
    // The same code means another thing before there was a connection: a TLS handshake that was reset.
    const [kind, rejection] = !connected && known === RESET ? CONNECT : known;
    return { kind, rejection, code };
  }
  if (name === 'HTTPParserError' || code.startsWith('HPE_'))
    return { kind: 'framing', rejection: FRAMING[1], code };
  // undici reports what a handler throws as a failure of the request: a bug of ours is not the provider's fault.
  if (
    error instanceof TypeError ||
    error instanceof RangeError ||
    error instanceof ReferenceError
  ) {
    return { kind: INTERNAL[0], rejection: INTERNAL[1], code: `${name}: ${error.message}` };
  }
  // Before a connection stood: TLS and certificate errors, of which OpenSSL has dozens.
  const [kind, rejection] = connected ? RESET : CONNECT;
  return { kind, rejection, code };
}

function described(error: unknown): { readonly name: string; readonly code: string } {
  if (!(error instanceof Error)) return { name: '', code: 'unknown' };
  const { code } = error as NodeJS.ErrnoException;
  if (typeof code === 'string') return { name: error.name, code };
  // Happy eyeballs: every address failed, each with an error of its own.
  if (error instanceof AggregateError) return described(error.errors[0]);
  return { name: error.name, code: error.name };
}

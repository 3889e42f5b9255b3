import type { Failure, FailureKind } from '../failures.ts';
import type { ErrorType, MessageError } from './shapes.ts';

const TYPES: Readonly<Record<FailureKind, ErrorType>> = {
  invalid: 'invalid_request_error',
  too_large: 'invalid_request_error',
  context_length: 'invalid_request_error',
  filtered: 'invalid_request_error',
  authentication: 'authentication_error',
  billing: 'billing_error',
  permission: 'permission_error',
  not_found: 'not_found_error',
  model_missing: 'not_found_error',
  rate_limit: 'rate_limit_error',
  timeout: 'timeout_error',
  overloaded: 'overloaded_error',
  server: 'api_error',
};

/** Claude Code looks for these words before it compacts a conversation. */
const TOO_LONG = 'prompt is too long';

export function messageError({ kind, message, status }: Failure): {
  readonly status: number;
  readonly body: MessageError;
} {
  const isUntold = kind === 'context_length' && !message.includes(TOO_LONG);
  const told = isUntold ? `${TOO_LONG}: ${message}` : message;
  return {
    status: status ?? 502,
    body: { type: 'error', error: { type: TYPES[kind], message: told } },
  };
}

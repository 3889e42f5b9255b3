import type { Failure, FailureKind } from '../failures.ts';
import type { ChatError } from './shapes.ts';

const TYPES: Readonly<Record<FailureKind, readonly [type: string, code: string | null]>> = {
  invalid: ['invalid_request_error', null],
  too_large: ['invalid_request_error', null],
  context_length: ['invalid_request_error', 'context_length_exceeded'],
  filtered: ['invalid_request_error', 'content_filter'],
  authentication: ['authentication_error', 'invalid_api_key'],
  billing: ['insufficient_quota', 'insufficient_quota'],
  permission: ['permission_error', null],
  not_found: ['invalid_request_error', null],
  model_missing: ['invalid_request_error', 'model_not_found'],
  rate_limit: ['rate_limit_error', 'rate_limit_exceeded'],
  timeout: ['server_error', null],
  overloaded: ['server_error', null],
  server: ['server_error', null],
};

/** 529 is no registered status; an error inside an answer that nothing was sent of yet is a bad gateway's. */
export function chatError({ kind, message, status }: Failure): {
  readonly status: number;
  readonly body: ChatError;
} {
  const [type, code] = TYPES[kind];
  return {
    status: status === null ? 502 : status === 529 ? 503 : status,
    body: { error: { message, type, param: null, code } },
  };
}

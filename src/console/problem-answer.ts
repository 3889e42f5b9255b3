/** A problem as it is told (RFC 9457), with the fields that every answer of the console has. */

import type { ToldAnswer } from './console-messages.ts';
import type { Problem } from './problem.ts';

/**
 * Of every answer, pages and problems alike: nothing inline runs, nothing is loaded from elsewhere, no other page can hold it
 * in a frame, and nobody is told where somebody came from.
 */
export const SAFE_FIELDS: readonly string[] = [
  'content-security-policy',
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
  'x-content-type-options',
  'nosniff',
  'x-frame-options',
  'DENY',
  'referrer-policy',
  'no-referrer',
  'cross-origin-opener-policy',
  'same-origin',
  'cross-origin-resource-policy',
  'same-origin',
];

/** What a problem's body says. */
export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly parts: readonly { key: string; found: string; expected: string }[];
}

/** @param fields further ones, names and values by turns */
export function problemAnswer(problem: Problem, fields: readonly string[] = []): ToldAnswer {
  const { code, status, title, parts, retryAfter, message: detail } = problem;
  const body: ProblemBody = {
    type: `urn:sluice:problem:${code}`,
    title,
    status,
    detail,
    code,
    parts: parts.map(({ key, found, expected }) => ({ key, found, expected })),
  };
  const wait = retryAfter === null ? [] : ['retry-after', String(Math.ceil(retryAfter))];
  const known =
    code === 'no_credentials' ? ['www-authenticate', 'Bearer realm="sluice admin"'] : [];
  return {
    status,
    fields: [
      'content-type',
      'application/problem+json',
      'cache-control',
      'no-store',
      ...SAFE_FIELDS,
      ...known,
      ...wait,
      ...fields,
    ],
    body: `${JSON.stringify(body)}\n`,
  };
}

/**
 * Our own limits in the caller's dialect: OpenAI's x-ratelimit-* (platform.openai.com/docs/guides/rate-limits), Anthropic's
 * anthropic-ratelimit-* (docs.claude.com/en/api/rate-limits). The provider's own fields describe the shared account, and
 * are not told.
 */

import type { Dialect } from '../rejection.ts';

/** How one limit of so many a minute stands. */
export interface MinuteState {
  readonly limit: number;
  readonly remaining: number;
  /** Until all of it is there again. */
  readonly resetUs: number;
}

/** @returns whole field lines, each ended by CRLF; of what is not limited, none */
export function limitLines(
  dialect: Dialect,
  requests: MinuteState | null,
  tokens: MinuteState | null,
): string {
  const lines = dialect === 'openai' ? openaiLines : anthropicLines;
  return lines('requests', requests) + lines('tokens', tokens);
}

function openaiLines(unit: string, state: MinuteState | null): string {
  if (state === null) return '';
  const { limit, remaining, resetUs } = state;
  return `x-ratelimit-limit-${unit}: ${limit}\r\nx-ratelimit-remaining-${unit}: ${remaining}\r\nx-ratelimit-reset-${unit}: ${duration(resetUs)}\r\n`;
}

function anthropicLines(unit: string, state: MinuteState | null): string {
  if (state === null) return '';
  const { limit, remaining, resetUs } = state;
  const at = new Date(Math.ceil((Date.now() + resetUs / 1_000) / 1_000) * 1_000);
  const reset = at.toISOString().replace('.000', '');
  return `anthropic-ratelimit-${unit}-limit: ${limit}\r\nanthropic-ratelimit-${unit}-remaining: ${remaining}\r\nanthropic-ratelimit-${unit}-reset: ${reset}\r\n`;
}

/** As OpenAI writes it: `17ms`, `1s`, `6m0s`. */
function duration(us: number): string {
  const ms = Math.ceil(us / 1_000);
  if (ms < 1_000) return `${ms}ms`;
  const seconds = Math.ceil(ms / 1_000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

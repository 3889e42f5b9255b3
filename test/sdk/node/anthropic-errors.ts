import Anthropic from '@anthropic-ai/sdk';
import type { Ask, Refusal } from './contract.ts';

/** The classes that Anthropic's SDK raises, by status. What is built on it raises them too. */
const RAISES = new Map<number, string>([
  [400, Anthropic.BadRequestError.name],
  [401, Anthropic.AuthenticationError.name],
  [402, Anthropic.APIError.name],
  [403, Anthropic.PermissionDeniedError.name],
  [404, Anthropic.NotFoundError.name],
  [413, Anthropic.APIError.name],
  [429, Anthropic.RateLimitError.name],
  [500, Anthropic.InternalServerError.name],
  [502, Anthropic.InternalServerError.name],
  [503, Anthropic.InternalServerError.name],
  [529, Anthropic.InternalServerError.name],
]);

type APIError = InstanceType<typeof Anthropic.APIError>;

/** By name, not by identity: @langchain/anthropic brings a copy of the SDK of its own. */
function descends(error: unknown, name: string): error is APIError {
  for (let at: unknown = error; at instanceof Error; at = Object.getPrototypeOf(at)) {
    if (at.constructor.name === name) return true;
  }
  return false;
}

/** Whether an error is the SDK's own, of any class. */
export function isAnthropicError(error: unknown): boolean {
  return descends(error, Anthropic.AnthropicError.name);
}

/** What an error of the SDK says; null where it is of another class than the ask's status has. */
export function readAnthropicError(error: unknown, { status }: Ask): Refusal | null {
  if (!descends(error, RAISES.get(status) ?? '')) return null;
  const body = error.error as Anthropic.ErrorResponse | undefined;
  const { budget } = (body?.error ?? {}) as { readonly budget?: unknown };
  const detail = error.constructor.name;
  return { detail, status: error.status, code: body?.error.type, budget };
}

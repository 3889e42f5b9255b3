import OpenAI from 'openai';
import type { Ask, Refusal } from './contract.ts';

/** The classes that openai raises, by status. What is built on openai raises them too. */
const RAISES = new Map<number, new (...args: never[]) => { readonly status: unknown }>([
  [400, OpenAI.BadRequestError],
  [401, OpenAI.AuthenticationError],
  [402, OpenAI.APIError],
  [403, OpenAI.PermissionDeniedError],
  [404, OpenAI.NotFoundError],
  [413, OpenAI.APIError],
  [429, OpenAI.RateLimitError],
  [500, OpenAI.InternalServerError],
  [502, OpenAI.InternalServerError],
  [503, OpenAI.InternalServerError],
]);

/** What an error of openai says; null where it is of another class than the ask's status has. */
export function readOpenAIError(error: unknown, { status }: Ask): Refusal | null {
  const raised = RAISES.get(status);
  if (raised === undefined || !(error instanceof raised)) return null;
  if (!(error instanceof OpenAI.APIError)) return null;
  const { budget } = (error.error ?? {}) as { readonly budget?: unknown };
  return { detail: error.constructor.name, status: error.status, code: error.code, budget };
}

/**
 * `cap_output`: an answer that nobody limits is limited to what is reserved for it. The one place where the gateway puts a limit
 * into a request, and only for keys whose policy says so.
 *
 * It is known at the request's last byte that no field says it, so the member stands last in the body's object, where it counts
 * whatever stands in front: parsers take the last of two (`"max_tokens":null`).
 */

import { Buffer } from 'node:buffer';
import type { SpendingQuestion } from '../budget/spending.ts';
import type { AttemptTarget } from './attempt-terms.ts';
import { lastByte } from './held-end.ts';

/** What a length that was declared before all of the body was known is declared longer: the longest member there is. */
export const CAP_ROOM_BYTES = 40;

const SPACES = Buffer.alloc(CAP_ROOM_BYTES, ' ');
const BRACE = 0x7d;
const CHAT = '/chat/completions';
const RESPONSES = '/responses';
/** Theirs refuse `max_tokens` for models that think (platform.openai.com/docs/api-reference/chat/create). */
const NEW_SPELLING: ReadonlySet<string> = new Set(['openai', 'azure']);

/** Whether a key's answers are limited. */
export function capsOutput({ managed }: AttemptTarget): boolean {
  return managed?.policy.spending?.capsOutput === true && managed.metering !== 'free';
}

/** What is left of a body, with a limit of its answer. */
interface Capped {
  readonly tokens: number;
  readonly content: readonly Buffer[];
  /** That were put in. */
  readonly bytes: number;
}

/**
 * @param body what is left of it, lent: one JSON object with members
 * @returns null where no limit can be put in
 */
export function capped(
  target: AttemptTarget,
  { provider, model }: SpendingQuestion,
  body: readonly Buffer[],
): Capped | null {
  const spending = target.managed?.policy.spending ?? null;
  if (spending === null || model === null) return null;
  const tokens = spending.capOf(provider, model);
  const member = capMember(target, tokens);
  const content = member === null ? null : withMember(body, member);
  return member === null || content === null ? null : { tokens, content, bytes: member.length };
}

/** Whether it asks for an answer of any length, and of a model. */
export function isUnlimited({ asked, writes }: SpendingQuestion): boolean {
  return writes && asked !== null && asked.outputTokens === null;
}

/**
 * The member that limits an answer; null: on this wire it does not stand in the body's outermost object. Text completions have 16
 * tokens where nothing is said: to limit them would make them longer.
 */
function capMember({ provider, path }: AttemptTarget, tokens: number): string | null {
  if (provider.dialect !== 'openai') return null;
  if (path.endsWith(RESPONSES)) return `,"max_output_tokens":${tokens}`;
  if (!path.endsWith(CHAT)) return null;
  const name = NEW_SPELLING.has(provider.name) ? 'max_completion_tokens' : 'max_tokens';
  return `,"${name}":${tokens}`;
}

/**
 * Puts a member at the end of the object that a body is.
 * @param content what is left of the body, lent; its object has members
 * @returns null where the object's end has left already
 */
export function withMember(content: readonly Buffer[], member: string): readonly Buffer[] | null {
  for (let at = content.length - 1; at >= 0; at--) {
    const piece = content[at];
    if (piece === undefined) continue;
    const end = lastByte(piece);
    if (end < 0) continue;
    if (piece[end] !== BRACE) return null;
    const parts = [Buffer.from(member), piece.subarray(end), ...content.slice(at + 1)];
    // In chunks a piece of no bytes would be the end of all.
    const before = content.slice(0, at);
    return end === 0 ? [...before, ...parts] : [...before, piece.subarray(0, end), ...parts];
  }
  return null;
}

/** Fills what was declared for a member, where that is shorter or is not there. */
export function padded(content: readonly Buffer[], bytes: number): readonly Buffer[] {
  return bytes <= 0 ? content : [...content, SPACES.subarray(0, bytes)];
}

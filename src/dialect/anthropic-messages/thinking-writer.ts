import type { ClaudeTraits } from '../claude-models.ts';
import type { Conversation, Effort, Part, Thinking, Wish } from '../conversation.ts';
import type { Losses } from '../losses.ts';
import type { MessagesRequest } from './shapes.ts';

/** Anthropic's least (API reference, `budget_tokens`). */
const BUDGET_MIN_TOKENS = 1_024;

/** Google's map of efforts to budgets, which others have taken over. */
const BUDGETS: Readonly<Record<Effort, number>> = {
  minimal: 1_024,
  low: 1_024,
  medium: 8_192,
  high: 24_576,
  xhigh: 32_768,
  max: 32_768,
};

/** Puts `thinking` and `output_config.effort` into the body, as the model takes them, or says that they are lost. */
export function writeThinking(
  said: Conversation,
  traits: ClaudeTraits,
  losses: Losses,
  body: MessagesRequest,
): void {
  const { thinking } = said;
  if (thinking === null) return;
  if (thinking.value.kind === 'off') {
    writeOff(thinking, traits, losses, body);
    return;
  }
  const isForced = body.tool_choice?.type === 'any' || body.tool_choice?.type === 'tool';
  if (traits.thinking === 'none' || (isForced && !traits.forcedWhileThinking)) {
    losses.drop(thinking);
    return;
  }
  if (traits.thinking === 'adaptive') writeAdaptive(thinking, traits, losses, body);
  else writeBudget(said, thinking, losses, body);
}

function writeOff(
  wish: Wish<Thinking>,
  { off }: ClaudeTraits,
  losses: Losses,
  body: MessagesRequest,
): void {
  if (off === 'disabled' || off === 'between_tools') body.thinking = { type: off };
  if (off !== 'never') return;
  // As little as can be had.
  body.output_config = { ...body.output_config, effort: 'low' };
  losses.drop(wish);
}

function writeAdaptive(
  wish: Wish<Thinking>,
  { xhigh, omitsThoughts }: ClaudeTraits,
  losses: Losses,
  body: MessagesRequest,
): void {
  body.thinking = { type: 'adaptive', ...(omitsThoughts ? { display: 'summarized' } : {}) };
  const wanted = effortOf(wish.value);
  if (wanted === null) return;
  const effort = wanted === 'xhigh' && !xhigh ? 'high' : wanted === 'minimal' ? 'low' : wanted;
  if (effort === 'high' && wanted === 'xhigh') losses.adjust(wish, effort);
  body.output_config = { ...body.output_config, effort };
}

function effortOf(thinking: Thinking): Effort | null {
  if (thinking.kind === 'effort') return thinking.effort;
  if (thinking.kind === 'off') return null;
  if (thinking.tokens >= BUDGETS.high) return 'high';
  return thinking.tokens >= BUDGETS.medium ? 'medium' : 'low';
}

function writeBudget(
  said: Conversation,
  wish: Wish<Thinking>,
  losses: Losses,
  body: MessagesRequest,
): void {
  const { value } = wish;
  const wanted = value.kind === 'budget' ? value.tokens : BUDGETS[effortOf(value) ?? 'medium'];
  // What the caller allows is never raised: it would be billed.
  const budget = Math.min(wanted, body.max_tokens - 1);
  if (budget < BUDGET_MIN_TOKENS || isUnsignedLoop(said)) losses.drop(wish);
  else body.thinking = { type: 'enabled', budget_tokens: budget };
}

/**
 * In the middle of a tool loop, with a last turn of the assistant's that does not open with a signed thought: Anthropic
 * answers 400 to it while a budget is set ("Expected thinking").
 */
function isUnsignedLoop({ turns }: Conversation): boolean {
  const last = turns.findLast(({ role }) => role === 'assistant');
  if (last === undefined || !last.parts.some(({ kind }) => kind === 'call')) return false;
  return !last.parts.some(isSignedThought);
}

function isSignedThought(part: Part): boolean {
  return (part.kind === 'thought' || part.kind === 'redacted') && part.seal?.maker === 'anthropic';
}

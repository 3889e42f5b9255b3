import type { Conversation, Effort, Thinking, Wish } from '../conversation.ts';
import { type GeminiTraits, geminiTraits, type ThinkingLevel } from '../gemini-models.ts';
import type { Losses } from '../losses.ts';
import type { GenerationConfig } from './shapes.ts';

/** Google's own map (ai.google.dev/gemini-api/docs/openai, "Thinking"); null: as much as the model can. */
const BUDGETS: Readonly<Record<Effort, number | null>> = {
  minimal: 1_024,
  low: 1_024,
  medium: 8_192,
  high: 24_576,
  xhigh: null,
  max: null,
};
/** Gemini decides (the same page). */
const DYNAMIC = -1;

const LADDER: readonly ThinkingLevel[] = ['MINIMAL', 'LOW', 'MEDIUM', 'HIGH'];
const LEVELS: Readonly<Record<Effort, ThinkingLevel>> = {
  minimal: 'MINIMAL',
  low: 'LOW',
  medium: 'MEDIUM',
  high: 'HIGH',
  xhigh: 'HIGH',
  max: 'HIGH',
};

/** Puts `thinkingConfig` into the settings, as the model takes it, or says that it is lost. */
export function writeThinking(
  { thinking }: Conversation,
  model: string,
  losses: Losses,
  config: GenerationConfig,
): void {
  if (thinking === null) return;
  const traits = geminiTraits(model);
  if (traits.thinking === 'none') {
    if (thinking.value.kind !== 'off') losses.drop(thinking);
    return;
  }
  const isOff = thinking.value.kind === 'off';
  config.thinkingConfig = {
    ...(traits.thinking === 'level'
      ? levelOf(thinking, traits, losses)
      : { thinkingBudget: budgetOf(thinking, traits, losses) }),
    ...(isOff ? {} : { includeThoughts: true }),
  };
}

function budgetOf(wish: Wish<Thinking>, traits: GeminiTraits, losses: Losses): number {
  const { value } = wish;
  const { budgetMin, budgetMax, canBeOff } = traits;
  if (value.kind === 'off') {
    if (canBeOff) return 0;
    losses.drop(wish);
    return budgetMin;
  }
  if (value.kind === 'effort')
    return value.effort === null ? DYNAMIC : (BUDGETS[value.effort] ?? budgetMax);
  const budget = Math.min(budgetMax, Math.max(budgetMin, value.tokens));
  if (budget !== value.tokens) losses.adjust(wish, budget);
  return budget;
}

/** The one that was asked for, else the next lower one, else the least. */
function levelOf(
  wish: Wish<Thinking>,
  { levels }: GeminiTraits,
  losses: Losses,
): { readonly thinkingLevel?: ThinkingLevel } {
  const effort = effortOf(wish.value);
  if (effort === null) return {};
  const wanted = LEVELS[effort];
  const lower = LADDER.slice(0, LADDER.indexOf(wanted) + 1).reverse();
  const level = lower.find((one) => levels.includes(one)) ?? levels[0] ?? 'LOW';
  if (level !== effort.toUpperCase()) losses.adjust(wish, level.toLowerCase());
  return { thinkingLevel: level };
}

/** No model of this kind can be told not to think: the least is the nearest. */
function effortOf(thinking: Thinking): Effort | null {
  if (thinking.kind === 'off') return 'minimal';
  if (thinking.kind === 'effort') return thinking.effort;
  if (thinking.tokens >= (BUDGETS.high ?? 0)) return 'high';
  return thinking.tokens >= (BUDGETS.medium ?? 0) ? 'medium' : 'low';
}

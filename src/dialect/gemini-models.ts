/** What Google's models take, as far as a request has to know it (ai.google.dev/gemini-api/docs/thinking). */

export type ThinkingLevel = 'MINIMAL' | 'LOW' | 'MEDIUM' | 'HIGH';

export interface GeminiTraits {
  /** How much it thinks: told by a budget of tokens, by a level (both together are a 400), or nothing. */
  readonly thinking: 'budget' | 'level' | 'none';
  /** The least budget that is none. */
  readonly budgetMin: number;
  readonly budgetMax: number;
  /** A budget of 0 is taken. */
  readonly canBeOff: boolean;
  /** From little to much. */
  readonly levels: readonly ThinkingLevel[];
  /** Refuses a step whose first call has no signature; takes pictures inside a call's result, and none beside it. */
  readonly isThird: boolean;
}

const PLAIN: GeminiTraits = {
  thinking: 'none',
  budgetMin: 0,
  budgetMax: 0,
  canBeOff: false,
  levels: [],
  isThird: false,
};
const FLASH_2_5: GeminiTraits = {
  ...PLAIN,
  thinking: 'budget',
  budgetMin: 1,
  budgetMax: 24_576,
  canBeOff: true,
};
const LITE_2_5: GeminiTraits = { ...FLASH_2_5, budgetMin: 512 };
const PRO_2_5: GeminiTraits = {
  ...FLASH_2_5,
  budgetMin: 128,
  budgetMax: 32_768,
  canBeOff: false,
};
const FLASH_3: GeminiTraits = {
  ...PLAIN,
  thinking: 'level',
  levels: ['MINIMAL', 'LOW', 'MEDIUM', 'HIGH'],
  isThird: true,
};
const PRO_3: GeminiTraits = { ...FLASH_3, levels: ['LOW', 'HIGH'] };
const PRO_3_1: GeminiTraits = { ...FLASH_3, levels: ['LOW', 'MEDIUM', 'HIGH'] };

/** `gemini-2.5-flash-lite`, `gemini-3-pro-preview`, `gemini-3.1-pro`. */
const VERSION = /gemini-(\d+)(?:\.(\d+))?(?![\d.])/;
/** Makes pictures or speech, or is no Gemini at all: none of them is told how to think. */
const THOUGHTLESS = /(?:^|[-/])(?:image|tts|audio|gemma|learnlm|embedding)/;
const PRO = /-pro(?:-|$)/;
const LITE = /-flash-lite(?:-|$)/;

/** @param model the name that its provider knows; one that says no version counts as the newest */
export function geminiTraits(model: string): GeminiTraits {
  const name = model.toLowerCase();
  if (THOUGHTLESS.test(name)) return { ...PLAIN, isThird: versionOf(name) >= 300 };
  const version = versionOf(name);
  if (version < 205) return PLAIN;
  if (version >= 300) return PRO.test(name) ? (version === 300 ? PRO_3 : PRO_3_1) : FLASH_3;
  if (PRO.test(name)) return PRO_2_5;
  return LITE.test(name) ? LITE_2_5 : FLASH_2_5;
}

/** 205 is 2.5. */
function versionOf(name: string): number {
  const found = VERSION.exec(name);
  if (found === null) return name.includes('gemini') ? Number.POSITIVE_INFINITY : 0;
  return Number(found[1]) * 100 + Number(found[2] ?? 0);
}

/** What vendors and models of OpenAI's chat wire take, as far as a request has to know it. */

import type { Effort } from './conversation.ts';

export interface ChatTraits {
  /** The name of the answer's limit: OpenAI's reasoning models refuse `max_tokens`, many other vendors know nothing else. */
  readonly limitField: 'max_completion_tokens' | 'max_tokens';
  /** What `reasoning_effort` may say, from little to much; empty: the model refuses it. */
  readonly efforts: readonly (Effort | 'none')[];
  /** Temperature, top_p and penalties: refused while it reasons. */
  readonly sampling: 'always' | 'at-effort-none' | 'never';
  /** Refuses function tools unless its effort is `none` (gpt-5.4 on; on this wire). */
  readonly toolsWantNoEffort: boolean;
  /** Refuses an assistant's turn with calls that comes back without its `reasoning_content`. */
  readonly wantsThoughtsBack: boolean;
  /** Takes `prompt_cache_breakpoint` on parts. */
  readonly breakpoints: boolean;
  /** Takes `verbosity`. */
  readonly verbosity: boolean;
}

const PLAIN: ChatTraits = {
  limitField: 'max_tokens',
  efforts: [],
  sampling: 'always',
  toolsWantNoEffort: false,
  wantsThoughtsBack: false,
  breakpoints: false,
  verbosity: false,
};

const LOW_TO_HIGH: readonly Effort[] = ['low', 'medium', 'high'];

/** `gpt-5`, `gpt-5.1-mini`; not `gpt-5-chat-latest`, which does not reason. */
const GPT_5 = /^gpt-(\d+)(?:\.(\d+))?(?!\S*-chat)(?=$|[-_])/;
const O_SERIES = /^o\d(?:$|-)/;
const OPENAI = /^(?:gpt-|chatgpt-|o\d(?:$|-))/;
const OPEN_WEIGHTS = /^gpt-oss/;
const THOUGHTS_BACK = /deepseek|moonshot|kimi|^glm-|minimax/;

/** Vendors that know `max_tokens` alone, whatever their models are called. */
const OLD_LIMIT: ReadonlySet<string> = new Set(['mistral', 'deepseek', 'ollama']);

/**
 * @param provider its name in the provider table; others than these are told by their models
 * @param model the name that the provider knows: `gpt-5-mini`, `openai/gpt-oss-120b`
 */
export function chatTraits(provider: string, model: string): ChatTraits {
  const name = model.slice(model.lastIndexOf('/') + 1).toLowerCase();
  const own = ownTraits(name);
  const wantsThoughtsBack = THOUGHTS_BACK.test(provider) || THOUGHTS_BACK.test(name);
  const limitField = OLD_LIMIT.has(provider) ? 'max_tokens' : own.limitField;
  return { ...own, wantsThoughtsBack, limitField };
}

function ownTraits(name: string): ChatTraits {
  if (OPEN_WEIGHTS.test(name)) return { ...PLAIN, efforts: LOW_TO_HIGH };
  const limitField = OPENAI.test(name) ? 'max_completion_tokens' : 'max_tokens';
  if (O_SERIES.test(name)) return { ...PLAIN, limitField, efforts: LOW_TO_HIGH, sampling: 'never' };
  const found = GPT_5.exec(name);
  const version = found === null ? 0 : Number(found[1]) * 100 + Number(found[2] ?? 0);
  if (version < 500) return { ...PLAIN, limitField };
  return {
    ...PLAIN,
    limitField,
    efforts: effortsOf(version),
    sampling: version > 500 ? 'at-effort-none' : 'never',
    toolsWantNoEffort: version >= 504,
    breakpoints: version >= 506,
    verbosity: true,
  };
}

/** @param version 502 is gpt-5.2 */
function effortsOf(version: number): ChatTraits['efforts'] {
  if (version === 500) return ['minimal', ...LOW_TO_HIGH];
  return version === 501 ? ['none', ...LOW_TO_HIGH] : ['none', ...LOW_TO_HIGH, 'xhigh'];
}

/** What Claude's models take, as far as a request has to know it (platform.claude.com, migration guides and models). */

export interface ClaudeTraits {
  /** `max_tokens` is required: this is what stands there where a caller set none. */
  readonly maxOutputTokens: number;
  /** How it is told to think: `budget` of tokens, `adaptive` with an effort, or not at all. */
  readonly thinking: 'budget' | 'adaptive' | 'none';
  /** How it is told not to: by leaving it out, by `disabled`, by `between_tools` at the least, or it cannot be. */
  readonly off: 'left-out' | 'disabled' | 'between_tools' | 'never';
  /** Takes a forced `tool_choice` while it thinks. */
  readonly forcedWhileThinking: boolean;
  /** temperature, top_p and top_k: all, one of the first two, or none (a 400). */
  readonly sampling: 'all' | 'one' | 'none';
  /** Takes `role: system` among the messages, behind a turn of the user's. */
  readonly systemInPlace: boolean;
  /** Takes the effort `xhigh`. */
  readonly xhigh: boolean;
  /** Keeps its thoughts to itself unless asked for a summary. */
  readonly omitsThoughts: boolean;
  /** Takes `output_config.format`. */
  readonly format: boolean;
}

const ADAPTIVE_5: ClaudeTraits = {
  maxOutputTokens: 128_000,
  thinking: 'adaptive',
  off: 'never',
  forcedWhileThinking: true,
  sampling: 'none',
  systemInPlace: true,
  xhigh: true,
  omitsThoughts: true,
  format: true,
};
const ADAPTIVE_4_7: ClaudeTraits = { ...ADAPTIVE_5, off: 'left-out' };
const ADAPTIVE_4_6: ClaudeTraits = {
  ...ADAPTIVE_4_7,
  forcedWhileThinking: false,
  sampling: 'one',
  systemInPlace: false,
  xhigh: false,
  omitsThoughts: false,
};
const BUDGET_4_5: ClaudeTraits = { ...ADAPTIVE_4_6, maxOutputTokens: 64_000, thinking: 'budget' };
const BUDGET_4: ClaudeTraits = { ...BUDGET_4_5, sampling: 'all', format: false };
const PLAIN_3: ClaudeTraits = { ...BUDGET_4, maxOutputTokens: 4_096, thinking: 'none' };

/** By family and version; who is not here counts as the newest: what an old model only ignores, a new one refuses. */
const TRAITS: ReadonlyMap<string, ClaudeTraits> = new Map([
  ['opus-5-5', ADAPTIVE_5],
  ['sonnet-5-5', { ...ADAPTIVE_5, off: 'between_tools' }],
  ['haiku-5-5', { ...ADAPTIVE_5, off: 'disabled' }],
  ['opus-5', { ...ADAPTIVE_5, off: 'disabled' }],
  ['sonnet-5', { ...ADAPTIVE_5, off: 'disabled', systemInPlace: false }],
  ['opus-4-8', ADAPTIVE_4_7],
  ['opus-4-7', { ...ADAPTIVE_4_7, systemInPlace: false }],
  ['opus-4-6', ADAPTIVE_4_6],
  ['sonnet-4-6', ADAPTIVE_4_6],
  ['opus-4-5', BUDGET_4_5],
  ['sonnet-4-5', BUDGET_4_5],
  ['haiku-4-5', BUDGET_4_5],
  ['opus-4-1', { ...BUDGET_4, maxOutputTokens: 32_000, sampling: 'one' }],
  ['opus-4', { ...BUDGET_4, maxOutputTokens: 32_000 }],
  ['sonnet-4', BUDGET_4],
  ['sonnet-3-7', BUDGET_4],
  ['sonnet-3-5', { ...PLAIN_3, maxOutputTokens: 8_192 }],
  ['haiku-3-5', { ...PLAIN_3, maxOutputTokens: 8_192 }],
  ['opus-3', PLAIN_3],
  ['sonnet-3', PLAIN_3],
  ['haiku-3', PLAIN_3],
]);

/** `claude-opus-4-7`, `claude-opus-4.7-20260101`, `us.anthropic.claude-sonnet-4-5-v1:0`; a version has one or two digits. */
const FAMILY_FIRST = /claude-([a-z]+)-(\d{1,2})(?:[-.](\d{1,2}))?(?![\d.])/;
/** `claude-3-5-haiku-20241022`, `claude-3-opus`. */
const VERSION_FIRST = /claude-(\d{1,2})(?:[-.](\d{1,2}))?-([a-z]+)/;

/** @param model the name that its provider knows */
export function claudeTraits(model: string): ClaudeTraits {
  const name = model.toLowerCase();
  const first = FAMILY_FIRST.exec(name);
  const last = VERSION_FIRST.exec(name);
  const [family, major, minor] =
    first !== null ? [first[1], first[2], first[3]] : [last?.[3], last?.[1], last?.[2]];
  const key = `${family}-${major}`;
  const exact = minor === undefined ? key : `${key}-${minor}`;
  return TRAITS.get(exact) ?? (minor === '0' ? TRAITS.get(key) : undefined) ?? ADAPTIVE_5;
}

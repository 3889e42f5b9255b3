/**
 * Writes `book.jsonl`: `npm run build:prices -- LITELLM_JSON GENAI_PRICES_FOLDER`.
 *
 * The first is `litellm/model_prices_and_context_window_backup.json` of the Python package litellm, the second the unpacked npm
 * package @pydantic/genai-prices. Both are MIT (NOTICES.md); the gateway depends on neither. Rates are copied digit by digit
 * from the text of the first. A row is `verified` where the second has the same rates.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { decimalOf, rateText } from './money.ts';

/** Of the sources' releases: what the prices were then. */
const VERSION = '2026-10-21';
const SOURCES = ['litellm 1.106.2 (2026-10-21)', '@pydantic/genai-prices 0.1.8 (2026-09-23)'];

interface From {
  /** Our name, and the name of the other list. */
  readonly provider: string;
  readonly other: string;
  /** What the first list puts before a model's name. */
  readonly prefix: string;
  /** Names with a slash are models of it, not variants (regions, sizes of pictures). */
  readonly slashes: boolean;
}

const FROM: Readonly<Record<string, From>> = {
  openai: { provider: 'openai', other: 'openai', prefix: 'openai/', slashes: false },
  'text-completion-openai': { provider: 'openai', other: 'openai', prefix: '', slashes: false },
  anthropic: { provider: 'anthropic', other: 'anthropic', prefix: 'anthropic/', slashes: false },
  gemini: { provider: 'gemini', other: 'google', prefix: 'gemini/', slashes: false },
  groq: { provider: 'groq', other: 'groq', prefix: 'groq/', slashes: true },
  deepseek: { provider: 'deepseek', other: 'deepseek', prefix: 'deepseek/', slashes: false },
  mistral: { provider: 'mistral', other: 'mistral', prefix: 'mistral/', slashes: false },
  'text-completion-codestral': {
    provider: 'mistral',
    other: 'mistral',
    prefix: 'text-completion-codestral/',
    slashes: false,
  },
  xai: { provider: 'xai', other: 'x-ai', prefix: 'xai/', slashes: false },
  cerebras: { provider: 'cerebras', other: 'cerebras', prefix: 'cerebras/', slashes: false },
  together_ai: { provider: 'together', other: 'together', prefix: 'together_ai/', slashes: true },
  fireworks_ai: {
    provider: 'fireworks',
    other: 'fireworks',
    prefix: 'fireworks_ai/',
    slashes: true,
  },
  'fireworks_ai-embedding-models': {
    provider: 'fireworks',
    other: 'fireworks',
    prefix: 'fireworks_ai/',
    slashes: true,
  },
  azure: { provider: 'azure', other: 'azure', prefix: 'azure/', slashes: false },
  ollama: { provider: 'ollama', other: '', prefix: 'ollama/', slashes: true },
};

/** What is served on one's own machines, by the name `vllm` or `ollama`, as the vendors name it on huggingface.co. */
const OWN: Readonly<Record<string, readonly string[]>> = {
  vllm: [
    'meta-llama/Llama-3.1-8B-Instruct',
    'meta-llama/Llama-3.1-70B-Instruct',
    'meta-llama/Llama-3.3-70B-Instruct',
    'meta-llama/Llama-3.2-3B-Instruct',
    'meta-llama/Llama-4-Scout-17B-16E-Instruct',
    'Qwen/Qwen2.5-7B-Instruct',
    'Qwen/Qwen2.5-72B-Instruct',
    'Qwen/Qwen3-8B',
    'Qwen/Qwen3-32B',
    'Qwen/Qwen3-30B-A3B-Instruct-2507',
    'Qwen/Qwen3-235B-A22B-Instruct-2507',
    'Qwen/Qwen3-Coder-30B-A3B-Instruct',
    'mistralai/Mistral-7B-Instruct-v0.3',
    'mistralai/Mistral-Small-3.2-24B-Instruct-2506',
    'openai/gpt-oss-20b',
    'openai/gpt-oss-120b',
    'google/gemma-3-12b-it',
    'google/gemma-3-27b-it',
    'microsoft/phi-4',
    'deepseek-ai/DeepSeek-R1-Distill-Qwen-32B',
    'deepseek-ai/DeepSeek-V3',
    'BAAI/bge-m3',
    'Qwen/Qwen3-Embedding-8B',
  ],
  ollama: [
    'llama3.1:8b',
    'llama3.1:70b',
    'llama3.2',
    'llama3.2:1b',
    'llama3.2:3b',
    'llama3.3',
    'llama3.3:70b',
    'qwen2.5',
    'qwen2.5:7b',
    'qwen3',
    'qwen3:4b',
    'qwen3:8b',
    'qwen3:30b',
    'qwen3-coder:30b',
    'gemma3',
    'gemma3:4b',
    'gemma3:12b',
    'gemma3:27b',
    'phi4',
    'mistral:7b',
    'mistral-nemo',
    'deepseek-r1',
    'deepseek-r1:8b',
    'gpt-oss:20b',
    'gpt-oss:120b',
    'nomic-embed-text',
    'mxbai-embed-large',
    'bge-m3',
  ],
};

const OWN_MACHINE = { verified: true, as_of: VERSION, source: 'own machines' };

const MODES: ReadonlySet<unknown> = new Set([
  'chat',
  'responses',
  'completion',
  'embedding',
  'image_generation',
  'audio_transcription',
  'audio_speech',
  'realtime',
  'rerank',
]);

/** A model that is charged in one of these is not charged by tokens alone, and no fact counts them. */
const OTHER_UNITS =
  /^(?:(?:in|out)put_cost_per_(?:pixel|second|character|query|video_per_second|audio_per_second|text_message)|ocr_cost_per_page|output_cost_per_second_.*)/;

/** Fees that the list does not have, from the vendors' pages: openai.com/api/pricing (file search), docs.anthropic.com. */
const FEES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  // platform.claude.com/docs/en/about-claude/pricing: 10 USD for a thousand searches, whatever the model.
  anthropic: { web_search: '0.01' },
  openai: { file_search: '0.0025' },
  azure: { file_search: '0.0025' },
};

/** The other one's names for ours, of those that are compared. */
const COMPARED: readonly (readonly [ours: string, other: string])[] = [
  ['input', 'input_mtok'],
  ['output', 'output_mtok'],
  ['cache_read', 'cache_read_mtok'],
  ['cache_write', 'cache_write_mtok'],
  ['cache_write_1h', 'cache_write_1h_mtok'],
];

/** Chinese public holidays, which have no peak (State Council, 4 November 2025: weekends are off-peak anyway). */
const OFF_DAYS = {
  cn: {
    2026: [
      ...days('2026-01-01', 3),
      ...days('2026-02-15', 9),
      ...days('2026-04-04', 3),
      ...days('2026-05-01', 5),
      ...days('2026-06-19', 3),
      ...days('2026-09-25', 3),
      ...days('2026-10-01', 7),
    ],
  },
};

/** Priced apart, and what the list calls it. The text behind it is `_above_272k_tokens`, `_flex` and the like. */
const RATES: readonly (readonly [ours: string, theirs: string])[] = [
  ['input', 'input_cost_per_token'],
  ['output', 'output_cost_per_token'],
  ['cache_read', 'cache_read_input_token_cost'],
  ['cache_write', 'cache_creation_input_token_cost'],
  ['cache_write_1h', 'cache_creation_input_token_cost_above_1hr'],
  ['reasoning', 'output_cost_per_reasoning_token'],
  ['audio_input', 'input_cost_per_audio_token'],
  ['audio_output', 'output_cost_per_audio_token'],
  ['audio_cache_read', 'cache_read_input_audio_token_cost'],
  ['image_input', 'input_cost_per_image_token'],
  ['image_output', 'output_cost_per_image_token'],
];

const SERVICE_TIERS: readonly (readonly [ours: string, theirs: string])[] = [
  ['batch', '_batches'],
  ['flex', '_flex'],
  ['priority', '_priority'],
  ['ultrafast', '_ultrafast'],
];
const SIZES = [100, 128, 200, 272] as const;

type Listed = Readonly<Record<string, unknown>>;
type Said = Record<string, unknown>;

/** A number as its text has it. */
interface Digits {
  readonly digits: string;
}

function days(first: string, count: number): readonly string[] {
  const start = Date.parse(`${first}T00:00:00Z`);
  return Array.from({ length: count }, (_, at) =>
    new Date(start + at * 86_400_000).toISOString().slice(0, 10),
  );
}

/** JSON whose numbers stay texts: a double in between could change a price. */
function readList(path: string): Readonly<Record<string, Listed>> {
  type Reviver = (key: string, value: unknown, context?: { readonly source?: string }) => unknown;
  const keep: Reviver = (_, value, context) =>
    typeof value === 'number' ? { digits: context?.source ?? String(value) } : value;
  return JSON.parse(readFileSync(path, 'utf8'), keep);
}

function digitsOf(value: unknown): string | null {
  return typeof value === 'object' && value !== null && 'digits' in value
    ? (value as Digits).digits
    : null;
}

/** USD a token as USD a million tokens; null where there is none, or it has more digits than our unit. */
function rateOf(listed: Listed, key: string): string | null {
  const digits = digitsOf(listed[key]);
  if (digits === null) return null;
  const pico = decimalOf(digits, 12);
  if (pico === null) throw new Error(`${key} = ${digits} is no whole number of pico-dollars`);
  return rateText(pico);
}

function ratesOf(listed: Listed, behind: string): Said {
  const rates: Said = {};
  for (const [ours, theirs] of RATES) {
    const rate = rateOf(listed, `${theirs}${behind}`);
    if (rate !== null) rates[ours] = rate;
  }
  return rates;
}

/**
 * Rates by size. A size that does not have all that the set has is left out: the model has no price there.
 * xAI's sizes are reached, not exceeded (docs.x.ai, models and pricing).
 */
function tiersOf(listed: Listed, behind: string, set: Said, provider: string): readonly Said[] {
  return SIZES.flatMap((size) => {
    const rates = ratesOf(listed, `_above_${size}k_tokens${behind}`);
    const isWhole = ['input', 'output', 'cache_read'].every(
      (name) => set[name] === undefined || rates[name] !== undefined,
    );
    const over = size * 1_000 - (provider === 'xai' ? 1 : 0);
    return isWhole && rates['input'] !== undefined ? [{ over, ...rates }] : [];
  });
}

function serviceTiers(listed: Listed, provider: string, standard: Said): Said {
  const sets: Said = {};
  for (const [ours, theirs] of SERVICE_TIERS) {
    const rates = ratesOf(listed, theirs);
    if (rates['input'] === undefined) continue;
    // OpenAI publishes no price for priority above its long-context size; the list's figures there are its own.
    const isUnpublished = provider !== 'gemini' && ours === 'priority';
    const tiers = isUnpublished ? [] : tiersOf(listed, theirs, rates, provider);
    sets[ours] = { ...rates, ...(tiers.length === 0 ? {} : { tiers }) };
  }
  // console.groq.com/docs/flex-processing: the same prices.
  if (provider === 'groq') sets['flex'] = { ...standard };
  const fast = digitsOf((listed['provider_specific_entry'] as Listed | undefined)?.['fast']);
  if (fast !== null) sets['fast'] = multiplied(standard, Number(fast));
  return sets;
}

function multiplied(rates: Said, factor: number): Said {
  const times = (text: unknown): string => {
    const pico = decimalOf(String(text), 6);
    if (pico === null || !Number.isInteger(pico * factor)) throw new Error(`${text} x ${factor}`);
    return rateText(pico * factor);
  };
  return Object.fromEntries(Object.entries(rates).map(([name, text]) => [name, times(text)]));
}

function feesOf(listed: Listed, provider: string): Said {
  const search = listed['search_context_cost_per_query'] as Listed | undefined;
  const costs = new Set(Object.values(search ?? {}).map(digitsOf));
  const [cost] = costs;
  // What depends on how much was searched is not told by answers.
  const isOne = costs.size === 1 && cost !== null && cost !== undefined;
  return { ...(isOne ? { web_search: cost } : {}), ...FEES[provider] };
}

function offPeakOf(listed: Listed): Said {
  const said = listed['off_peak_pricing'] as Listed | undefined;
  if (said === undefined) return {};
  // api-docs.deepseek.com/quick_start/pricing: the peak is 9 to 12 and 14 to 18 in Beijing, on working days.
  return {
    off_peak: {
      peak: ['01:00-04:00', '06:00-10:00'],
      days: [1, 2, 3, 4, 5],
      off_days: 'cn',
      ...ratesOf(said, ''),
    },
  };
}

function capabilitiesOf(listed: Listed): Said {
  const words: readonly (readonly [string, string])[] = [
    ['images', 'supports_vision'],
    ['tools', 'supports_function_calling'],
    ['json_schema', 'supports_response_schema'],
    ['audio', 'supports_audio_input'],
  ];
  const context = Number(digitsOf(listed['max_input_tokens']) ?? Number.NaN);
  const output = Number(digitsOf(listed['max_output_tokens']) ?? Number.NaN);
  return {
    ...(Number.isInteger(context) ? { context_tokens: context } : {}),
    ...(Number.isInteger(output) ? { max_output_tokens: output } : {}),
    can: words.filter(([, key]) => listed[key] === true).map(([word]) => word),
  };
}

// ---- the second list -------------------------------------------------------------------------------------------------

interface Match {
  readonly and?: readonly Match[];
  readonly or?: readonly Match[];
  readonly equals?: string;
  readonly starts_with?: string;
  readonly ends_with?: string;
  readonly contains?: string;
  readonly regex?: string;
}

interface OtherModel {
  readonly match: Match;
  readonly prices: unknown;
}

interface OtherList {
  readonly findProvider: (asked: {
    readonly providerId: string;
  }) => { readonly models: readonly OtherModel[] } | undefined;
}

function matches(match: Match, name: string): boolean {
  if (match.and !== undefined) return match.and.every((one) => matches(one, name));
  if (match.or !== undefined) return match.or.some((one) => matches(one, name));
  if (match.equals !== undefined) return name === match.equals;
  if (match.starts_with !== undefined) return name.startsWith(match.starts_with);
  if (match.ends_with !== undefined) return name.endsWith(match.ends_with);
  if (match.contains !== undefined) return name.includes(match.contains);
  return match.regex !== undefined && new RegExp(match.regex).test(name);
}

type Check = 'same' | 'differs' | 'absent';

/** Base rates alone: the other list has no service tiers. */
function checkOf(list: OtherList, from: From, name: string, rates: Said): Check {
  const models = list.findProvider({ providerId: from.other })?.models ?? [];
  const short = from.provider === 'fireworks' ? (name.split('/').at(-1) ?? name) : name;
  const names = [name, name.toLowerCase(), short];
  const found = models.find(({ match }) => names.some((one) => matches(match, one)));
  if (found === undefined) return 'absent';
  const prices = (Array.isArray(found.prices) ? latest(found.prices) : found.prices) as Listed;
  for (const [ours, other] of COMPARED) {
    const theirs = baseOf(prices[other]);
    const text = theirs === null ? null : decimalOf(theirs, 6);
    const own = rates[ours] === undefined ? null : decimalOf(String(rates[ours]), 6);
    if (text !== null && own !== null && text !== own) return 'differs';
    if ((ours === 'input' || ours === 'output') && (text ?? 0) !== (own ?? 0)) return 'differs';
  }
  return 'same';
}

function latest(dated: readonly Listed[]): unknown {
  const byDate = dated.filter(({ constraint }) => {
    const start = (constraint as Listed | undefined)?.['start_date'];
    return constraint === undefined || (typeof start === 'string' && start <= VERSION);
  });
  return byDate.at(-1)?.['prices'] ?? {};
}

function baseOf(price: unknown): string | null {
  if (typeof price === 'number') return String(price);
  const base = (price as { readonly base?: unknown } | undefined)?.base;
  return typeof base === 'number' ? String(base) : null;
}

// ---- the book --------------------------------------------------------------------------------------------------------

function rowOf(key: string, listed: Listed, list: OtherList): Said | null {
  const from = FROM[String(listed['litellm_provider'])];
  if (from === undefined || !MODES.has(listed['mode'])) return null;
  const name = key.startsWith(from.prefix) ? key.slice(from.prefix.length) : key;
  const isVariant = name.includes('/') && !from.slashes;
  if (isVariant || name.startsWith('ft:') || /^fireworks-ai-/.test(name)) return null;
  const head = { provider: from.provider, model: name };
  const rates = ratesOf(listed, '');
  if (from.provider === 'ollama') {
    // What ollama.com runs itself is paid for.
    if (name.endsWith('-cloud')) return null;
    return { ...head, free: true, ...capabilitiesOf(listed), ...OWN_MACHINE };
  }
  const others = Object.keys(listed).filter(
    (unit) => OTHER_UNITS.test(unit) && Number(digitsOf(listed[unit])) > 0,
  );
  const isPicture = digitsOf(listed['output_cost_per_image']) !== null;
  if (others.length > 0 || (isPicture && rates['image_output'] === undefined)) return null;
  // Nothing is given away: what a list has no price for, it writes 0.
  if (rates['input'] === undefined || Number(rates['input']) === 0) return null;
  if (Number(rates['output'] ?? 0) === 0) delete rates['output'];
  // Free writes are told as input, or not at all (OpenAI before 5.6, DeepSeek).
  if (Number(rates['cache_write'] ?? 0) === 0) delete rates['cache_write'];
  const tiers = tiersOf(listed, '', rates, from.provider);
  const hour = rateOf(listed, 'cache_creation_input_token_cost_above_1hr_above_100k_tokens');
  const withHour = tiers.map((tier) =>
    tier['over'] === 100_000 && hour !== null ? { ...tier, cache_write_1h: hour } : tier,
  );
  const geo = digitsOf((listed['provider_specific_entry'] as Listed | undefined)?.['us']);
  const sets = serviceTiers(listed, from.provider, rates);
  const check = checkOf(list, from, name, rates);
  return {
    ...head,
    ...rates,
    ...(withHour.length === 0 ? {} : { tiers: withHour }),
    ...(Object.keys(sets).length === 0 ? {} : { service_tiers: sets }),
    ...offPeakOf(listed),
    ...(geo === null ? {} : { geo: { us: geo } }),
    ...feesOf(listed, from.provider),
    ...capabilitiesOf(listed),
    verified: check === 'same',
    check,
    as_of: VERSION,
    source: typeof listed['source'] === 'string' ? listed['source'].slice(0, 120) : SOURCES[0],
  };
}

async function main([listPath, otherFolder]: readonly string[]): Promise<void> {
  if (listPath === undefined || otherFolder === undefined)
    throw new Error('npm run build:prices -- LITELLM_JSON GENAI_PRICES_FOLDER');
  const list = readList(listPath);
  const other: OtherList = await import(pathToFileURL(join(otherFolder, 'dist', 'index.js')).href);
  const rows = new Map<string, Said>();
  for (const [key, listed] of Object.entries(list)) {
    const row = rowOf(key, listed, other);
    if (row === null) continue;
    const name = `${row['provider']}/${row['model']}`;
    const before = rows.get(name);
    // The same model under two keys: alike, or nobody knows.
    if (
      before !== undefined &&
      JSON.stringify(before) !== JSON.stringify({ ...row, source: before['source'] })
    ) {
      rows.set(name, { ...before, verified: false, check: 'differs' });
    } else if (before === undefined) {
      rows.set(name, row);
    }
  }
  for (const [provider, models] of Object.entries(OWN)) {
    for (const model of models) {
      const name = `${provider}/${model}`;
      if (!rows.has(name)) rows.set(name, { provider, model, free: true, ...OWN_MACHINE });
    }
  }
  const lines = [...rows]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, row]) => JSON.stringify(row));
  const head = JSON.stringify({ version: VERSION, sources: SOURCES, off_days: OFF_DAYS });
  const target = new URL('book.jsonl', import.meta.url);
  writeFileSync(target, `${[head, ...lines].join('\n')}\n`);
  const counts = Object.groupBy(rows.values(), (row) => String(row['check'] ?? 'own'));
  const shown = Object.entries(counts).map(([check, of]) => `${check} ${of?.length ?? 0}`);
  process.stdout.write(`${lines.length} rows: ${shown.join(', ')}\n`);
}

await main(process.argv.slice(2));

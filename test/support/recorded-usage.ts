import type { BodyFormat } from '../../src/wire/body-format.ts';
import type { UsageCounts } from '../../src/wire/usage-counters.ts';
import { blocksOf } from './event-stream-oracle.ts';
import { type RecordedResponse, recordedBody } from './fixtures.ts';

/** What the fixtures' index says of a response's usage (see its README), beside what `RecordedResponse` has. */
interface IndexedUsage {
  readonly endpoint: string;
  readonly dialect: string;
  readonly model: string | null;
  readonly model_version: string | null;
  readonly usage: Readonly<Record<string, number | null>>;
  /** What the provider bills, where its root counters say less. */
  readonly billed?: Readonly<Record<string, number | null>>;
  /** Counters of the same object that the index's mapping does not read. */
  readonly usage_reported_elsewhere: Readonly<Record<string, number>> | null;
  readonly raw_usage: unknown;
}

export type RecordedUsage = RecordedResponse & IndexedUsage;

export const FORMATS: Readonly<Record<RecordedResponse['format'], BodyFormat>> = {
  sse: 'events',
  ndjson: 'lines',
  json: 'json',
};

/**
 * The counts that the index tells for a response, and beyond its mapping: counters that it names without reading, and
 * reasoning that is billed beside the completion (only where the total says so).
 */
export function expectedCounts(entry: RecordedUsage): UsageCounts {
  if (/^\/api\/(?:chat|generate|embed)$/.test(entry.endpoint)) return ollamaCounts(entry);
  const usage = entry.billed ?? entry.usage;
  const elsewhere = (name: RegExp): number | null =>
    Object.entries(entry.usage_reported_elsewhere ?? {}).find(([key]) => name.test(key))?.[1] ??
    null;
  const reasoning =
    usage['reasoning_tokens'] ?? elsewhere(/thinking_tokens$/) ?? elsewhere(/^reasoning_tokens$/);
  const input = usage['input_tokens'] ?? null;
  const output = usage['output_tokens'] ?? null;
  return {
    inputTokens: input,
    outputTokens: isBeside(entry, reasoning) ? (output ?? 0) + (reasoning ?? 0) : output,
    cacheReadTokens: usage['cache_read_tokens'] ?? elsewhere(/^cached_tokens$/),
    cacheWriteTokens: usage['cache_write_tokens'] ?? elsewhere(/cache_write_tokens$/),
    reasoningTokens: reasoning,
  };
}

/** Ollama's own API, which the index does not map: the counters at the root of the answer, or of its last line. */
function ollamaCounts(entry: RecordedUsage): UsageCounts {
  const last = recordedBody(entry).toString().trim().split('\n').at(-1) ?? '';
  const said = JSON.parse(last) as Readonly<Record<string, number>>;
  return {
    inputTokens: said['prompt_eval_count'] ?? null,
    outputTokens: said['eval_count'] ?? null,
    cacheReadTokens: null,
    cacheWriteTokens: null,
    reasoningTokens: null,
  };
}

function isBeside({ usage, billed, raw_usage }: RecordedUsage, reasoning: number | null): boolean {
  if (billed !== undefined || reasoning === null || reasoning === 0) return false;
  const raw = (Array.isArray(raw_usage) ? raw_usage.at(-1) : raw_usage) as Record<string, number>;
  const total = raw['total_tokens'] ?? raw['totalTokenCount'];
  const sum = (usage['input_tokens'] ?? 0) + (usage['output_tokens'] ?? 0) + reasoning;
  return total === sum + (raw['toolUsePromptTokenCount'] ?? 0);
}

/** A chat stream, event by event, without those that report usage and nothing else: slow, and easy to believe. */
export function withoutUsageEvents(body: Buffer): Buffer {
  const blocks = blocksOf(body);
  const whole = blocks.at(-1)?.end ?? 0;
  // What no blank line ends at a stream's end is an event nevertheless.
  const rest = blocksOf(Buffer.concat([body.subarray(whole), Buffer.from('\n\n')]));
  const events = [...blocks, ...rest.map(({ data }) => ({ data, end: body.length }))];
  return Buffer.concat(
    events
      .map(({ data, end }, at) => ({ data, bytes: body.subarray(events[at - 1]?.end ?? 0, end) }))
      .filter(({ data }) => !isUsageOnly(data))
      .map(({ bytes }) => bytes),
  );
}

function isUsageOnly(data: string | null): boolean {
  try {
    const { choices, usage } = JSON.parse(data ?? '');
    return Array.isArray(choices) && choices.length === 0 && usage != null;
  } catch {
    return false;
  }
}

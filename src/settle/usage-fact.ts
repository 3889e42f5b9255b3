import { hostname } from 'node:os';
import type { KeyClass } from '../keys/key-class.ts';
import type { Cost } from '../prices/cost.ts';
import type { Dialect } from '../rejection.ts';
import type { BillingLine, ToolUses } from '../wire/billed-usage.ts';
import type { UsageCounts } from '../wire/usage-counters.ts';
import { USAGE_RAW_MAX_BYTES } from '../wire/usage-reader.ts';
import { asciiJson } from './ascii-json.ts';
import type { Outcome, UsageSource } from './metrics.ts';
import { timestamp } from './timestamp.ts';

/** What one managed request used and who pays for it: everything that finance needs (contracts: `ai.usage`). */
export interface UsageFact {
  readonly requestId: string;
  readonly traceId: string | null;
  readonly dialect: Dialect;
  /** Decimal texts: ids exceed 2^53. */
  readonly tenantId: string;
  readonly vpcId: string;
  /** Null for a `bai_v1` key. */
  readonly keyId: string | null;
  readonly keyClass: KeyClass;
  /** The most specific policy that holds for the key; null where none does. */
  readonly policy: string | null;
  readonly provider: string;
  /** The forwarded path, without query. */
  readonly endpoint: string;
  /** What the provider says it served. */
  readonly model: string | null;
  readonly requestedModel: string | null;
  readonly stream: boolean;
  readonly counts: UsageCounts;
  /** Where an answer was more than one model's single pass: `counts` is their sum. */
  readonly lines: readonly BillingLine[] | null;
  /** The tier that served it, in the provider's own word. */
  readonly serviceTier: string | null;
  /** What is billed by the use, beside tokens. */
  readonly toolUses: ToolUses;
  readonly cost: Cost;
  readonly source: UsageSource;
  /** The provider's own usage object, as sent: a JSON text. */
  readonly raw: string | null;
  /** Null when the provider never answered. */
  readonly upstreamStatus: number | null;
  readonly outcome: Outcome;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly ttfbMs: number | null;
  readonly durationMs: number;
  readonly lane: 'relay' | 'routed';
  /** The route that was asked for; null when it was none. */
  readonly route: string | null;
  /** Which one of the request's attempts this is, from 1 on. */
  readonly attempt: number;
  /** No other attempt followed. */
  readonly final: boolean;
  /** `provider/model` that the routed lane asked for; null in the relay lane. */
  readonly targetModel: string | null;
  /** It went on with an answer that another attempt had begun. */
  readonly resumed: boolean;
}

const NODE = asciiJson(JSON.stringify(`${hostname()}:${process.pid}`));

/**
 * One line of JSON in ASCII, without its newline.
 *
 * Written out rather than made by JSON.stringify: most of it is digits and words that need no escape, and the provider's
 * own object is a JSON text already (3.4 to 1.4 us a fact here).
 */
export function usageFactLine(fact: UsageFact): string {
  const { counts, cost } = fact;
  return (
    `{"event":"ai.usage","v":1,"time":"${timestamp(Date.now())}","request_id":"${fact.requestId}"` +
    `,"dialect":"${fact.dialect}","tenant_id":"${fact.tenantId}","vpc_id":"${fact.vpcId}","key_id":${word(fact.keyId)}` +
    `,"provider":"${fact.provider}","endpoint":${text(fact.endpoint)},"model":${text(fact.model)}` +
    `,"requested_model":${text(fact.requestedModel)},"stream":${fact.stream}` +
    `,${tokens(counts)},"usage_source":"${fact.source}","usage_raw":${json(fact.raw)}` +
    `,"upstream_status":${fact.upstreamStatus},"outcome":"${fact.outcome}","bytes_in":${fact.bytesIn}` +
    `,"bytes_out":${fact.bytesOut},"ttfb_ms":${fact.ttfbMs === null ? null : Math.round(fact.ttfbMs)}` +
    `,"duration_ms":${Math.round(fact.durationMs)},"node":${NODE},"trace_id":${word(fact.traceId)}` +
    `,"service_tier":${text(fact.serviceTier)},"tool_uses":${toolUses(fact.toolUses)},"lines":${lines(fact.lines, cost.lines)}` +
    `,"lane":"${fact.lane}","route":${text(fact.route)},"attempt":${fact.attempt},"final":${fact.final}` +
    `,"target_model":${text(fact.targetModel)},"key_class":"${fact.keyClass}"` +
    `,"cost_usd":${word(cost.usd)},"cost_status":"${cost.status}"` +
    `,"unpriced_reason":${word(cost.reason)},"price_version":${text(cost.version)},"policy":${word(fact.policy)},"resumed":${fact.resumed}}`
  );
}

function tokens(counts: UsageCounts): string {
  return (
    `"input_tokens":${counts.inputTokens},"output_tokens":${counts.outputTokens}` +
    `,"cache_read_tokens":${counts.cacheReadTokens},"cache_write_tokens":${counts.cacheWriteTokens}` +
    `,"reasoning_tokens":${counts.reasoningTokens}`
  );
}

function lines(
  billed: readonly BillingLine[] | null,
  costs: readonly (string | null)[] | null,
): string {
  if (billed === null) return 'null';
  return `[${billed
    .map(
      ({ model, kind, counts }, at) =>
        `{"model":${text(model)},"kind":${text(kind)},${tokens(counts)},"cost_usd":${word(costs?.[at] ?? null)}}`,
    )
    .join(',')}]`;
}

/** Their names are checked: letters, digits, underscores. */
function toolUses(uses: ToolUses): string {
  let written = '';
  for (const name in uses) written += `${written === '' ? '' : ','}"${name}":${uses[name]}`;
  return `{${written}}`;
}

/** What the gateway made or checked itself: digits, hexadecimal. */
function word(value: string | null): string {
  return value === null ? 'null' : `"${value}"`;
}

const PLAIN = /^[ !#-[\]-~]*$/;

function text(value: string | null): string {
  if (value === null) return 'null';
  return PLAIN.test(value) ? `"${value}"` : asciiJson(storable(JSON.stringify(value)));
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: line ends and tabs are what is looked for
const NOT_AS_IT_IS = /[\x00-\x1f]|\\u/;

/** @param raw a JSON text, as sent: several lines are made one, and escapes brought into one spelling */
function json(raw: string | null): string {
  const text = raw === null ? 'null' : plain(raw);
  // What is not ASCII grows by its escapes.
  return text.length <= USAGE_RAW_MAX_BYTES ? text : 'null';
}

function plain(raw: string): string {
  if (!NOT_AS_IT_IS.test(raw)) return asciiJson(raw);
  try {
    return asciiJson(storable(JSON.stringify(JSON.parse(raw))));
  } catch {
    return 'null';
  }
}

const ESCAPE = /\\\\|\\u0000|\\ud[89a-f][0-9a-f]{2}/g;

/**
 * Databases refuse U+0000 and lone surrogates (Postgres: whole loads fail on one line), and callers choose model names.
 * JSON.stringify writes both as escapes, and no other surrogate so.
 */
function storable(json: string): string {
  return json.replace(ESCAPE, (found) => (found === '\\\\' ? found : '\\ufffd'));
}

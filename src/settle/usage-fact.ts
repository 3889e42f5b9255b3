import { hostname } from 'node:os';
import type { KeyClass } from '../keys/key-class.ts';
import type { Cost } from '../prices/cost.ts';
import type { Dialect } from '../rejection.ts';
import { type BillingLine, NO_TOOL_USES, type ToolUses } from '../wire/billed-usage.ts';
import type { UsageCounts } from '../wire/usage-counters.ts';
import { USAGE_RAW_MAX_BYTES } from '../wire/usage-reader.ts';
import { asciiJson } from './ascii-json.ts';
import { constant, type LineRoom, LineWriter } from './line-writer.ts';
import type { Outcome, UsageSource } from './metrics.ts';
import { thousandths, wholeSecond } from './timestamp.ts';

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

/** What most lines do not exceed; a longer one is written twice. */
const LIKELY_BYTES = 2_048;

const TIME = constant('{"event":"ai.usage","v":1,"time":"');
const REQUEST_ID = constant('","request_id":');
const DIALECT = constant(',"dialect":');
const TENANT_ID = constant(',"tenant_id":');
const VPC_ID = constant(',"vpc_id":');
const KEY_ID = constant(',"key_id":');
const PROVIDER = constant(',"provider":');
const ENDPOINT = constant(',"endpoint":');
const MODEL = constant(',"model":');
const REQUESTED_MODEL = constant(',"requested_model":');
const STREAM = constant(',"stream":');
const INPUT_TOKENS = constant(',"input_tokens":');
const OUTPUT_TOKENS = constant(',"output_tokens":');
const CACHE_READ_TOKENS = constant(',"cache_read_tokens":');
const CACHE_WRITE_TOKENS = constant(',"cache_write_tokens":');
const REASONING_TOKENS = constant(',"reasoning_tokens":');
const USAGE_SOURCE = constant(',"usage_source":');
const USAGE_RAW = constant(',"usage_raw":');
const UPSTREAM_STATUS = constant(',"upstream_status":');
const OUTCOME = constant(',"outcome":');
const BYTES_IN = constant(',"bytes_in":');
const BYTES_OUT = constant(',"bytes_out":');
const TTFB_MS = constant(',"ttfb_ms":');
const DURATION_MS = constant(',"duration_ms":');
const NODE_AND_TRACE_ID = constant(`,"node":${NODE},"trace_id":`);
const SERVICE_TIER = constant(',"service_tier":');
const TOOL_USES = constant(',"tool_uses":');
const LINES = constant(',"lines":');
const LANE = constant(',"lane":');
const ROUTE = constant(',"route":');
const ATTEMPT = constant(',"attempt":');
const FINAL = constant(',"final":');
const TARGET_MODEL = constant(',"target_model":');
const KEY_CLASS = constant(',"key_class":');
const COST_USD = constant(',"cost_usd":');
const COST_STATUS = constant(',"cost_status":');
const UNPRICED_REASON = constant(',"unpriced_reason":');
const PRICE_VERSION = constant(',"price_version":');
const POLICY = constant(',"policy":');
const RESUMED = constant(',"resumed":');
const END = constant('}');
const TRUE = constant('true');
const FALSE = constant('false');
const NOTHING = constant('null');
const NO_USES = constant('{}');

/** Writes usage facts where they are gathered: each one line of JSON in ASCII. */
export class UsageFactLines {
  readonly #line: LineWriter;

  constructor(room: LineRoom) {
    this.#line = new LineWriter(room);
  }

  add(fact: UsageFact): void {
    for (let bytes = LIKELY_BYTES; bytes > 0; ) {
      this.#line.begin(bytes);
      this.#write(fact);
      bytes = this.#line.end();
    }
  }

  #write(fact: UsageFact): void {
    const line = this.#line;
    const { counts, cost } = fact;
    const nowMs = Date.now();
    line.put(TIME);
    line.ascii(wholeSecond(nowMs));
    line.ascii(thousandths(nowMs));
    line.put(REQUEST_ID);
    line.word(fact.requestId);
    line.put(DIALECT);
    line.word(fact.dialect);
    line.put(TENANT_ID);
    line.word(fact.tenantId);
    line.put(VPC_ID);
    line.word(fact.vpcId);
    line.put(KEY_ID);
    line.word(fact.keyId);
    line.put(PROVIDER);
    line.word(fact.provider);
    this.#text(ENDPOINT, fact.endpoint);
    this.#text(MODEL, fact.model);
    this.#text(REQUESTED_MODEL, fact.requestedModel);
    line.put(STREAM);
    line.put(fact.stream ? TRUE : FALSE);
    line.put(INPUT_TOKENS);
    line.number(counts.inputTokens);
    line.put(OUTPUT_TOKENS);
    line.number(counts.outputTokens);
    line.put(CACHE_READ_TOKENS);
    line.number(counts.cacheReadTokens);
    line.put(CACHE_WRITE_TOKENS);
    line.number(counts.cacheWriteTokens);
    line.put(REASONING_TOKENS);
    line.number(counts.reasoningTokens);
    line.put(USAGE_SOURCE);
    line.word(fact.source);
    line.put(USAGE_RAW);
    this.#json(fact.raw);
    line.put(UPSTREAM_STATUS);
    line.number(fact.upstreamStatus);
    line.put(OUTCOME);
    line.word(fact.outcome);
    line.put(BYTES_IN);
    line.number(fact.bytesIn);
    line.put(BYTES_OUT);
    line.number(fact.bytesOut);
    line.put(TTFB_MS);
    line.number(fact.ttfbMs === null ? null : Math.round(fact.ttfbMs));
    line.put(DURATION_MS);
    line.number(Math.round(fact.durationMs));
    line.put(NODE_AND_TRACE_ID);
    line.word(fact.traceId);
    this.#text(SERVICE_TIER, fact.serviceTier);
    line.put(TOOL_USES);
    if (fact.toolUses === NO_TOOL_USES) line.put(NO_USES);
    else line.ascii(toolUses(fact.toolUses));
    line.put(LINES);
    if (fact.lines === null) line.put(NOTHING);
    else line.ascii(lines(fact.lines, cost.lines));
    line.put(LANE);
    line.word(fact.lane);
    this.#text(ROUTE, fact.route);
    line.put(ATTEMPT);
    line.number(fact.attempt);
    line.put(FINAL);
    line.put(fact.final ? TRUE : FALSE);
    this.#text(TARGET_MODEL, fact.targetModel);
    line.put(KEY_CLASS);
    line.word(fact.keyClass);
    line.put(COST_USD);
    line.word(cost.usd);
    line.put(COST_STATUS);
    line.word(cost.status);
    line.put(UNPRICED_REASON);
    line.word(cost.reason);
    this.#text(PRICE_VERSION, cost.version);
    line.put(POLICY);
    line.word(fact.policy);
    line.put(RESUMED);
    line.put(fact.resumed ? TRUE : FALSE);
    line.put(END);
  }

  #text(name: Uint8Array, value: string | null): void {
    const line = this.#line;
    line.put(name);
    if (value === null) line.put(NOTHING);
    else if (!line.plainText(value)) line.ascii(text(value));
  }

  #json(raw: string | null): void {
    const line = this.#line;
    if (raw === null) line.put(NOTHING);
    else if (raw.length > USAGE_RAW_MAX_BYTES || !line.plain(raw, false)) line.ascii(json(raw));
  }
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

function text(value: string | null): string {
  return value === null ? 'null' : asciiJson(storable(JSON.stringify(value)));
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: line ends and tabs are what is looked for
const NOT_AS_IT_IS = /[\x00-\x1f]|\\u/;

/** @param raw a JSON text, as sent: several lines are made one, and escapes brought into one spelling */
function json(raw: string): string {
  const text = plain(raw);
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

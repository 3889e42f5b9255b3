import { hostname } from 'node:os';
import type { KeyClass } from '../keys/key-class.ts';
import type { Cost } from '../prices/cost.ts';
import { type BillingLine, NO_TOOL_USES, type ToolUses } from '../wire/billed-usage.ts';
import type { UsageCounts } from '../wire/usage-counters.ts';
import { USAGE_RAW_MAX_BYTES } from '../wire/usage-reader.ts';
import { asciiJson } from './ascii-json.ts';
import { constant, type LineRoom, LineWriter } from './line-writer.ts';
import { thousandths, wholeSecond } from './timestamp.ts';
import type { CacheHit, UsageFact } from './usage-fact.ts';

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
const GUARDS = constant(',"guards":');
const CACHE = constant(',"cache":');
const END = constant('}');
const TRUE = constant('true');
const FALSE = constant('false');
const NOTHING = constant('null');

const NO_CACHE_NO_REASONING = constant(
  ',"cache_read_tokens":null,"cache_write_tokens":null,"reasoning_tokens":null',
);
const REPORTED = constant(',"usage_source":"reported","usage_raw":');
const COMPLETE = constant(',"upstream_status":200,"outcome":"complete"');

/** Keys, and models, of which a worker keeps parts of their lines, and the most that a part has, in bytes: under 1 MiB. */
const KEPT_MAX = 256;
const PART_MAX_BYTES = 1_024;

/** What the lines of one key have in common, as they were last. */
interface Payer extends Pick<UsageFact, 'dialect' | 'tenantId' | 'vpcId' | 'keyId' | 'provider'> {
  readonly part: Uint8Array;
}

/** What the lines of one model have in common, as they were last. */
interface Asked {
  model: string | null;
  endpoint: string;
  stream: boolean;
  /** From the endpoint to the counts; null before it was written. */
  asked: Uint8Array | null;
  serviceTier: string | null;
  lane: UsageFact['lane'];
  route: string | null;
  attempt: number;
  final: boolean;
  targetModel: string | null;
  keyClass: KeyClass;
  /** From the tier to the cost; null before it was written. */
  served: Uint8Array | null;
  status: Cost['status'];
  reason: Cost['reason'];
  version: string | null;
  policy: string | null;
  resumed: boolean;
  /** Behind the cost; null before it was written. */
  priced: Uint8Array | null;
}

/**
 * Writes usage facts where they are gathered: each one line of JSON in ASCII. What one line has in common with the one before
 * of its key, and of its model, is copied from there: half of a line's bytes.
 */
export class UsageFactLines {
  readonly #line: LineWriter;
  readonly #payers = new Map<string, Payer>();
  readonly #models = new Map<string, Asked>();

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
    const kept = this.#keptOf(fact);
    line.put(TIME);
    line.ascii(wholeSecond(nowMs));
    line.ascii(thousandths(nowMs));
    line.put(REQUEST_ID);
    line.word(fact.requestId);
    this.#payer(fact);
    this.#asked(fact, kept);
    line.put(INPUT_TOKENS);
    line.number(counts.inputTokens);
    line.put(OUTPUT_TOKENS);
    line.number(counts.outputTokens);
    if ((counts.cacheReadTokens ?? counts.cacheWriteTokens ?? counts.reasoningTokens) === null)
      line.put(NO_CACHE_NO_REASONING);
    else {
      line.put(CACHE_READ_TOKENS);
      line.number(counts.cacheReadTokens);
      line.put(CACHE_WRITE_TOKENS);
      line.number(counts.cacheWriteTokens);
      line.put(REASONING_TOKENS);
      line.number(counts.reasoningTokens);
    }
    if (fact.source === 'reported') line.put(REPORTED);
    else {
      line.put(USAGE_SOURCE);
      line.word(fact.source);
      line.put(USAGE_RAW);
    }
    this.#json(fact.raw);
    if (fact.upstreamStatus === 200 && fact.outcome === 'complete') line.put(COMPLETE);
    else {
      line.put(UPSTREAM_STATUS);
      line.number(fact.upstreamStatus);
      line.put(OUTCOME);
      line.word(fact.outcome);
    }
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
    this.#served(fact, kept);
    line.word(cost.usd);
    this.#priced(fact, kept);
    if (fact.cache !== null) {
      line.put(CACHE);
      line.ascii(cacheHit(fact.cache));
    }
    if (fact.guards !== undefined) {
      line.put(GUARDS);
      line.ascii(fact.guards);
    }
    line.put(END);
  }

  #payer(fact: UsageFact): void {
    const line = this.#line;
    const { dialect, tenantId, vpcId, keyId, provider } = fact;
    const name = keyId ?? tenantId;
    const kept = this.#payers.get(name);
    if (
      kept?.keyId === keyId &&
      kept.tenantId === tenantId &&
      kept.vpcId === vpcId &&
      kept.provider === provider &&
      kept.dialect === dialect
    ) {
      line.put(kept.part);
      return;
    }
    const from = line.at;
    line.put(DIALECT);
    line.word(dialect);
    line.put(TENANT_ID);
    line.word(tenantId);
    line.put(VPC_ID);
    line.word(vpcId);
    line.put(KEY_ID);
    line.word(keyId);
    line.put(PROVIDER);
    line.word(provider);
    const part = line.copied(from, PART_MAX_BYTES);
    if (part === null) return;
    if (this.#payers.size >= KEPT_MAX) this.#payers.clear();
    this.#payers.set(name, { dialect, tenantId, vpcId, keyId, provider, part });
  }

  #keptOf(fact: UsageFact): Asked {
    const name = fact.requestedModel ?? '';
    const known = this.#models.get(name);
    if (known !== undefined) return known;
    const { model, endpoint, stream, serviceTier, lane, route, attempt, final } = fact;
    const { targetModel, keyClass, policy, resumed, cost } = fact;
    const { status, reason, version } = cost;
    const made: Asked = {
      ...{ model, endpoint, stream, asked: null },
      ...{ serviceTier, lane, route, attempt, final, targetModel, keyClass, served: null },
      ...{ status, reason, version, policy, resumed, priced: null },
    };
    if (this.#models.size >= KEPT_MAX) this.#models.clear();
    this.#models.set(name, made);
    return made;
  }

  #asked(fact: UsageFact, kept: Asked): void {
    const line = this.#line;
    const { endpoint, model, stream } = fact;
    if (
      kept.asked !== null &&
      kept.endpoint === endpoint &&
      kept.model === model &&
      kept.stream === stream
    ) {
      line.put(kept.asked);
      return;
    }
    const from = line.at;
    this.#text(ENDPOINT, endpoint);
    this.#text(MODEL, model);
    this.#text(REQUESTED_MODEL, fact.requestedModel);
    line.put(STREAM);
    line.put(stream ? TRUE : FALSE);
    kept.endpoint = endpoint;
    kept.model = model;
    kept.stream = stream;
    kept.asked = line.copied(from, PART_MAX_BYTES);
  }

  /** What an answer of several passes, or with tools, has between: not kept. */
  #served(fact: UsageFact, kept: Asked): void {
    const line = this.#line;
    const { serviceTier, lane, route, attempt, final, targetModel, keyClass } = fact;
    const isPlain = fact.lines === null && fact.toolUses === NO_TOOL_USES;
    if (
      isPlain &&
      kept.served !== null &&
      kept.serviceTier === serviceTier &&
      kept.lane === lane &&
      kept.route === route &&
      kept.attempt === attempt &&
      kept.final === final &&
      kept.targetModel === targetModel &&
      kept.keyClass === keyClass
    ) {
      line.put(kept.served);
      return;
    }
    const from = line.at;
    this.#text(SERVICE_TIER, serviceTier);
    line.put(TOOL_USES);
    line.ascii(toolUses(fact.toolUses));
    line.put(LINES);
    line.ascii(lines(fact.lines, fact.cost.lines));
    line.put(LANE);
    line.word(lane);
    this.#text(ROUTE, route);
    line.put(ATTEMPT);
    line.number(attempt);
    line.put(FINAL);
    line.put(final ? TRUE : FALSE);
    this.#text(TARGET_MODEL, targetModel);
    line.put(KEY_CLASS);
    line.word(keyClass);
    line.put(COST_USD);
    if (!isPlain) return;
    kept.serviceTier = serviceTier;
    kept.lane = lane;
    kept.route = route;
    kept.attempt = attempt;
    kept.final = final;
    kept.targetModel = targetModel;
    kept.keyClass = keyClass;
    kept.served = line.copied(from, PART_MAX_BYTES);
  }

  #priced(fact: UsageFact, kept: Asked): void {
    const line = this.#line;
    const { policy, resumed } = fact;
    const { status, reason, version } = fact.cost;
    if (
      kept.priced !== null &&
      kept.status === status &&
      kept.reason === reason &&
      kept.version === version &&
      kept.policy === policy &&
      kept.resumed === resumed
    ) {
      line.put(kept.priced);
      return;
    }
    const from = line.at;
    line.put(COST_STATUS);
    line.word(status);
    line.put(UNPRICED_REASON);
    line.word(reason);
    this.#text(PRICE_VERSION, version);
    line.put(POLICY);
    line.word(policy);
    line.put(RESUMED);
    line.put(resumed ? TRUE : FALSE);
    kept.status = status;
    kept.reason = reason;
    kept.version = version;
    kept.policy = policy;
    kept.resumed = resumed;
    kept.priced = line.copied(from, PART_MAX_BYTES);
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

function cacheHit({ savedUsd, ageSecs }: CacheHit): string {
  return `{"saved_usd":${word(savedUsd)},"age_secs":${ageSecs}}`;
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

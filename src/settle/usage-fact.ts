import type { KeyClass } from '../keys/key-class.ts';
import type { Cost } from '../prices/cost.ts';
import type { Dialect } from '../rejection.ts';
import type { BillingLine, ToolUses } from '../wire/billed-usage.ts';
import type { UsageCounts } from '../wire/usage-counters.ts';
import type { Outcome, UsageSource } from './metrics.ts';

/** What a request that was told another one's answer did not cost. */
export interface CacheHit {
  /** USD that the answer cost, an exact decimal; null: unpriced, or it was still being made. */
  readonly savedUsd: string | null;
  /** Seconds since it was made; null: it was still being made. */
  readonly ageSecs: number | null;
}

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
  /** Null: none was asked (`cache`). */
  readonly provider: string | null;
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
  /** `cache_hit`: none of the exchange's own, which was complete or not, but that nobody had to answer. */
  readonly outcome: Outcome | 'cache_hit';
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
  /** What guards found and did, and how much they read: a JSON text in ASCII without any text of it. Absent: there were none. */
  readonly guards?: string;
  /** Not null: it was told what another request was answered, and reached no provider. */
  readonly cache: CacheHit | null;
}

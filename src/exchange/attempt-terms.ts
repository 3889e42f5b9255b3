/** What an attempt is given: what the attempts of a worker share, the client's request, and who is asked with which key. */

import type { ChainSpending } from '../budget/chain-spending.ts';
import type { KeyIdentity } from '../keys/virtual-key.ts';
import type { TokenRatios } from '../meter/token-ratios.ts';
import type { ModelPermission } from '../policy/model-permission.ts';
import type { EffectivePolicy } from '../policy/policy-table.ts';
import type { Pricing } from '../prices/cost.ts';
import type { EndpointMetering } from '../providers/endpoint-metering.ts';
import type { PoolKey } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import type { Dialect } from '../rejection.ts';
import type { WorkerMetrics } from '../settle/metrics.ts';
import type { StateHomes } from '../stored/state-homes.ts';
import type { Transports } from '../upstream/transport.ts';
import type { JsonScanner } from '../wire/json-scanner.ts';
import type { RequestFraming } from '../wire/request-framing.ts';
import type { BackgroundAnswers } from './background-answers.ts';
import type { UnseenAnswers } from './unseen-answers.ts';

/** What the attempts of a worker share. */
export interface AttemptContext {
  readonly transports: Transports;
  readonly metrics: WorkerMetrics;
  readonly scanner: JsonScanner;
  readonly ratios: TokenRatios;
  readonly unseen: UnseenAnswers;
  readonly stored: StateHomes;
  readonly background: BackgroundAnswers;
  readonly pricing: Pricing;
  /** What pages may read is the gateway's to say, not the provider's. */
  readonly ownsCors: boolean;
  /** A bug was met, and one request ended by it: for the log. */
  report(error: unknown): void;
}

/** What an attempt reads of the client's request. The door's `RequestHead` is one. */
export interface Asked {
  readonly method: string;
  readonly fields: readonly string[];
  readonly framing: RequestFraming;
}

/** Who is asked, for what, and with which key. What admission says of a request is one. */
export interface AttemptTarget {
  readonly provider: Provider;
  /** What its caller reads, which may be another one than its provider's. */
  readonly dialect: Dialect;
  /** The path asked for, without query. */
  readonly path: string;
  /** Path and query. */
  readonly target: string;
  /** Null where the caller's own key goes upstream. */
  readonly managed: {
    readonly identity: KeyIdentity;
    readonly policy: EffectivePolicy;
    readonly poolKey: PoolKey;
    readonly metering: EndpointMetering;
    /** Of the model that the request names; null: it may name any, or names none. */
    readonly permission: ModelPermission | null;
    /** The model that the path names; null: the body says it. */
    readonly pathModel: string | null;
    /** Its answer may name what the provider has stored. */
    readonly keepsState: boolean;
  } | null;
  /** What the routed lane says of it; null in the relay lane. */
  readonly routing: Routing | null;
}

/** One attempt among those of a routed request. */
interface Routing {
  /** What the caller asked for. */
  readonly requestedModel: string;
  /** Null when it was no route. */
  readonly route: string | null;
  /** From 1 on. */
  readonly attempt: number;
  /** `provider/model`. */
  readonly targetModel: string;
  /** It is asked for the rest of an answer that another one began. */
  readonly resumed: boolean;
  /** What the request holds of its budgets while targets follow each other; null: no other one follows. */
  readonly chain: ChainSpending | null;
}

/** What is left of a request that was given to its call. */
export const LEFT: Asked = {
  method: '',
  fields: [],
  framing: { contentLength: -1, chunked: false, fault: null, lengthMissing: false },
};

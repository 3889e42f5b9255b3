/** What policies may say of the cache of answers, and what holds for one key. */

/** Answers that are told again: none, or to the same request. */
export const CACHE_MODES = ['off', 'exact'] as const;
export type CacheMode = (typeof CACHE_MODES)[number];

/** When two bodies are the same: byte for byte, or as JSON texts of one meaning (RFC 8785). */
export const CACHE_MATCHES = ['bytes', 'canonical'] as const;
export type CacheMatch = (typeof CACHE_MATCHES)[number];

/** What of a body counts. */
export const HASH_STRATEGIES = ['full_request', 'content+model', 'content'] as const;
export type HashStrategy = (typeof HASH_STRATEGIES)[number];

/** Whose requests may be told an answer. */
export const CACHE_SCOPES = ['tenant', 'key', 'global'] as const;
export type CacheScope = (typeof CACHE_SCOPES)[number];

/** How long an answer is told again where no policy says it, in seconds. */
export const CACHE_TTL_SECS = 3_600;

/** The largest answer that is kept, in bytes of its content: what is longer is hardly ever asked for twice, and costs a thousand others. */
export const ANSWER_MAX_BYTES = 262_144;

/** What holds for one key. */
export interface CacheTerms {
  readonly match: CacheMatch;
  readonly strategy: HashStrategy;
  readonly scope: CacheScope;
  /** Milliseconds. */
  readonly ttlMs: number;
  /**
   * What its policy allows, and who reads along, as one text: keys that may not ask for the same share nothing, so that nobody is
   * told what it would not have been answered.
   */
  readonly permission: string;
  /** Its policy names the models that may be asked for. */
  readonly limitsModels: boolean;
}

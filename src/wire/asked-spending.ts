import type { RequestFacts } from './request-facts.ts';

/** What a request asks for that its price depends on, once it is whole. */
export interface AskedSpending {
  /** Of its body, without what is base64. */
  readonly textBytes: number;
  /** Of what is base64. */
  readonly dataBytes: number;
  /** The most that one answer may have; null: it does not say. */
  readonly outputTokens: number | null;
  readonly choices: number;
  readonly serviceTier: string | null;
  readonly speed: string | null;
  readonly inferenceGeo: string | null;
  readonly marksCache: boolean;
  /** What is cached is to live for an hour. */
  readonly isHour: boolean;
  /** Tools that the provider runs itself. */
  readonly tools: number;
  /** How often they may be used, where that is said; 0: it is not. */
  readonly toolUses: number;
  /** Pictures and files that are named and not sent. */
  readonly named: number;
}

/** @param bytes of the whole body */
export function askedSpending(facts: RequestFacts, bytes: number): AskedSpending {
  const { marks, textBytes } = facts;
  marks?.end();
  return {
    textBytes,
    dataBytes: Math.max(0, bytes - textBytes),
    outputTokens: facts.outputTokens,
    choices: facts.choices,
    serviceTier: facts.serviceTier,
    speed: facts.speed,
    inferenceGeo: facts.inferenceGeo,
    marksCache: marks?.marksCache ?? false,
    isHour: marks?.isHour ?? false,
    tools: Math.max(0, (marks?.tools ?? 0) - (marks?.limits ?? 0)),
    toolUses: marks?.uses ?? 0,
    named: marks?.pictures ?? 0,
  };
}

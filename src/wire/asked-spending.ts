import type { SpendingFields } from './spending-fields.ts';

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
export function askedSpending(
  textBytes: number,
  { outputTokens, choices, serviceTier, speed, inferenceGeo, marks }: SpendingFields,
  bytes: number,
): AskedSpending {
  marks.end();
  return {
    textBytes,
    dataBytes: Math.max(0, bytes - textBytes),
    outputTokens,
    choices,
    serviceTier,
    speed,
    inferenceGeo,
    marksCache: marks.marksCache,
    isHour: marks.isHour,
    tools: Math.max(0, marks.tools - marks.limits),
    toolUses: marks.uses,
    named: marks.pictures,
  };
}

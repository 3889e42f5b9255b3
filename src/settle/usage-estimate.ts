/** What an estimate goes by. */
export interface Relayed {
  /** Bytes of a request body that reached the provider whole; 0 when it did not. */
  readonly requestBytes: number;
  /** Of them, what is text: neither pictures, sound nor files. Null when nobody could tell. */
  readonly requestTextBytes: number | null;
  /** What a token of this model was seen to have of a prompt's text; null when that is not known. */
  readonly bytesPerToken: number | null;
  /** Bytes of answer text that were relayed. */
  readonly responseTextBytes: number;
  /** The provider answered to the end, so that something was written, whatever of it can be seen. */
  readonly answered: boolean;
}

/** Names of fields, schemas and ids that a request's JSON spends before the first word of a prompt, in bytes. */
const REQUEST_OVERHEAD_BYTES = 512;

/**
 * Bytes of request a token. Prose has 4 to 5, JSON and tool schemas around 3; recorded requests had up to 20 where most
 * of the body was overhead.
 */
export const REQUEST_BYTES_PER_TOKEN = 8;

/** A body of which nobody could tell what is text: one larger than this is mostly images, audio or files, whose tokens do not follow from their bytes. */
const UNREAD_COUNTED_BYTES = 16_384;

/**
 * Bytes of answer a token: English prose 4 to 5, code 3, Chinese 3 (UTF-8); 95 of 100 recorded streams had below 5.5, but
 * a list of plain words has more than 6.
 */
export const TEXT_BYTES_PER_TOKEN = 8;

/** For the high estimate, bytes a token: source code has 3, Chinese and dense JSON 2 to 3. */
export const HIGH_BYTES_PER_TOKEN = 2;

/** For the high estimate, bytes of base64 a token: a picture of 100 KB costs up to 1,600, sound and files less. */
const HIGH_DATA_BYTES_PER_TOKEN = 64;

/** Tokens in and out. */
export interface TokenEstimate {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/**
 * Tokens of an exchange whose provider did not say, or could not any more: the best guess. Where nothing was learned of
 * the model it errs low: whoever is billed from it is billed too little, never for what was not used, and the fact says
 * that it is an estimate.
 */
export function estimateUsage(relayed: Relayed): TokenEstimate {
  const { responseTextBytes, answered } = relayed;
  return {
    inputTokens: promptTokens(relayed),
    outputTokens: Math.max(answered ? 1 : 0, Math.ceil(responseTextBytes / TEXT_BYTES_PER_TOKEN)),
  };
}

/** What it can have been at most, as far as its bytes tell: for budgets, which must not be exceeded. Errs high. */
export function highEstimate(relayed: Relayed): TokenEstimate {
  const { requestBytes, requestTextBytes, responseTextBytes } = relayed;
  const text = Math.min(requestBytes, requestTextBytes ?? requestBytes);
  const data = requestBytes - text;
  const prompt = text / HIGH_BYTES_PER_TOKEN + data / HIGH_DATA_BYTES_PER_TOKEN;
  const least = estimateUsage(relayed);
  return {
    inputTokens: Math.max(least.inputTokens, Math.ceil(prompt)),
    outputTokens: Math.max(least.outputTokens, Math.ceil(responseTextBytes / HIGH_BYTES_PER_TOKEN)),
  };
}

function promptTokens({ requestBytes, requestTextBytes, bytesPerToken }: Relayed): number {
  if (requestBytes === 0) return 0;
  // What was learned has the overhead in it.
  if (requestTextBytes !== null && bytesPerToken !== null)
    return Math.max(1, Math.round(Math.min(requestBytes, requestTextBytes) / bytesPerToken));
  const counted =
    requestTextBytes === null
      ? Math.min(requestBytes - REQUEST_OVERHEAD_BYTES, UNREAD_COUNTED_BYTES)
      : Math.min(requestBytes, requestTextBytes) - REQUEST_OVERHEAD_BYTES;
  // A request that was sent has at least one token.
  return Math.max(1, Math.floor(counted / REQUEST_BYTES_PER_TOKEN));
}

/** What an estimate goes by. */
export interface Relayed {
  /** Bytes of a request body that reached the provider whole; 0 when it did not. */
  readonly requestBytes: number;
  /** Of these, what is text and not a picture or a file in base64; null when nobody could look. */
  readonly requestTextBytes: number | null;
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

/** A body of which it is not known what is text: a larger one is mostly images, audio or files. */
const UNREAD_COUNTED_BYTES = 16_384;

/**
 * Bytes of answer a token: English prose 4 to 5, code 3, Chinese 3 (UTF-8); 95 of 100 recorded streams had below 5.5, but
 * a list of plain words has more than 6.
 */
export const TEXT_BYTES_PER_TOKEN = 8;

/**
 * Tokens of an exchange whose provider did not say, or could not any more. It errs low: whoever is billed from it is
 * billed too little, never for what was not used, and the fact says that it is an estimate.
 */
export function estimateUsage(relayed: Relayed): {
  readonly inputTokens: number;
  readonly outputTokens: number;
} {
  const { requestBytes, requestTextBytes, responseTextBytes, answered } = relayed;
  const counted =
    requestTextBytes === null
      ? Math.min(requestBytes - REQUEST_OVERHEAD_BYTES, UNREAD_COUNTED_BYTES)
      : requestTextBytes - REQUEST_OVERHEAD_BYTES;
  return {
    // A request that was sent has at least one token.
    inputTokens:
      requestBytes === 0 ? 0 : Math.max(1, Math.floor(counted / REQUEST_BYTES_PER_TOKEN)),
    outputTokens: Math.max(answered ? 1 : 0, Math.ceil(responseTextBytes / TEXT_BYTES_PER_TOKEN)),
  };
}

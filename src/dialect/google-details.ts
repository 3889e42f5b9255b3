/** What Google's errors say beside their message (google.rpc.RetryInfo, google.rpc.ErrorInfo; cloud.google.com/apis/design/errors). */

import { isObject, type JsonObject, listIn, textIn } from './json-values.ts';

export interface GoogleDetails {
  /** Rounded up; null: not said. */
  readonly retryAfterSeconds: number | null;
  readonly isKeyInvalid: boolean;
}

const NOTHING: GoogleDetails = { retryAfterSeconds: null, isKeyInvalid: false };
/** `48s`, `0.5s`. */
const DURATION = /^(\d{1,9}(?:\.\d+)?)s$/;

/** @param error the object under a body's `error`, of any vendor */
export function googleDetails(error: JsonObject): GoogleDetails {
  const details = listIn(error, 'details');
  if (details.length === 0) return NOTHING;
  let seconds: number | null = null;
  let isKeyInvalid = false;
  for (const detail of details) {
    if (!isObject(detail)) continue;
    const told = DURATION.exec(textIn(detail, 'retryDelay') ?? '')?.[1];
    if (told !== undefined) seconds = Math.ceil(Number(told));
    isKeyInvalid ||= detail['reason'] === 'API_KEY_INVALID';
  }
  return { retryAfterSeconds: seconds, isKeyInvalid };
}

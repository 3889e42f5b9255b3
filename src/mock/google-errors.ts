/** Google's errors (google.rpc.Code): one shape for all of its APIs. */

const STATUSES: ReadonlyMap<number, string> = new Map([
  [400, 'INVALID_ARGUMENT'],
  [401, 'UNAUTHENTICATED'],
  [403, 'PERMISSION_DENIED'],
  [404, 'NOT_FOUND'],
  [429, 'RESOURCE_EXHAUSTED'],
  [500, 'INTERNAL'],
  [503, 'UNAVAILABLE'],
  [504, 'DEADLINE_EXCEEDED'],
]);

/** What it says to a key that is none, with a 400. */
export const GOOGLE_KEY_INVALID = 'API key not valid. Please pass a valid API key.';

/** @param waitS seconds behind which it may be tried again; null: nothing is said of that */
export function googleError(message: string, status: number, waitS: number | null): object {
  const details = [
    ...(message === GOOGLE_KEY_INVALID
      ? [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' }]
      : []),
    ...(waitS === null
      ? []
      : [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${waitS}s` }]),
  ];
  const word = STATUSES.get(status) ?? 'UNKNOWN';
  return {
    error: { code: status, message, status: word, ...(details.length === 0 ? {} : { details }) },
  };
}

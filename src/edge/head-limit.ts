/**
 * Request heads up to 32 KiB are a contract (long tokens, SDK fields); the front end's own limit is 4,096. A little
 * more, because it counts the request line as well. Bytes.
 */
const HEAD_LIMIT_BYTES = 36_864;

/**
 * Tells the front end, whose binary reads the process's real environment when it loads. On the main thread and before
 * the first worker: a worker's `process.env` is a copy that native code does not see.
 */
export function raiseHeadLimit(): void {
  process.env['UWS_HTTP_MAX_HEADERS_SIZE'] = String(HEAD_LIMIT_BYTES);
}

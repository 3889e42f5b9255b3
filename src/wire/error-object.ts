/** What errors are made of, at their root, beside what says so: vendors' and frameworks' own (RFC 9457, FastAPI, gRPC). */
const BESIDE: ReadonlySet<string> = new Set([
  'type',
  'object',
  'status',
  'status_code',
  'statusCode',
  'param',
  'path',
  'instance',
  'request_id',
  'requestId',
  'trace_id',
  'id',
  'timestamp',
  'time',
  'success',
  'ok',
  'retryable',
  'documentation_url',
  'metadata',
]);

/** What says so, beside every name that begins with `error` (Baidu's `error_msg`). */
const SAYING: ReadonlySet<string> = new Set([
  'detail',
  'details',
  'message',
  'msg',
  'title',
  'reason',
  'fault',
  'code',
]);

type Members = Readonly<Record<string, unknown>>;

/**
 * Whether a JSON text is an error whatever its status says: it names one, or all its members are such as errors have and one
 * of them says what is wrong (FastAPI's `{"detail":…}`), or it holds nothing at all.
 */
export function isError(value: unknown): boolean {
  const root = Array.isArray(value) ? value[0] : value;
  if (root === undefined || root === null || root === '') return true;
  if (!isObject(root)) return false;
  if (says(root['error']) || says(root['errors'])) return true;
  if (root['type'] === 'error' || root['object'] === 'error') return true;
  const { response, choices } = root;
  if (isObject(response) && says(response['error'])) return true;
  // MiniMax answers 200 to everything, and tells here what it was (platform.minimax.io, "Error codes").
  const { base_resp: base } = root;
  if (isObject(base) && says(base['status_code']) && base['status_code'] !== 0) return true;
  // OpenRouter tells so of one choice what its provider told.
  const inChoice = (choice: unknown): boolean => isObject(choice) && says(choice['error']);
  return (Array.isArray(choices) && choices.some(inChoice)) || holdsOnlyError(root);
}

function holdsOnlyError(root: Members): boolean {
  // Ollama's answers have a message too: an object.
  if (isObject(root['message'])) return false;
  const members = Object.entries(root).filter(([, value]) => says(value));
  return (
    members.every(([name]) => isSaying(name) || BESIDE.has(name)) &&
    (members.length === 0 || members.some(([name]) => isSaying(name)))
  );
}

function isSaying(name: string): boolean {
  return SAYING.has(name) || name.startsWith('error');
}

function says(value: unknown): boolean {
  // Cloudflare's successes have a list of no errors.
  if (Array.isArray(value)) return value.length > 0;
  return value !== undefined && value !== null && value !== false && value !== '';
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

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

/** What says so. */
const SAYING: ReadonlySet<string> = new Set([
  'error',
  'errors',
  'error_code',
  'error_description',
  'error_message',
  'error_type',
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
  // OpenRouter tells so of one choice what its provider told.
  const inChoice = (choice: unknown): boolean => isObject(choice) && says(choice['error']);
  return (Array.isArray(choices) && choices.some(inChoice)) || holdsOnlyError(root);
}

function holdsOnlyError(root: Members): boolean {
  // Ollama's answers have a message too: an object.
  if (isObject(root['message'])) return false;
  const members = Object.entries(root).filter(([, value]) => says(value));
  return (
    members.every(([name]) => SAYING.has(name) || BESIDE.has(name)) &&
    (members.length === 0 || members.some(([name]) => SAYING.has(name)))
  );
}

function says(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false && value !== '';
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A request that the gateway answers by itself, and how. */
export interface Refusal {
  readonly method: string;
  readonly target: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly status: number;
  /** `error.code`, which only OpenAI's dialect has. */
  readonly code: string;
}

const KEY = { authorization: 'Bearer sk-byo' };
/** Above the limit that the soak's configuration sets. */
const TOO_LARGE = String(100 * 1_048_576);

/** Every rejection that a client can bring about alone: each is answered without any provider. */
export const REFUSALS: readonly [Refusal, ...Refusal[]] = [
  { method: 'POST', target: '/v1/chat/completions', fields: {}, status: 401, code: 'missing_key' },
  {
    method: 'POST',
    target: '/v1/chat/completions',
    fields: { authorization: 'Bearer bai_v1.7.AAAA.BBBB' },
    status: 401,
    code: 'bad_key',
  },
  { method: 'GET', target: '/nobody/v1', fields: KEY, status: 404, code: 'unknown_provider' },
  {
    method: 'PROPFIND',
    target: '/v1/models',
    fields: KEY,
    status: 405,
    code: 'method_not_allowed',
  },
  {
    method: 'POST',
    target: '/v1/files',
    fields: { ...KEY, 'content-length': TOO_LARGE },
    status: 413,
    code: 'body_too_large',
  },
];

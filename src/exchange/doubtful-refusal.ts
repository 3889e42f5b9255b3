import { Buffer } from 'node:buffer';
import { isOfRequest } from '../plan/failover.ts';
import type { AuthScheme } from '../providers/providers.ts';
import { POOL_KEY_UNKNOWN, poolKeyRefusal, type UpstreamFailure } from '../upstream/failure.ts';

/** As much of a body as is looked at, in bytes: vendors' errors are below 2 KiB. What is longer is what its status says. */
const LOOKED_AT_BYTES = 16_384;

const BAD_REQUEST = 400;
const FORBIDDEN = 403;

/** Google's word for a key that it does not know (google.rpc.ErrorInfo). A caller's quotes are escaped where it is quoted. */
const KEY_UNKNOWN = /"reason"\s*:\s*"API_KEY_INVALID"/;

/** @returns what an answer to a pool key is, going by its status alone; null: an answer like any other */
export function refusalOf(
  status: number,
  scheme: AuthScheme,
  hasOthers: boolean,
): UpstreamFailure | null {
  if (status === BAD_REQUEST && scheme === 'x-goog-api-key') return POOL_KEY_UNKNOWN;
  return poolKeyRefusal(status, hasOthers);
}

/**
 * A 403 for a pool key, or a 400 of Google's, until its body has said whom it means: the key, or what the caller wrote
 * (OpenRouter answers 403 to what its moderation flags). Else one caller's prompts would let one key after the other rest, for
 * everybody.
 */
export class DoubtfulRefusal {
  readonly status: number;
  readonly reason: string;
  readonly fields: readonly string[];
  /** What it is when the key is meant. */
  readonly refusal: UpstreamFailure;
  #body = Buffer.alloc(0);

  constructor(status: number, reason: string, fields: readonly string[], refusal: UpstreamFailure) {
    this.status = status;
    this.reason = reason;
    this.fields = fields;
    this.refusal = refusal;
  }

  /** Whether a body tells more than its status. */
  static isDoubtful(status: number): boolean {
    return status === FORBIDDEN || status === BAD_REQUEST;
  }

  /**
   * @param piece lent
   * @returns false when the body is too long to be looked at
   */
  add(piece: Buffer): boolean {
    this.#body = Buffer.concat([this.#body, piece]);
    return this.#body.length <= LOOKED_AT_BYTES;
  }

  /** What came of it so far; the whole of it at the answer's end. */
  get body(): Buffer {
    return this.#body;
  }

  /** What its status says, where its body cannot be looked at. */
  get isOfKeyUnread(): boolean {
    return this.status === FORBIDDEN;
  }

  /** What its body says, when it is whole. */
  get isOfKey(): boolean {
    const text = this.#body.toString('latin1');
    return this.status === FORBIDDEN ? !isOfRequest(text) : KEY_UNKNOWN.test(text);
  }
}

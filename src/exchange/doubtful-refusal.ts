import { Buffer } from 'node:buffer';
import { isOfRequest } from '../plan/failover.ts';
import type { UpstreamFailure } from '../upstream/failure.ts';

/**
 * As much of a body as is looked at, in bytes: vendors' errors are below 2 KiB. What is longer is taken for a refusal of the
 * key, as the status says.
 */
const LOOKED_AT_BYTES = 16_384;

/**
 * A 403 for a pool key, until its body has said whom it means: the key, or what the caller wrote (OpenRouter answers so to
 * what its moderation flags). Else one caller's prompts would let one key after the other rest, for everybody.
 */
export class DoubtfulRefusal {
  readonly reason: string;
  readonly fields: readonly string[];
  /** What it is when the key is meant. */
  readonly refusal: UpstreamFailure;
  #body = Buffer.alloc(0);

  constructor(reason: string, fields: readonly string[], refusal: UpstreamFailure) {
    this.reason = reason;
    this.fields = fields;
    this.refusal = refusal;
  }

  /**
   * @param piece lent
   * @returns false when the body is too long to be looked at
   */
  add(piece: Buffer): boolean {
    this.#body = Buffer.concat([this.#body, piece]);
    return this.#body.length <= LOOKED_AT_BYTES;
  }

  /** The whole of it, at the answer's end. */
  get body(): Buffer {
    return this.#body;
  }

  get isOfRequest(): boolean {
    return isOfRequest(this.#body.toString('latin1'));
  }
}

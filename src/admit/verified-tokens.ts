/**
 * Which tokens this worker already knows: a known one costs a map lookup instead of a signature check. Behind it stands
 * what any worker of the node has verified (`token-table.ts`): a token that is new here alone costs a hash (2 us), and
 * nothing of the budget for first checks.
 *
 * Bounds. An entry (its own copy of the token, its identity, its place in the map) takes 0.3 KB, so the 65,536 known
 * tokens cost a worker 19 MiB; `npm run bench:keys` prints the measured figure. Only tokens whose
 * signature held get in, so a stranger cannot fill it. Refused ones are kept apart, 2,048 of them: a misconfigured
 * client that repeats one bad token would otherwise eat the budget that new good ones need, while a flood of distinct
 * forgeries only cycles that set.
 *
 * Eviction is by two generations: when the young one is full it becomes the old one, and what was not asked for since
 * then is gone. No list, no clock, no work per lookup but a move on the first hit of an old entry.
 *
 * Looking up by string compares in variable time. That tells nothing: a prober would first have to meet the entry's
 * hash, which V8 seeds per process, and the signature it would be guessing has 512 bits.
 */

import type { KeyObject } from 'node:crypto';
import {
  type KeyIdentity,
  parseToken,
  type SigningKeys,
  signatureHolds,
  TOKEN_MAX_CHARS,
} from '../keys/virtual-key.ts';
import { PUBLIC_KEY_BYTES, TokenTable } from './token-table.ts';

export const VERIFIED_TOKENS_MAX = 65_536;
const REFUSED_TOKENS_MAX = 2_048;

/** Why a managed credential is not admitted: a row of the rejection table, and what a log may say about it. */
interface TokenRefusal {
  readonly code: 'bad_key' | 'rate_limited';
  readonly fault: 'malformed' | 'unknown_kid' | 'bad_signature' | 'verify_budget';
  /** Whole seconds, at least 1, for `rate_limited`; else 0. */
  readonly retryAfterSeconds: number;
}

/** The node-wide budget of first-time signature checks; `RateGuard` is one. */
interface VerifyBudget {
  /** @returns 0 when a check may be made now, else whole seconds until it may be tried again */
  admitVerify(): number;
}

const badKey = (fault: TokenRefusal['fault']): TokenRefusal => ({
  code: 'bad_key',
  fault,
  retryAfterSeconds: 0,
});
const MALFORMED = badKey('malformed');
const UNKNOWN_KID = badKey('unknown_kid');
const BAD_SIGNATURE = badKey('bad_signature');

interface Signer {
  readonly key: KeyObject;
  /** Of the public key. */
  readonly bytes: Uint8Array;
}

/** Verifies managed tokens for one worker thread. */
export class VerifiedTokens {
  readonly #budget: VerifyBudget;
  readonly #verified: Generations<KeyIdentity>;
  readonly #refused: Generations<TokenRefusal>;
  readonly #node: TokenTable;
  /** By kid. */
  #signers: ReadonlyMap<number, Signer> = new Map();

  /**
   * @param keys public keys by kid
   * @param budget asked once per signature check, after everything cheaper has passed
   * @param node from `createTokenTable`: what the node's workers have verified
   * @param verifiedMax most verified tokens kept, even
   * @param refusedMax most refused tokens kept, even
   */
  constructor(
    keys: SigningKeys,
    budget: VerifyBudget,
    node: SharedArrayBuffer,
    verifiedMax = VERIFIED_TOKENS_MAX,
    refusedMax = REFUSED_TOKENS_MAX,
  ) {
    this.#budget = budget;
    this.#node = new TokenTable(node, TOKEN_MAX_CHARS);
    this.#verified = new Generations(verifiedMax);
    this.#refused = new Generations(refusedMax);
    this.replaceKeys(keys);
  }

  /** Good tokens known now. */
  get size(): number {
    return this.#verified.size;
  }

  /**
   * @param token the managed credential as it came, without `Bearer `
   * @returns the identity (it has no `code`), or why there is none
   */
  check(token: string): KeyIdentity | TokenRefusal {
    return this.#verified.get(token) ?? this.#checkUnknown(token);
  }

  /** Whose token it is, without any check: null when this worker does not know it. */
  known(token: string): KeyIdentity | null {
    return this.#verified.get(token) ?? null;
  }

  /**
   * Takes another set of signing keys. What was verified with a key that is gone or another one now is forgotten; the
   * rest would verify again, and doing so all at once would exceed the budget in the middle of a rotation.
   */
  replaceKeys(keys: SigningKeys): void {
    const before = this.#signers;
    this.#signers = new Map([...keys].map(([kid, key]) => [kid, signerOf(key)]));
    this.#verified.keep(({ kid }) => {
      const key = keys.get(kid);
      return key !== undefined && before.get(kid)?.key.equals(key) === true;
    });
    this.#refused.keep(() => false);
  }

  #checkUnknown(token: string): KeyIdentity | TokenRefusal {
    const parsed = parseToken(token);
    if (parsed === null) return MALFORMED;
    const signer = this.#signers.get(parsed.claims.kid);
    if (signer === undefined) return UNKNOWN_KID;
    const known = this.#refused.get(token);
    if (known !== undefined) return known;
    if (this.#node.has(token, signer.bytes)) {
      this.#verified.set(token, parsed.claims);
      return parsed.claims;
    }
    const retryAfterSeconds = this.#budget.admitVerify();
    if (retryAfterSeconds > 0)
      return { code: 'rate_limited', fault: 'verify_budget', retryAfterSeconds };
    if (!signatureHolds(token, parsed, signer.key)) {
      this.#refused.set(token, BAD_SIGNATURE);
      return BAD_SIGNATURE;
    }
    this.#node.add(token, signer.bytes);
    this.#verified.set(token, parsed.claims);
    return parsed.claims;
  }
}

/** The last bytes of an Ed25519 key's SubjectPublicKeyInfo are the key itself (RFC 8410 §4). */
function signerOf(key: KeyObject): Signer {
  return { key, bytes: key.export({ type: 'spki', format: 'der' }).subarray(-PUBLIC_KEY_BYTES) };
}

/** A map of at most `max` entries that forgets what was not asked for lately. */
class Generations<V> {
  readonly #half: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();

  constructor(max: number) {
    if (!Number.isInteger(max) || max < 2 || max % 2 !== 0)
      throw new RangeError('max must be an even number from 2 up');
    this.#half = max / 2;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(token: string): V | undefined {
    return this.#young.get(token) ?? this.#fromOld(token);
  }

  set(token: string, value: V): void {
    if (this.#young.size >= this.#half) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    // A copy of its own: what came may be a slice that holds on to a whole head of 32 KiB.
    this.#young.set(Buffer.from(token, 'latin1').toString('latin1'), value);
  }

  /** Forgets all but what passes. */
  keep(passes: (value: V) => boolean): void {
    for (const half of [this.#young, this.#old]) {
      for (const [token, value] of half) if (!passes(value)) half.delete(token);
    }
  }

  #fromOld(token: string): V | undefined {
    const value = this.#old.get(token);
    if (value !== undefined) {
      this.#old.delete(token);
      this.set(token, value);
    }
    return value;
  }
}

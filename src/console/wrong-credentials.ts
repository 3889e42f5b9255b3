/**
 * Slows down whoever tries credentials. A token is 256 random bits, so nobody guesses one; this keeps trying from costing
 * anything, and shows in the log that somebody does.
 */

/** Wrong ones of one peer at once, and after how many milliseconds it may be wrong once more. */
export const WRONG_BURST = 10;
export const WRONG_EACH_MS = 6_000;

/** The same of all peers together: a thousand addresses are one attacker. */
export const WRONG_IN_ALL_BURST = 300;
export const WRONG_IN_ALL_EACH_MS = 200;

/** Peers that are remembered as wrong, and as right, and tokens as right; the one that was met longest ago is forgotten. */
export const PEERS_MAX = 4_096;

/** For how long a peer or a token that was right is not held up by what others get wrong, in milliseconds. */
export const RIGHT_MS = 60 * 60_000;

interface Bucket {
  /** Tries that are left, and as of when. */
  left: number;
  atMs: number;
}

export class WrongCredentials {
  readonly #now: () => number;
  readonly #wrong = new Map<string, Bucket>();
  readonly #right = new Map<string, number>();
  /** By the hash of each. */
  readonly #rightTokens = new Map<string, number>();
  readonly #all: Bucket;
  /** Tries that were wrong, and those that were not even looked at. */
  readonly counts = { wrong: 0, refused: 0 };

  /** @param now milliseconds that only rise */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#all = { left: WRONG_IN_ALL_BURST, atMs: now() };
  }

  /**
   * To be asked before a credential is looked at: what is refused so says nothing about it.
   *
   * Decision: a token that was right within the hour is looked at, whoever else comes from its address. Behind a proxy all have
   * one address, and ten wrong tokens of a stranger would keep everybody else's out for as long as the stranger goes on.
   * @param token its hash; null: there is none, as where a sign-in by an OpenID provider begins
   * @returns 0, or the seconds until this peer may try again
   */
  wait(peer: string, token: Buffer | null = null): number {
    const nowMs = this.#now();
    const tokenMs = token === null ? undefined : this.#rightTokens.get(hashName(token));
    if (tokenMs !== undefined && nowMs - tokenMs < RIGHT_MS) return 0;
    const name = peerName(peer);
    const own = this.#wrong.get(name);
    const ownMs = own === undefined ? 0 : waitMs(own, nowMs, WRONG_BURST, WRONG_EACH_MS);
    const rightMs = this.#right.get(name);
    const isKnown = rightMs !== undefined && nowMs - rightMs < RIGHT_MS;
    const allMs = isKnown ? 0 : waitMs(this.#all, nowMs, WRONG_IN_ALL_BURST, WRONG_IN_ALL_EACH_MS);
    const ms = Math.max(ownMs, allMs);
    if (ms > 0) this.counts.refused++;
    return Math.ceil(ms / 1_000);
  }

  /**
   * @param token its hash; one that was right and is not any more is held up from now on as any other
   * @returns whether it was this peer's last try for now: worth a line in the log
   */
  wasWrong(peer: string, token: Buffer | null = null): boolean {
    const nowMs = this.#now();
    if (token !== null) this.#rightTokens.delete(hashName(token));
    const name = peerName(peer);
    const own = this.#wrong.get(name) ?? { left: WRONG_BURST, atMs: nowMs };
    take(own, nowMs, WRONG_BURST, WRONG_EACH_MS);
    remember(this.#wrong, name, own);
    take(this.#all, nowMs, WRONG_IN_ALL_BURST, WRONG_IN_ALL_EACH_MS);
    this.counts.wrong++;
    return own.left < 1;
  }

  /** @param token its hash; null: it was another credential that was right */
  wasRight(peer: string, token: Buffer | null = null): void {
    remember(this.#right, peerName(peer), this.#now());
    if (token !== null) remember(this.#rightTokens, hashName(token), this.#now());
  }
}

function hashName(token: Buffer): string {
  return token.toString('base64url');
}

function take(bucket: Bucket, nowMs: number, burst: number, eachMs: number): void {
  bucket.left = Math.max(0, Math.min(burst, bucket.left + (nowMs - bucket.atMs) / eachMs) - 1);
  bucket.atMs = nowMs;
}

function waitMs({ left, atMs }: Bucket, nowMs: number, burst: number, eachMs: number): number {
  const now = Math.min(burst, left + (nowMs - atMs) / eachMs);
  return now >= 1 ? 0 : (1 - now) * eachMs;
}

/** The youngest last. */
function remember<Value>(known: Map<string, Value>, name: string, value: Value): void {
  known.delete(name);
  for (const oldest of known.keys()) {
    if (known.size < PEERS_MAX) break;
    known.delete(oldest);
  }
  known.set(name, value);
}

/** Whoever has one address of IPv6 has the 2^64 of its network. */
export function peerName(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address;
  const [head = '', tail] = address.split('%')[0]?.split('::') ?? [];
  const groups = head === '' ? [] : head.split(':');
  const behind = tail === undefined || tail === '' ? 0 : tail.split(':').length;
  const zeros = tail === undefined ? 0 : 8 - groups.length - behind;
  return [...groups, ...new Array<string>(Math.max(0, zeros)).fill('0')].slice(0, 4).join(':');
}

import type { KeyIdentity } from '../keys/virtual-key.ts';

/** Questions of one worker that wait for the ledger's answer; whoever asks beyond is told to come again. */
export const RECALLS_MAX = 64;

/**
 * What the ledger has of a request.
 * @param lines its facts, JSON texts, nobody's in particular; null where it cannot say now
 */
type Recalled = (lines: readonly string[] | null) => void;

/** A worker's questions to the ledger: asked of the main thread, answered some milliseconds later. */
export class Recalls {
  readonly #ask: (call: number, requestId: string) => void;
  readonly #waiting = new Map<number, Recalled>();
  #calls = 0;

  /** @param ask brings a question to whoever answers it with `answer` */
  constructor(ask: (call: number, requestId: string) => void) {
    this.#ask = ask;
  }

  /** @returns false when too many wait: then nobody is told anything */
  recall(requestId: string, told: Recalled): boolean {
    if (this.#waiting.size >= RECALLS_MAX) return false;
    const call = ++this.#calls;
    this.#waiting.set(call, told);
    this.#ask(call, requestId);
    return true;
  }

  answer(call: number, lines: readonly string[] | null): void {
    const told = this.#waiting.get(call);
    this.#waiting.delete(call);
    told?.(lines);
  }
}

interface OwnFact {
  readonly tenant_id?: unknown;
  readonly vpc_id?: unknown;
  readonly key_id?: unknown;
  readonly final?: unknown;
  readonly cost_usd?: unknown;
}

/**
 * What a key may know of a request, as JSON: its facts in the order of its attempts, and what they cost together.
 * @param usdSum adds exact decimals
 * @returns null when nothing of it is this key's
 */
export function requestPage(
  requestId: string,
  lines: readonly string[],
  { tenantText, vpcText, keyText }: KeyIdentity,
  usdSum: (texts: readonly string[]) => string,
): string | null {
  const own = lines.filter((line) => {
    const fact = JSON.parse(line) as OwnFact;
    return fact.tenant_id === tenantText && fact.vpc_id === vpcText && fact.key_id === keyText;
  });
  if (own.length === 0) return null;
  const facts = own.map((line) => JSON.parse(line) as OwnFact);
  const costs = facts.flatMap(({ cost_usd: usd }) => (typeof usd === 'string' ? [usd] : []));
  const cost = costs.length === 0 ? null : usdSum(costs);
  const isComplete = facts.some(({ final }) => final !== false);
  // The facts as they are: what is read and written again is not the same number.
  return `{"object":"request","id":${JSON.stringify(requestId)},"complete":${isComplete},"cost_usd":${JSON.stringify(cost)},"unpriced":${facts.length - costs.length},"attempts":[${own.join(',')}]}`;
}

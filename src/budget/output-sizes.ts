/** How long answers of a class and a model are that nobody limits: learned from those that were reported. */

/** Classes and models of a worker of which it is known; whoever was used longest ago goes. 0.3 MB at most. */
const NAMES_MAX = 1_024;

/** From so many on it is believed. */
const SAMPLES_MIN = 100;
/** Behind so many each counts half, so that what changed is learned. */
const SAMPLES_MAX = 2_000;

/** The least that is assumed, and what is while too little is known. Tokens. */
const LEAST_TOKENS = 1_024;
const UNKNOWN_TOKENS = 8_192;
const SHARE = 0.99;

/** Sizes by powers of the square root of two: to 2^20 tokens. */
const STEPS_PER_DOUBLING = 2;
const STEPS = 41;

export class OutputSizes {
  readonly #known = new Map<string, Uint32Array>();

  /** @param tokens of one answer */
  learn(keyClass: string, model: string, tokens: number): void {
    const name = `${keyClass} ${model}`;
    const counts = this.#known.get(name) ?? new Uint32Array(STEPS + 1);
    this.#known.delete(name);
    this.#known.set(name, counts);
    const oldest = this.#known.size > NAMES_MAX ? this.#known.keys().next().value : undefined;
    if (oldest !== undefined) this.#known.delete(oldest);
    const step = Math.ceil(Math.log2(Math.max(1, tokens)) * STEPS_PER_DOUBLING);
    const at = Math.min(STEPS - 1, step);
    counts[at] = (counts[at] ?? 0) + 1;
    counts[STEPS] = (counts[STEPS] ?? 0) + 1;
    if ((counts[STEPS] ?? 0) >= SAMPLES_MAX) halve(counts);
  }

  /** The tokens that 99 of 100 answers stay below. */
  assumed(keyClass: string, model: string): number {
    const counts = this.#known.get(`${keyClass} ${model}`);
    const all = counts?.[STEPS] ?? 0;
    if (counts === undefined || all < SAMPLES_MIN) return UNKNOWN_TOKENS;
    let seen = 0;
    let at = 0;
    while (at < STEPS - 1 && seen + (counts[at] ?? 0) < all * SHARE) seen += counts[at++] ?? 0;
    return Math.max(LEAST_TOKENS, Math.ceil(2 ** (at / STEPS_PER_DOUBLING)));
  }
}

function halve(counts: Uint32Array): void {
  let all = 0;
  for (let at = 0; at < STEPS; at++) {
    counts[at] = Math.ceil((counts[at] ?? 0) / 2);
    all += counts[at] ?? 0;
  }
  counts[STEPS] = all;
}

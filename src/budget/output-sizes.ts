/** How long answers of a class and a model are that nobody limits: learned from those that were reported. */

/**
 * Models of a class of which it is known in a worker, in two halves: when the younger one is full the elder is forgotten, so that who
 * was used lately stays. 0.25 MB a class at most, and there are three classes.
 */
const HALF_NAMES_MAX = 512;

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

/** Of all classes. */
export class OutputSizes {
  readonly #classes = new Map<string, ClassSizes>();

  of(keyClass: string): ClassSizes {
    let sizes = this.#classes.get(keyClass);
    if (sizes === undefined) {
      sizes = new ClassSizes();
      this.#classes.set(keyClass, sizes);
    }
    return sizes;
  }
}

export class ClassSizes {
  #younger = new Map<string, ModelSizes>();
  #elder = new Map<string, ModelSizes>();

  /** @param tokens of one answer */
  learn(model: string, tokens: number): void {
    const known = this.#find(model);
    if (known !== null) {
      known.learn(tokens);
      return;
    }
    const made = new ModelSizes();
    made.learn(tokens);
    this.#keep(model, made);
  }

  /** The tokens that 99 of 100 answers stay below. */
  assumed(model: string): number {
    return this.#find(model)?.assumed ?? UNKNOWN_TOKENS;
  }

  #find(model: string): ModelSizes | null {
    const young = this.#younger.get(model);
    if (young !== undefined) return young;
    const old = this.#elder.get(model);
    if (old === undefined) return null;
    this.#elder.delete(model);
    this.#keep(model, old);
    return old;
  }

  #keep(model: string, sizes: ModelSizes): void {
    if (this.#younger.size >= HALF_NAMES_MAX) {
      this.#elder = this.#younger;
      this.#younger = new Map();
    }
    this.#younger.set(model, sizes);
  }
}

class ModelSizes {
  readonly #counts = new Uint32Array(STEPS);
  #all = 0;
  /** The least step that 99 of 100 do not pass, and how many are below it: moved with each, since each request asks for it. */
  #step = 0;
  #below = 0;

  learn(tokens: number): void {
    const step = Math.ceil(Math.log2(Math.max(1, tokens)) * STEPS_PER_DOUBLING);
    const at = Math.min(STEPS - 1, step);
    this.#counts[at] = this.#count(at) + 1;
    this.#all++;
    if (at < this.#step) this.#below++;
    if (this.#all >= SAMPLES_MAX) this.#halve();
    this.#move();
  }

  get assumed(): number {
    if (this.#all < SAMPLES_MIN) return UNKNOWN_TOKENS;
    return Math.max(LEAST_TOKENS, Math.ceil(2 ** (this.#step / STEPS_PER_DOUBLING)));
  }

  #count(at: number): number {
    return this.#counts[at] ?? 0;
  }

  #move(): void {
    const most = this.#all * SHARE;
    while (this.#step < STEPS - 1 && this.#below + this.#count(this.#step) < most)
      this.#below += this.#count(this.#step++);
    while (this.#step > 0 && this.#below >= most) this.#below -= this.#count(--this.#step);
  }

  #halve(): void {
    this.#all = 0;
    this.#below = 0;
    for (let at = 0; at < STEPS; at++) {
      const half = Math.ceil(this.#count(at) / 2);
      this.#counts[at] = half;
      this.#all += half;
      if (at < this.#step) this.#below += half;
    }
  }
}

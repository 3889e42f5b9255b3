import { Worker } from 'node:worker_threads';
import { raiseHeadLimit } from '../edge/head-limit.ts';

/**
 * Megabytes for a worker's young objects, half of V8's own choice. What is done with lies around until a young
 * generation is full (a third of this, twice), so it decides how far memory rises above idle under load; a metered request
 * leaves 18 KB. Large uploads, which rose by 33 MB with 48 and 20 MB with 24, have buffers of their own by now
 * (`upstream/h1/upload-buffers.ts`).
 */
const YOUNG_GENERATION_MB = 24;

/** A thread that loads its code, and waits to be told to start. */
export function openThread(): Worker {
  raiseHeadLimit();
  return new Worker(new URL('./worker.ts', import.meta.url), {
    stdout: false,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  });
}

/**
 * The first worker's thread, opened before anything else is known: it loads its code while the main thread reads the
 * configuration, which takes a third off a cold start.
 */
export class WarmThread {
  readonly #worker = openThread();
  #isUsable = true;

  constructor() {
    // Nobody is told yet: whoever takes a thread that has died gets another one, and is told what that one says.
    this.#worker.on('error', this.#end);
    this.#worker.on('exit', this.#end);
    // A configuration that is refused must not leave the process waiting for its thread.
    this.#worker.unref();
  }

  /** @returns the thread, or null when it has died or was taken before */
  take(): Worker | null {
    if (!this.#isUsable) return null;
    this.#isUsable = false;
    this.#worker.off('error', this.#end);
    this.#worker.off('exit', this.#end);
    this.#worker.ref();
    return this.#worker;
  }

  readonly #end = (): void => {
    this.#isUsable = false;
  };
}

import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { raiseHeadLimit } from '../edge/head-limit.ts';

/**
 * Megabytes for a worker's young objects, half of V8's own choice. What is done with lies around until a young
 * generation is full (a third of this, twice), so it decides how far memory rises above idle under load; a metered request
 * leaves 13 KB. Large uploads, which rose by 33 MB with 48 and 20 MB with 24, have buffers of their own by now
 * (`upstream/h1/upload-buffers.ts`).
 */
const YOUNG_GENERATION_MB = 24;

/**
 * How much of what it calls V8 may put into one optimised function, in bytes of bytecode; its own bounds are 920 and 4,600.
 * A request walks through many small functions, and with those bounds every second call of them remained one: an own key's
 * request cost 24.1 us in place of 22.4, a metered one 47.0 in place of 45.1. Twice as much again saves nothing more.
 */
const INLINED_BYTECODE = [
  '--max-inlined-bytecode-size-cumulative=6000',
  '--max-inlined-bytecode-size-absolute=12000',
];

/** A thread that loads its code, and waits to be told to start. */
export function openThread(): Worker {
  raiseHeadLimit();
  // Of the process: the threads that are opened from now on have it, and what nobody has run yet.
  for (const flag of INLINED_BYTECODE) setFlagsFromString(flag);
  return new Worker(new URL('./worker-entry.ts', import.meta.url), {
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

/**
 * A lock in memory that all threads of the process share: a word that holds its owner, for about a microsecond. Who finds it held
 * spins, then sleeps for what is left of a millisecond. Workers wait for as long as it takes: an owner that died is let go of by the
 * main thread, which hears of its death. So the main thread itself gives up: while it waited it would hear of nothing.
 */

/** Rounds before it sleeps, and for how long it sleeps, in milliseconds. */
const SPINS = 200;
const SLEEP_MS = 1;
/**
 * For how long the main thread waits, in milliseconds. An owner that lives is back from a full machine's other threads by then, and
 * one that died holds a handful of rows.
 */
const MAIN_WAITS_MS = 100;

/** Whose the words of main threads are; 0 is nobody's. */
const MAIN_OWNER = 1;

/** @param worker null: the main thread */
export function ownerOf(worker: number | null): number {
  return worker === null ? MAIN_OWNER : worker + 2;
}

/** @returns false only on the main thread: it was not to be had */
export function takeLock(words: Int32Array<SharedArrayBuffer>, at: number, owner: number): boolean {
  let untilMs = 0;
  for (let round = 0; ; round++) {
    const held = Atomics.compareExchange(words, at, 0, owner);
    if (held === 0) return true;
    if (round < SPINS) continue;
    if (owner === MAIN_OWNER) {
      const nowMs = performance.now();
      if (untilMs === 0) untilMs = nowMs + MAIN_WAITS_MS;
      else if (nowMs >= untilMs) return false;
    }
    // Its owner is at another core's end, or has none just now: on a full machine spinning keeps it from going on.
    Atomics.wait(words, at, held, SLEEP_MS);
  }
}

/** @returns whether it was this owner's */
export function letGo(words: Int32Array<SharedArrayBuffer>, at: number, owner: number): boolean {
  return Atomics.compareExchange(words, at, owner, 0) === owner;
}

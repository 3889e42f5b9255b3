/** Waiting on conditions, never on time: a slow machine makes a test slower, not red. */

const POLL_MS = 10;

/**
 * Resolves with the first value of `probe` that is neither undefined, null nor false.
 * The bound only turns a hang into a message; it is generous, and no test passes or fails by it otherwise.
 */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  boundMs = 30_000,
): Promise<Exclude<T, false | null | undefined>> {
  const end = performance.now() + boundMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== null && value !== false) {
      return value as Exclude<T, false | null | undefined>;
    }
    if (performance.now() > end) throw new Error(`Waited ${boundMs} ms in vain: ${what}`);
    await pause(POLL_MS);
  }
}

/** For scripts that pace traffic; never to wait for an effect. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The next turn of the event loop: what is written behind it is a segment of its own, or nearly. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

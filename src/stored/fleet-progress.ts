/** What the bucket had may never come (its last entry may have ended), and who asks waits no longer than this: milliseconds. */
const REACH_MS = 1_000;

/** How much of the bucket a node was told, and whether that is all that is in it. */
export class FleetProgress {
  /** The bucket's last revision; null while nobody can be asked. */
  #last: (() => Promise<number>) | null = null;
  #revision = 0;
  #waiting: { readonly revision: number; readonly reached: (isTold: boolean) => void }[] = [];

  /** Up to where it was told. */
  get revision(): number {
    return this.#revision;
  }

  /** Another bucket, or another secret: everything is told anew. */
  reset(): void {
    this.#revision = 0;
  }

  /** @param last asks the bucket for its last revision */
  joined(last: () => Promise<number>): void {
    this.#last = last;
  }

  /** The connection is over: who waits is told so. */
  left(): void {
    this.#last = null;
    for (const { reached } of this.#waiting) reached(false);
  }

  /** It was told so far. */
  reached(revision: number): void {
    if (revision > this.#revision) this.#revision = revision;
    for (const one of this.#waiting) if (one.revision <= this.#revision) one.reached(true);
  }

  /**
   * Resolves when the node was told everything that the bucket has now.
   * @returns false where nobody can say, or the connection ends before
   */
  async caughtUp(): Promise<boolean> {
    const last = this.#last;
    if (last === null) return false;
    const revision = await last().catch(() => null);
    if (revision === null || this.#last !== last) return false;
    if (revision <= this.#revision) return true;
    return await new Promise((resolve) => {
      const limit = setTimeout(() => one.reached(false), REACH_MS);
      const one = {
        revision,
        reached: (isTold: boolean) => {
          clearTimeout(limit);
          this.#waiting = this.#waiting.filter((other) => other !== one);
          resolve(isTold);
        },
      };
      this.#waiting.push(one);
    });
  }
}

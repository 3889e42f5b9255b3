/**
 * What this node holds of its budgets, on disk: one that begins again while NATS is away goes on with it.
 *
 * What stands there is never more than the bucket says: more is written behind the bucket's word, less before the bucket is told. So a
 * file of a process that was killed at any moment grants nothing that another node has.
 */

import { readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';

const HEAD = 'sluice grants 1';
const LINE = /^([a-zA-Z0-9_/=.-]{1,512}) (\d{1,16})$/;

export class GrantFile {
  readonly #path: string;
  readonly #held: () => Iterable<readonly [key: string, nano: number]>;
  #writing: Promise<void> | null = null;
  /** Behind the one that is under way: whoever asks meanwhile waits for it. */
  #next: Promise<void> | null = null;

  /** @param held what is held at that moment, by the bucket's keys */
  constructor(path: string, held: () => Iterable<readonly [key: string, nano: number]>) {
    this.#path = path;
    this.#held = held;
  }

  /** What the process before this one held; nothing where there is no file, or where it is none of ours. */
  read(): ReadonlyMap<string, number> {
    let text: string;
    try {
      text = readFileSync(this.#path, 'latin1');
    } catch {
      return new Map();
    }
    const [head, ...lines] = text.split('\n');
    const kept = new Map<string, number>();
    if (head !== HEAD) return kept;
    for (const line of lines) {
      const [, key, nano] = LINE.exec(line) ?? [];
      if (key !== undefined) kept.set(key, Number(nano));
    }
    return kept;
  }

  /**
   * Writes what is held now, or a moment later; resolves when the disk has it.
   * @throws Error with the system's code: what stood there still stands
   */
  async write(): Promise<void> {
    if (this.#writing === null) {
      this.#writing = this.#write().finally(() => {
        this.#writing = null;
      });
      return await this.#writing;
    }
    this.#next ??= this.#writing
      .catch(() => {})
      .then(async () => {
        this.#next = null;
        await this.write();
      });
    return await this.#next;
  }

  async #write(): Promise<void> {
    const fresh = `${this.#path}.tmp`;
    const file = await open(fresh, 'w', 0o600);
    try {
      const lines = [...this.#held()].map(([key, nano]) => `${key} ${nano}\n`);
      await file.writeFile(`${HEAD}\n${lines.join('')}`, 'latin1');
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(fresh, this.#path);
  }
}

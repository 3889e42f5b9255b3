import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why there is none: for `ctx.skip`. */
export const NO_DISK = 'needs the right to mount a small disk (root)';

/** A disk of its own, to be filled. */
export class SmallDisk {
  /** Where it is; null where none can be made. */
  readonly path: string | null;
  readonly #folder = mkdtempSync(join(tmpdir(), 'sluice-disk-'));

  constructor(bytes: number) {
    const mounted = join(this.#folder, 'disk');
    mkdirSync(mounted);
    const mount = ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', mounted];
    this.path = spawnSync('mount', mount).status === 0 ? mounted : null;
  }

  unmount(): void {
    if (this.path !== null) spawnSync('umount', [this.path]);
    rmSync(this.#folder, { recursive: true });
  }
}

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** For `GatewayOptions.nodeArgs`: code that every worker thread of a gateway runs before its own. */
export function beforeWorkers(code: string): readonly string[] {
  const hook = join(mkdtempSync(join(tmpdir(), 'sluice-hook-')), 'hook.mjs');
  writeFileSync(
    hook,
    `import { existsSync, unlinkSync } from 'node:fs';
     import { isMainThread } from 'node:worker_threads';
     if (!isMainThread) { ${code} }`,
  );
  return ['--import', hook];
}

/** Workers that throw outside of any handler when they are told to. */
export class DyingWorkers {
  readonly nodeArgs: readonly string[];
  readonly #once: string;
  readonly #always: string;

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-fault-'));
    this.#once = join(folder, 'once');
    this.#always = join(folder, 'always');
    this.nodeArgs = beforeWorkers(
      `if (existsSync(${JSON.stringify(this.#always)})) throw new Error('injected');
       setInterval(() => {
         // Two may see the file at once; only one can take it away.
         try { unlinkSync(${JSON.stringify(this.#once)}); } catch { return; }
         throw new Error('injected');
       }, 10);`,
    );
  }

  /** One worker dies: the first that sees it. */
  killOne(): this {
    writeFileSync(this.#once, '');
    return this;
  }

  /** From now on every worker dies while it loads. */
  killAtStart(): this {
    writeFileSync(this.#always, '');
    return this;
  }

  letLive(): void {
    rmSync(this.#always, { force: true });
  }
}

import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeWorkers } from './dying-worker.ts';
import { ROOT } from './gateway.ts';

/** A method of the gateway's own code: `exchange/exchange.ts#Exchange.onBodyChunk`. */
export type MethodName = `${string}.ts#${string}.${string}`;

/** Methods of a running gateway that throw on their next calls, when they are told to. */
export class InjectedFaults {
  readonly nodeArgs: readonly string[];
  readonly #armed: string;

  constructor(methods: readonly MethodName[]) {
    this.#armed = join(mkdtempSync(join(tmpdir(), 'sluice-fault-')), 'armed');
    const rows = methods.map((name) => {
      const [file = '', method = ''] = name.split('#');
      const [owner, key] = method.split('.');
      return [name, pathToFileURL(join(ROOT, 'src', file)).href, owner, key];
    });
    this.nodeArgs = beforeWorkers(
      `const { readFileSync, writeFileSync } = await import('node:fs');
       const armed = ${JSON.stringify(this.#armed)};
       for (const [name, url, owner, key] of ${JSON.stringify(rows)}) {
         const { prototype } = (await import(url))[owner];
         const before = prototype[key];
         if (typeof before !== 'function') throw new Error(name + ' is no method');
         prototype[key] = function (...values) {
           const [wanted, times] = existsSync(armed) ? readFileSync(armed, 'utf8').split(' ') : [];
           if (wanted === name) {
             if (Number(times) > 1) writeFileSync(armed, name + ' ' + (times - 1));
             else unlinkSync(armed);
             throw new Error('injected into ' + name);
           }
           return before.apply(this, values);
         };
       }`,
    );
  }

  /** The next calls throw. */
  arm(method: MethodName, times = 1): void {
    writeFileSync(this.#armed, `${method} ${times}`);
  }

  /** No call has thrown since. */
  get isArmed(): boolean {
    return existsSync(this.#armed);
  }
}

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import type { Judgement } from '../../../../src/guard/guard.ts';
import type { ModulePoolSettings } from '../../../../src/guard/judges/module-messages.ts';
import { ModuleProcess } from '../../../../src/guard/judges/module-process.ts';
import { Deadlines } from '../../../../src/ticker.ts';
import { until } from '../../../support/conditions.ts';
import { guardModule, requestHook } from '../../../support/guard-module.ts';

/** Far more than a call takes on a busy machine, where it is not the budget that is looked at. */
const LONG_MS = 20_000;
const deadlines = new Deadlines(5);

class Scene {
  readonly notLoaded: string[] = [];
  readonly lost: string[] = [];
  loads = 0;
  isOffline: boolean | null = null;
  readonly process: ModuleProcess;
  #calls = 0;

  constructor(path: string, settings: Partial<ModulePoolSettings>) {
    const url = pathToFileURL(path).href;
    this.process = new ModuleProcess(
      { url, budgetMs: LONG_MS, threads: 1, memoryMb: 64, network: false, ...settings },
      deadlines,
      {
        loaded: (isOffline) => {
          this.loads++;
          this.isOffline = isOffline;
        },
        notLoaded: (why) => this.notLoaded.push(why),
        lost: (why) => this.lost.push(why),
      },
    );
  }

  ask(text = 'a text'): Promise<Judgement> {
    return new Promise((resolve) =>
      this.process.judge(
        {
          call: ++this.#calls,
          phase: 'request',
          runs: [{ kind: 'prompt', text }],
          context: { tenant: '7', model: null, requestId: 'r', guard: 'test' },
        },
        resolve,
      ),
    );
  }

  /** Asks until it judges again. */
  recovered(text: string): Promise<Judgement> {
    return until('it judges again', async () => {
      const judgement = await this.ask(text);
      return judgement.verdict === 'failed' ? null : judgement;
    });
  }
}

const scenes: Scene[] = [];

async function scene(path: string, settings: Partial<ModulePoolSettings> = {}): Promise<Scene> {
  const made = new Scene(path, settings);
  scenes.push(made);
  await until('it is loaded', () => made.loads > 0 || made.notLoaded.length > 0);
  return made;
}

afterEach(() => {
  for (const { process } of scenes.splice(0)) process.close();
});

const poisoned = (body: string): string =>
  requestHook(`if (text === 'poison') { ${body} } return text.toUpperCase();`);

describe('ModuleProcess', () => {
  it('judges by a module in TypeScript, whatever characters a text has', async () => {
    const one = await scene(
      guardModule(
        `interface Context { readonly tenant: string }
         export default {
           name: 'typed',
           request(text: string, { tenant }: Context): string { return text + tenant; },
         };`,
        'ts',
      ),
    );
    expect(await one.ask('ä😀\ud800"\\')).toEqual({ verdict: 'replace', texts: ['ä😀\ud800"\\7'] });
  });

  it('has a process of its own, which has no variable of the gateway and no network of the kernel', async () => {
    process.env['SLUICE_TEST_SECRET'] = 'sk-of-the-gateway';
    const one = await scene(
      requestHook('return JSON.stringify([process.pid, Object.keys(process.env)])'),
    );
    const judged = await one.ask();
    expect(one.process.pid).not.toBe(process.pid);
    expect(judged).toEqual({ verdict: 'replace', texts: [JSON.stringify([one.process.pid, []])] });
    if (process.platform === 'linux') expect(one.isOffline).toBe(true);
  });

  it.each([
    ['hangs', 'for (;;);', 'late'],
    ['waits for ever', 'return new Promise(() => {});', 'late'],
    [
      'sleeps in the kernel',
      'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);',
      'late',
    ],
    ['searches without end', "return String(/^(a+)+$/.test('a'.repeat(40) + 'b'));", 'late'],
  ])('cuts a hook that %s at its budget, and judges again', async (_, body, why) => {
    const one = await scene(poisoned(body), { budgetMs: 300 });
    expect(await one.ask('poison')).toEqual({ verdict: 'failed', why });
    expect(await one.recovered('fine')).toEqual({ verdict: 'replace', texts: ['FINE'] });
    expect(one.lost).toContain('late');
  });

  it.each([
    ['throws', "throw new Error('secret')", 'threw'],
    ['overflows its stack', 'const f = () => f(); f();', 'threw'],
    ['makes a text that is too long', "return 'ab'.repeat(2 ** 29);", 'threw'],
    ['answers a number', 'return 42;', 'nonsense'],
    ['answers what cannot be copied', 'return { flag: [() => {}] };', 'nonsense'],
    ['answers a text without measure', "return 'x'.repeat(10_000_000);", 'nonsense'],
  ])('has no verdict of a hook that %s, and keeps its thread', async (_, body, why) => {
    const one = await scene(poisoned(body));
    expect(await one.ask('poison')).toEqual({ verdict: 'failed', why });
    expect(await one.ask('fine')).toEqual({ verdict: 'replace', texts: ['FINE'] });
    expect(one.lost).toEqual([]);
  });

  it.each([
    ['leaves', 'process.exit(3);'],
    [
      'throws behind its answer',
      "setTimeout(() => { throw new Error('x'); }); return new Promise(() => {});",
    ],
    ['fills its heap', 'const all = []; for (;;) all.push({ at: all.length });'],
    // Within one function of V8's: no limit of a thread ends it, and its process goes with it.
    ['fills its heap at once', 'const all = []; for (;;) all.push(new Array(2 ** 27).fill(1));'],
  ])('outlives a hook that %s', async (_, body) => {
    const one = await scene(poisoned(body));
    expect(await one.ask('poison')).toMatchObject({
      verdict: 'failed',
      why: expect.stringMatching(/^(?:died|memory)$/),
    });
    expect(await one.recovered('fine')).toEqual({ verdict: 'replace', texts: ['FINE'] });
  });

  it('replaces a thread that keeps more buffers than it may', async () => {
    const one = await scene(
      requestHook(
        '(globalThis.kept ??= []).push(Buffer.alloc(2 ** 25, 1)); return String(kept.length);',
      ),
      { memoryMb: 16 },
    );
    expect(await one.ask()).toEqual({ verdict: 'replace', texts: ['1'] });
    expect(await one.recovered('next')).toEqual({ verdict: 'replace', texts: ['1'] });
    expect(one.lost).toContain('memory');
  });

  it('begins a process that was killed anew, and says of its calls that they died', async () => {
    const one = await scene(poisoned('return new Promise(() => {});'));
    const { pid } = one.process;
    if (pid === null) throw new Error('it has no process');
    const asked = one.ask('poison');
    process.kill(pid, 'SIGKILL');
    expect(await asked).toEqual({ verdict: 'failed', why: 'died' });
    expect(await one.recovered('fine')).toEqual({ verdict: 'replace', texts: ['FINE'] });
    expect(one.process.pid).not.toBe(pid);
  });

  it('goes on while a terminal or a service manager asks it to stop, and ends when it is closed', async () => {
    const one = await scene(poisoned(''));
    const { pid } = one.process;
    if (pid === null) throw new Error('it has no process');
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(pid, signal);
    expect(await one.ask('fine')).toEqual({ verdict: 'replace', texts: ['FINE'] });
    one.process.close();
    await until('it is gone', () => !existsSync(`/proc/${pid}`));
  });

  it('ends with the last of its calls when it is retired', async () => {
    const one = await scene(
      requestHook('return new Promise((resolve) => setTimeout(resolve, 300, "done"));'),
    );
    const { pid } = one.process;
    const asked = one.ask();
    one.process.retire();
    expect(await asked).toEqual({ verdict: 'replace', texts: ['done'] });
    await until('it is gone', () => !existsSync(`/proc/${pid}`));
  });

  it.each([
    ['node:fs', 'network = true'],
    ['fs/promises', 'network = true'],
    ['net', 'network = true'],
    ['node:http', 'network = true'],
    ['node:module', 'network = true'],
    ['node:worker_threads', 'network = true'],
    ['node:child_process', 'network = true'],
    ['data:text/javascript,', 'network = true'],
    ['./missing.mjs', 'missing.mjs'],
  ])('does not load a module that needs %s', async (needed, said) => {
    const one = await scene(guardModule(`import '${needed}'; export default { request() {} };`));
    expect(one.notLoaded[0]).toContain(said);
    expect(one.loads).toBe(0);
  });

  it.each([
    ['fetch', 'typeof fetch'],
    ['WebSocket', 'typeof WebSocket'],
    ['process.getBuiltinModule', 'typeof process.getBuiltinModule'],
    ['process.dlopen', 'typeof process.dlopen'],
    ['process.binding', 'typeof process.binding'],
  ])('has no %s', async (_, expression) => {
    const one = await scene(requestHook(`return ${expression};`));
    expect(await one.ask()).toEqual({ verdict: 'replace', texts: ['undefined'] });
  });

  it('may load everything where its table says so', async () => {
    const one = await scene(
      guardModule(
        `import { readFileSync } from 'node:fs';
         export default { request: () => typeof readFileSync + typeof fetch };`,
      ),
      { network: true },
    );
    expect(await one.ask()).toEqual({ verdict: 'replace', texts: ['functionfunction'] });
    expect(one.isOffline).toBe(false);
  });

  it('is under a filter of the kernel, in each of its threads', async () => {
    const one = await scene(requestHook('return "x";'));
    const { pid } = one.process;
    if (process.platform !== 'linux' || pid === null) return;
    const filters = readdirSync(`/proc/${pid}/task`).map(
      (thread) =>
        /^Seccomp:\t(\d)$/m.exec(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8'))?.[1],
    );
    expect(filters.length).toBeGreaterThan(4);
    // SECCOMP_MODE_FILTER (proc(5)).
    expect(new Set(filters)).toEqual(new Set(['2']));
  });
});

import { describe, expect, it } from 'vitest';
import {
  hookAnswer,
  hookJudgement,
  isJudgement,
  type ModuleHooks,
  moduleHooks,
} from '../../../../src/guard/judges/module-hooks.ts';
import type { ModuleCall } from '../../../../src/guard/judges/module-messages.ts';

const call = (...texts: readonly string[]): ModuleCall => ({
  call: 1,
  phase: 'request',
  runs: texts.map((text) => ({ kind: 'prompt', text })),
  context: { tenant: '7', model: 'chat', requestId: 'r-1', guard: 'mine' },
});

/** @param request the hook of a module */
function hookOf(request: (text: string, context: unknown) => unknown) {
  const hooks = moduleHooks({ default: { name: 'mine', request } });
  if (typeof hooks === 'string' || hooks.request === null) throw new Error(String(hooks));
  return hooks.request;
}

describe('moduleHooks', () => {
  it('takes a default export with either hook', () => {
    const has = (hooks: ModuleHooks | string): unknown =>
      typeof hooks === 'string' ? hooks : [hooks.request !== null, hooks.response !== null];
    const hook = (): void => {};
    expect(has(moduleHooks({ default: { request: hook } }))).toEqual([true, false]);
    expect(has(moduleHooks({ default: { response: hook } }))).toEqual([false, true]);
    expect(has(moduleHooks({ default: { request: hook, response: hook } }))).toEqual([true, true]);
  });

  it.each([
    [{}, 'default export'],
    [{ default: null }, 'default export'],
    [{ default: { name: 'mine' } }, 'neither'],
    [{ default: { request: 'text' } }, 'functions'],
    [undefined, 'default export'],
  ])('says what is wrong with %j', (loaded, said) => {
    expect(moduleHooks(loaded)).toContain(said);
  });

  it('calls a hook as a method of its module', async () => {
    class Guard {
      readonly word = 'hidden';
      request(): string {
        return this.word;
      }
    }
    const hooks = moduleHooks({ default: new Guard() });
    if (typeof hooks === 'string' || hooks.request === null) throw new Error(String(hooks));
    expect(await hookJudgement(hooks.request, call('plain'))).toEqual({
      verdict: 'replace',
      texts: ['hidden'],
    });
  });
});

describe('hookAnswer', () => {
  it.each([
    [undefined, { kind: 'keep' }],
    [null, { kind: 'keep' }],
    ['other', { kind: 'text', text: 'other' }],
    ['', { kind: 'text', text: '' }],
    [{ block: 'not\nhere' }, { kind: 'block', why: 'not here' }],
    [{ flag: ['a/b', 'c'] }, { kind: 'flag', what: ['a/b', 'c'] }],
  ])('understands %j', (said, answer) => {
    expect(hookAnswer(said, 5)).toEqual(answer);
  });

  it.each([
    42,
    true,
    [],
    {},
    { block: 1 },
    { flag: [] },
    { flag: 'a' },
    { flag: ['a text with spaces'] },
    { flag: Array.from({ length: 17 }, () => 'a') },
    { block: 'x', flag: ['y'] },
    { text: 'other' },
    () => 'other',
    Symbol('x'),
    'x'.repeat(4_096 + 4 * 5 + 1),
  ])('finds no meaning in %s', (said) => {
    expect(hookAnswer(said, 5)).toBeNull();
  });

  it('lets a reason for the caller be as long as a sentence', () => {
    expect(hookAnswer({ block: 'x'.repeat(1_000) }, 5)).toEqual({
      kind: 'block',
      why: 'x'.repeat(200),
    });
  });
});

describe('hookJudgement', () => {
  it('asks about each text by itself, and changes only those that the hook changes', async () => {
    const seen: unknown[] = [];
    const hook = hookOf((text, context) => {
      seen.push([text, context]);
      return text.replaceAll('secret', '[s]');
    });
    const asked = call('a secret', 'plain');
    expect(await hookJudgement(hook, asked)).toEqual({
      verdict: 'replace',
      texts: ['a [s]', null],
    });
    const context = { ...asked.context, phase: 'request', kind: 'prompt' };
    expect(seen).toEqual([
      ['a secret', context],
      ['plain', context],
    ]);
  });

  it('keeps what no hook has changed', async () => {
    expect(
      await hookJudgement(
        hookOf((text) => text),
        call('a'),
      ),
    ).toEqual({ verdict: 'keep' });
  });

  it('waits for a hook that promises', async () => {
    const hook = hookOf(async (text) => `${text}!`);
    expect(await hookJudgement(hook, call('a'))).toEqual({ verdict: 'replace', texts: ['a!'] });
  });

  it('asks about no text behind the one that is blocked', async () => {
    let calls = 0;
    const hook = hookOf((text) => {
      calls++;
      return text === 'b' ? { block: 'no b' } : undefined;
    });
    expect(await hookJudgement(hook, call('a', 'b', 'c'))).toEqual({
      verdict: 'block',
      why: 'no b',
    });
    expect(calls).toBe(2);
  });

  it('adds up what was flagged, each once', async () => {
    const hook = hookOf((text) => ({ flag: [text, 'both'] }));
    expect(await hookJudgement(hook, call('a', 'b'))).toEqual({
      verdict: 'flag',
      what: ['a', 'both', 'b'],
    });
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('x');
      },
      'threw',
    ],
    ['rejects', () => Promise.reject(new Error('x')), 'threw'],
    ['promises nonsense', () => Promise.resolve(42), 'nonsense'],
    [
      'gives one whose members throw',
      () =>
        new Proxy(
          {},
          {
            get() {
              throw new Error('x');
            },
          },
        ),
      'threw',
    ],
  ])('has no verdict of a hook that %s', async (_, hook, why) => {
    expect(await hookJudgement(hookOf(hook), call('a'))).toEqual({ verdict: 'failed', why });
  });
});

describe('isJudgement', () => {
  it('knows a verdict on so many texts from what is none', () => {
    const { runs } = call('a', 'b');
    expect(isJudgement({ verdict: 'replace', texts: ['x', null] }, runs)).toBe(true);
    expect(isJudgement({ verdict: 'replace', texts: ['x'] }, runs)).toBe(false);
    expect(isJudgement({ verdict: 'replace', texts: ['x', 1] }, runs)).toBe(false);
    expect(isJudgement({ verdict: 'flag', what: ['x'] }, runs)).toBe(true);
    expect(isJudgement({ verdict: 'flag', what: [1] }, runs)).toBe(false);
    expect(isJudgement({ verdict: 'flag', what: ['write to ada@analytical.org'] }, runs)).toBe(
      false,
    );
    expect(isJudgement({ verdict: 'flag', what: Array(17).fill('x') }, runs)).toBe(false);
    expect(isJudgement({ verdict: 'block', why: 'a b' }, runs)).toBe(true);
    expect(isJudgement({ verdict: 'block', why: 'a b', what: ['a'] }, runs)).toBe(false);
    expect(isJudgement({ verdict: 'block' }, runs)).toBe(false);
    expect(isJudgement({ verdict: 'pass' }, runs)).toBe(false);
    expect(isJudgement(null, runs)).toBe(false);
  });
});

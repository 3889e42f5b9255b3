import type { JudgedRun, Judgement } from '../guard.ts';
import { failed, KEEP } from './judge-failure.ts';
import type { HookContext, ModuleCall } from './module-messages.ts';

/** @returns what `hookAnswer` reads, or a promise of it */
type Hook = (text: string, context: HookContext) => unknown;

/** What a module does; at least one of both. */
export interface ModuleHooks {
  readonly request: Hook | null;
  readonly response: Hook | null;
}

/** Of a sentence for the caller, in UTF-16 units. */
const WHY_MAX = 200;

/** Things that one hook may say it has found. */
const WHAT_MAX = 16;

/** They are labels in facts and metrics: no room for a text. */
const LABEL = /^[A-Za-z0-9_.:/-]{1,64}$/;

/** A replacement may be so many times as long as its text, and some more, in UTF-16 units: what grows without end is a bug. */
const GROWTH_MAX = 4;
const GROWTH_FREE = 4_096;

/**
 * @param loaded the module's namespace
 * @returns its hooks, or a sentence that says what is wrong with it
 */
export function moduleHooks(loaded: unknown): ModuleHooks | string {
  const said = memberOf(loaded, 'default');
  if (typeof said !== 'object' || said === null)
    return 'it has no default export like { name, request(text, context) }';
  const request = memberOf(said, 'request');
  const response = memberOf(said, 'response');
  if (!isHook(request) || !isHook(response)) return 'request and response must be functions';
  if (request === undefined && response === undefined) return 'it has neither request nor response';
  // Called as methods: modules are written with `this`, too.
  return {
    request: request === undefined ? null : request.bind(said),
    response: response === undefined ? null : response.bind(said),
  };
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function isHook(value: unknown): value is Hook | undefined {
  return value === undefined || typeof value === 'function';
}

/** What a hook said of one text; null: nothing of meaning. */
type HookAnswer =
  | { readonly kind: 'keep' }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'block'; readonly why: string }
  | { readonly kind: 'flag'; readonly what: readonly string[] };

/**
 * @param said nothing: the text stays as it is; a text: stands in its place; `{ block: 'why' }`; `{ flag: ['what'] }`
 * @param length of the text, in UTF-16 units
 */
export function hookAnswer(said: unknown, length: number): HookAnswer | null {
  if (said === undefined || said === null) return { kind: 'keep' };
  if (typeof said === 'string')
    return said.length > GROWTH_MAX * length + GROWTH_FREE ? null : { kind: 'text', text: said };
  if (typeof said !== 'object') return null;
  const keys = Object.keys(said);
  if (keys.length !== 1) return null;
  const why = memberOf(said, 'block');
  if (typeof why === 'string') return { kind: 'block', why: shown(why) };
  const what = memberOf(said, 'flag');
  if (!Array.isArray(what) || what.length === 0 || what.length > WHAT_MAX) return null;
  return what.every((one) => typeof one === 'string' && LABEL.test(one))
    ? { kind: 'flag', what: what.map(String) }
    : null;
}

/** It becomes a part of an error's sentence. */
function shown(why: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it takes out
  return why.slice(0, WHY_MAX).replace(/[\x00-\x1f\x7f]/g, ' ');
}

/**
 * Asks a hook about each text, one after the other. The first text that is blocked ends it; a text that was replaced
 * weighs more than one that was flagged.
 */
export async function hookJudgement(hook: Hook, asked: ModuleCall): Promise<Judgement> {
  const texts: (string | null)[] = [];
  const what = new Set<string>();
  let isReplaced = false;
  for (const { kind, text } of asked.runs) {
    const context = Object.freeze({ ...asked.context, phase: asked.phase, kind });
    let said: unknown;
    try {
      said = hook(text, context);
      if (isPromise(said)) said = await said;
    } catch {
      return failed('threw');
    }
    const answer = hookAnswer(said, text.length);
    if (answer === null) return failed('nonsense');
    if (answer.kind === 'block') return { verdict: 'block', why: answer.why };
    if (answer.kind === 'flag') for (const one of answer.what) what.add(one);
    const isOther = answer.kind === 'text' && answer.text !== text;
    isReplaced ||= isOther;
    texts.push(isOther ? answer.text : null);
  }
  if (isReplaced) return { verdict: 'replace', texts };
  return what.size > 0 ? { verdict: 'flag', what: [...what].slice(0, WHAT_MAX) } : KEEP;
}

function isPromise(value: unknown): boolean {
  return typeof memberOf(value, 'then') === 'function';
}

/** Whether what a thread has sent is a verdict on so many texts: a module may have broken what its thread is made of. */
export function isJudgement(value: unknown, runs: readonly JudgedRun[]): value is Judgement {
  switch (memberOf(value, 'verdict')) {
    case 'keep':
      return true;
    case 'replace': {
      const texts = memberOf(value, 'texts');
      return (
        Array.isArray(texts) &&
        texts.length === runs.length &&
        texts.every((text) => text === null || typeof text === 'string')
      );
    }
    case 'block':
      return typeof memberOf(value, 'why') === 'string' && memberOf(value, 'what') === undefined;
    case 'failed':
      return typeof memberOf(value, 'why') === 'string';
    case 'flag': {
      const what = memberOf(value, 'what');
      return (
        Array.isArray(what) &&
        what.length <= WHAT_MAX &&
        what.every((one) => typeof one === 'string' && LABEL.test(one))
      );
    }
    default:
      return false;
  }
}

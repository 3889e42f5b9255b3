/** What the threads that run an operator's module, their process and the gateway say to each other. */

import type { GuardPhase, JudgeContext, JudgedRun, Judgement, RunKind } from '../guard.ts';
import type { JudgeFailure } from './judge-failure.ts';

/** How an operator's module is run. */
export interface ModulePoolSettings {
  /** The module, as a `file:` URL. */
  readonly url: string;
  /** What one call may take in its thread, all of its texts together, in milliseconds. */
  readonly budgetMs: number;
  /** Threads of its process; each has one call at a time. */
  readonly threads: number;
  /** What a thread's objects may take, and its buffers as much again, in MiB. */
  readonly memoryMb: number;
  /** Whether it may load what reaches the network, files and other processes. */
  readonly network: boolean;
}

/** A `[guards.NAME]` table that names a module. */
export interface ModuleSettings extends ModulePoolSettings {
  readonly name: string;
  /** Changes with the module's file: another one is loaded anew. */
  readonly version: string;
}

/** What a hook is told beside its text. */
export interface HookContext extends JudgeContext {
  readonly phase: GuardPhase;
  /** What the text is: of a prompt, a tool's result, an answer, … */
  readonly kind: RunKind;
}

/** One call, on its way to the module. */
export interface ModuleCall {
  readonly call: number;
  readonly phase: GuardPhase;
  readonly runs: readonly JudgedRun[];
  readonly context: JudgeContext;
}

/** Handed to a thread when it is made. */
export type ThreadStart = Pick<ModulePoolSettings, 'url' | 'network'>;

export type FromThread =
  /** It is loaded. @see ModuleHooks */
  | { readonly kind: 'ready'; readonly request: boolean; readonly response: boolean }
  /** It cannot be loaded, or has no hooks. */
  | { readonly kind: 'unusable'; readonly why: string }
  | {
      readonly kind: 'judged';
      readonly call: number;
      readonly judgement: Judgement;
      /** Of its thread's memory what no limit of V8's counts, in bytes: buffers. */
      readonly outsideBytes: number;
    };

export type ToModuleProcess =
  /** The first message. */
  | { readonly kind: 'start'; readonly settings: ModulePoolSettings }
  | { readonly kind: 'call'; readonly asked: ModuleCall }
  /** Nobody waits for its answer any more. */
  | { readonly kind: 'left'; readonly call: number };

export type FromModuleProcess =
  /** The module is loaded. @param isOffline the kernel gives its process no network */
  | { readonly kind: 'loaded'; readonly isOffline: boolean }
  | { readonly kind: 'not-loaded'; readonly why: string }
  /** A thread was ended, or went by itself; another one takes its place. */
  | { readonly kind: 'thread-lost'; readonly why: JudgeFailure }
  | { readonly kind: 'judged'; readonly call: number; readonly judgement: Judgement };

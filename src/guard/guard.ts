/**
 * What reads or changes prompts and answers: the words that the guards' spine and its parts have in common. A guard never
 * sees bytes: it is given decoded runs of text, and the spine (`guard/text/`) knows where each stands.
 */

export const GUARD_ACTIONS = ['mask', 'redact', 'block', 'flag'] as const;
/**
 * What is done with what a detector found: a placeholder in its place which is put back in the answer, a word in its place
 * which is not, no answer at all, or nothing but the fact's word of it.
 */
export type GuardAction = (typeof GUARD_ACTIONS)[number];

export const GUARD_PHASES = ['request', 'response'] as const;
export type GuardPhase = (typeof GUARD_PHASES)[number];

/** What happens where a guard cannot say: it failed, was too slow, or met what it cannot read. */
export const GUARD_DIRECTIONS = ['block', 'pass'] as const;
export type GuardDirection = (typeof GUARD_DIRECTIONS)[number];

/**
 * Whose text a run is. Of a call's arguments each string is a run of its own (`tool_args`), decoded, whichever way its wire
 * spells them: whoever scans one meets no escapes and no braces.
 */
export type RunKind =
  | 'system'
  | 'prompt'
  | 'tool_result'
  | 'document'
  | 'tool_args'
  | 'text'
  | 'reasoning'
  | 'refusal';

/** What was found: offsets in UTF-16 units of the text that was scanned. */
export interface Finding {
  readonly from: number;
  readonly to: number;
  /** Its kind, in the words of a closed list of the detector's: goes into facts, metrics and placeholders. Never text. */
  readonly what: string;
}

/**
 * Finds what is to be guarded. Synchronous, on the worker's thread, and without state between two calls: what is not settled is
 * given again, with what came behind it.
 */
export interface Detector {
  readonly name: string;
  /**
   * @param isEnd nothing follows: everything is settled
   * @returns findings in order, none overlapping, all within [0, settledTo). What stands behind `settledTo` may still become a
   *   part of one, and is held back. The next call begins exactly there, without what stood before it: a place where that would
   *   matter is none to settle at
   */
  scan(
    text: string,
    kind: RunKind,
    isEnd: boolean,
  ): { readonly findings: readonly Finding[]; readonly settledTo: number };
}

/** What stands in place of a part of a text. */
export interface Edit {
  readonly from: number;
  readonly to: number;
  /** Plain text: the spine escapes it for where it stands. */
  readonly text: string;
}

/**
 * The values that one exchange has masked, and what stands for them. Dies with the exchange; is in no log, no fact and no
 * cache.
 */
export interface Placeholders {
  /** A text of the request, told before anything is masked: what already looks like a placeholder in it is never one of ours. */
  saw(text: string): void;
  /** @returns what stands for the value: the same for the same one; null when no more are kept */
  mask(what: string, value: string): string | null;
  /** Nothing was masked: no answer has anything to be put back. */
  readonly isEmpty: boolean;
  /**
   * Finds what stands for a value in an answer's text, as a detector does.
   * @returns edits in order, none overlapping, all within [0, settledTo)
   */
  restored(
    text: string,
    kind: RunKind,
    isEnd: boolean,
  ): { readonly edits: readonly Edit[]; readonly settledTo: number };
}

/** What a judge is told of a request, besides its texts. */
export interface JudgeContext {
  readonly tenant: string;
  /** As it was asked for; null where the body does not say it. */
  readonly model: string | null;
  readonly requestId: string;
  /** Which guard asks: a table's name. */
  readonly guard: string;
}

/** A text that is judged, or listened to. */
export interface JudgedRun {
  readonly kind: RunKind;
  readonly text: string;
}

export type Judgement =
  | { readonly verdict: 'keep' }
  /** One for each run, in their order; null: as it is. */
  | { readonly verdict: 'replace'; readonly texts: readonly (string | null)[] }
  /** `why` is a sentence for the caller, who knows the text; `what` are labels for everybody else. */
  | { readonly verdict: 'block'; readonly why: string; readonly what?: readonly string[] }
  | { readonly verdict: 'flag'; readonly what: readonly string[] }
  /** It could not say: its guard's direction decides. */
  | { readonly verdict: 'failed'; readonly why: string };

/**
 * Says what is to be done with texts: an analyzer somewhere else, or a module of the operator's. Asynchronous. Never throws and never
 * rejects: a failure is an answer of its own. Bounds its own time, and how many wait for it.
 */
export interface Judge {
  readonly name: string;
  /** @param signal the exchange is over: nobody waits for an answer any more */
  judge(
    phase: GuardPhase,
    runs: readonly JudgedRun[],
    context: JudgeContext,
    signal: AbortSignal,
  ): Promise<Judgement>;
}

/**
 * Is told what leaves towards the provider and towards the caller, as the guards before it left it. Neither waits nor throws,
 * and bounds what it keeps.
 */
export interface Listener {
  readonly name: string;
  /** An exchange has begun. */
  open(context: JudgeContext): Hearing;
}

export interface Hearing {
  /**
   * @param run which of the answer's runs it belongs to: pieces of one follow each other. Each of a request's is whole
   * @param isEnd the run is over
   */
  heard(phase: GuardPhase, kind: RunKind, run: number, text: string, isEnd: boolean): void;
  /** The exchange is over. */
  over(): void;
}

/** What all guards have, whatever they are made of: a `[guards.NAME]` table. */
export interface GuardSettings {
  readonly name: string;
  readonly action: GuardAction;
  readonly phases: readonly GuardPhase[];
  readonly onError: GuardDirection;
  /** What cannot be read: pictures, files, events of a shape that nobody knows. */
  readonly onUnscanned: GuardDirection;
  /** Of what streams: milliseconds. */
  readonly maxHoldMs: number;
}

/** One guard of a worker, made at boot: exactly one of the three. */
export interface Guard extends GuardSettings {
  readonly detector: Detector | null;
  readonly judge: Judge | null;
  readonly listener: Listener | null;
}
